"""Reads a file and detects later edits of it. Blocking.

The first reading takes a digest of every block of the file. Each later reading compares a block before
it hands out a byte of it, so it yields only what the first reading has checked, whatever happens to the
file meanwhile. What was appended since is not read.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO, Final

import attrs

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK: Final = 16 * 1024
"""Bytes: locates an edit well enough, and needs one megabyte of digests for a gigabyte."""

_DIGEST: Final = 16


class FileChangedError(Exception):
    """A block differs from the one that the first reading found."""


@attrs.frozen
class Fingerprint:
    """The size of a file in bytes and the digests of its blocks."""

    size: int
    digests: bytes = attrs.field(repr=False)


class FingerprintReader(io.RawIOBase):
    """Takes the fingerprint of a file while it is read; it does not close the file.

    If a fingerprint is ``expected``, reading raises `FileChangedError` at the first block that differs.
    """

    def __init__(self, file: BinaryIO, expected: Fingerprint | None = None) -> None:
        super().__init__()
        self._file = file
        self._expected = expected
        self._unread = b""
        self._size = 0
        self._digests = bytearray()
        self._at_end = False

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of what has been read: of the whole file at its end."""
        return Fingerprint(self._size, bytes(self._digests))

    def readable(self) -> bool:
        """Return True, for `io.BufferedReader`."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read at most one block into the buffer and return how many bytes those are."""
        if not self._unread and not self._at_end:
            self._unread = self._next_block()
        room = memoryview(buffer).cast("B")
        some, self._unread = self._unread[: len(room)], self._unread[len(room) :]
        room[: len(some)] = some
        return len(some)

    def _next_block(self) -> bytes:
        wanted = BLOCK if self._expected is None else min(BLOCK, self._expected.size - self._size)
        block = self._file.read(wanted)
        digest = hashlib.blake2b(block, digest_size=_DIGEST).digest()
        if self._expected is None:
            self._digests += digest if block else b""
        elif wanted:
            begin = self._size // BLOCK * _DIGEST
            if digest != self._expected.digests[begin : begin + _DIGEST]:
                raise FileChangedError
        self._size += len(block)
        # A short block is the end, even if somebody appends to the file right now.
        self._at_end = len(block) < BLOCK
        return block
