"""A file that is read more than once and must say the same each time. Blocking.

The first reading takes a digest of every block; each later one compares a block before it hands out a
byte of it, so nothing reaches the caller that the first reading has not seen, whoever edits the file
meanwhile. What was appended since is not read.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO, Final

import attrs

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["ChangedError", "Seal", "SealedStream"]

_BLOCK: Final = 16 * 1024
"""Bytes: tells well enough where a change is, and a gigabyte needs one megabyte of digests."""

_DIGEST: Final = 16


class ChangedError(Exception):
    """A block is not what the first reading has found there."""


@attrs.frozen
class Seal:
    """What a file said when it was read: ``size`` in bytes, and the digest of each block."""

    size: int
    digests: bytes = attrs.field(repr=False)


class SealedStream(io.BufferedReader):
    """A stream of bytes that makes a seal, or holds a file to one.

    Args:
        file: The file, at its beginning; it is not closed.
        seal: What an earlier reading has found; `ChangedError` is raised where that is not there any
            more. None for a first reading.
    """

    def __init__(self, file: BinaryIO, seal: Seal | None = None) -> None:
        self._blocks = _Blocks(file, seal)
        super().__init__(self._blocks, _BLOCK)

    @property
    def seal(self) -> Seal:
        """What has been read: of the whole file at its end."""
        return Seal(self._blocks.at, bytes(self._blocks.digests))


class _Blocks(io.RawIOBase):
    def __init__(self, file: BinaryIO, seal: Seal | None) -> None:
        super().__init__()
        self._file = file
        self._seal = seal
        self._over = False
        self._rest = b""
        self.at = 0
        self.digests = bytearray()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._rest and not self._over:
            self._rest = self._next()
        room = memoryview(buffer).cast("B")
        some, self._rest = self._rest[: len(room)], self._rest[len(room) :]
        room[: len(some)] = some
        return len(some)

    def _next(self) -> bytes:
        wanted = _BLOCK if self._seal is None else min(_BLOCK, self._seal.size - self.at)
        block = self._read(wanted)
        digest = hashlib.blake2b(block, digest_size=_DIGEST).digest()
        if block and self._seal is None:
            self.digests += digest
        elif wanted and self._seal is not None and digest != self._expected(self._seal):
            raise ChangedError
        self.at += len(block)
        # The end as it is now: what somebody appends while the file is read is for a later reading.
        self._over = len(block) < _BLOCK
        return block

    def _expected(self, seal: Seal) -> bytes:
        begin = self.at // _BLOCK * _DIGEST
        return seal.digests[begin : begin + _DIGEST]

    def _read(self, size: int) -> bytes:
        block = b""
        while len(block) < size and (more := self._file.read(size - len(block))):
            block += more
        return block
