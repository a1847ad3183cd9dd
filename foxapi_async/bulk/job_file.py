"""Reads the rows of a job file, JSON lines or a table, and detects later edits. Blocking.

The first reading takes a digest of every block of the file. Each later reading compares a block before
it hands out a byte of it, so it yields only what the first reading has checked, whatever happens to the
file meanwhile. What was appended since is not read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, NoReturn

import attrs

from foxapi_async._typeguards import is_array, is_object

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FileFormat = Literal["jsonl", "csv"]

LONGEST_LINE: Final = 4 * 1024 * 1024
"""Bytes. No request is longer, and a longer line must not fill the memory."""

_BLOCK: Final = 16 * 1024
"""Bytes: locates an edit well enough, and needs one megabyte of digests for a gigabyte."""

_DIGEST: Final = 16
_DELIMITERS: Final = ",;\t"
_BOM: Final = b"\xef\xbb\xbf"
_NOT_UTF8: Final = "is not UTF-8; save the file as UTF-8"
_ESCAPED: Final = range(0xDC80, 0xDD00)  # What ``surrogateescape`` turns undecodable bytes into


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
        wanted = _BLOCK if self._expected is None else min(_BLOCK, self._expected.size - self._size)
        block = self._file.read(wanted)
        digest = hashlib.blake2b(block, digest_size=_DIGEST).digest()
        if self._expected is None:
            self._digests += digest if block else b""
        elif wanted:
            begin = self._size // _BLOCK * _DIGEST
            if digest != self._expected.digests[begin : begin + _DIGEST]:
                raise FileChangedError
        self._size += len(block)
        # A short block is the end, even if somebody appends to the file right now.
        self._at_end = len(block) < _BLOCK
        return block


@attrs.frozen
class Row:
    """A line that is not blank: its fields, or what is wrong with it as a whole.

    ``number`` counts from 1. With ``is_text`` all values are texts, as in a table.
    """

    number: int
    fields: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    problem: str | None = None
    is_text: bool = False


def read_rows(file: io.RawIOBase, form: FileFormat) -> Iterator[Row]:
    """Yield the rows that are not blank. Errors of the file are raised unchanged."""
    stream = io.BufferedReader(file, _BLOCK)
    return _table_rows(stream) if form == "csv" else _json_rows(stream)


def _json_rows(stream: io.BufferedReader[io.RawIOBase]) -> Iterator[Row]:
    for number, line in enumerate(_bounded_lines(stream), 1):
        if line is None:
            yield Row(number, problem=f"is longer than {LONGEST_LINE:,} bytes")
            continue
        content = line.removeprefix(_BOM) if number == 1 else line
        if content.strip():
            yield _json_row(number, content)


def _bounded_lines(stream: io.BufferedReader[io.RawIOBase]) -> Iterator[bytes | None]:
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
        yield None


def _json_row(number: int, line: bytes) -> Row:
    try:
        value = _DECODER.decode(line.decode().strip())
    except UnicodeDecodeError:
        return Row(number, problem=_NOT_UTF8)
    except json.JSONDecodeError as error:
        return Row(number, problem=f"is not JSON: {error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return Row(number, problem=f"is not JSON that can be sent: {error}")
    if is_object(value):
        return Row(number, value)
    kind = "an array" if is_array(value) else "a string" if isinstance(value, str) else repr(value)
    return Row(number, problem=f"is {kind[:40]}; it must be a JSON object {{…}}")


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {repeated!r} is given twice")
    return fields


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object_without_repeats, parse_constant=_refuse_constant
)


def _table_rows(stream: io.BufferedReader[io.RawIOBase]) -> Iterator[Row]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    header = next(text, "")
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(chain([header], text), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(number, problem=f"is not a row of a table: {error}")
            continue
        if any(ord(c) in _ESCAPED for cell in cells for c in cell):
            yield Row(number, problem=_NOT_UTF8)
        elif not any(cell.strip() for cell in cells):
            continue
        elif names is None:
            names = [name.strip() for name in cells]
            if problem := _header_problem(names):
                yield Row(number, problem=problem)
                return
        else:
            yield _table_row(number, names, cells)


def _header_problem(names: list[str]) -> str | None:
    if not all(names):
        return "is the header and has a column without a name"
    repeated = sorted({name for name in names if names.count(name) > 1})
    return f"is the header and names {repeated[0]!r} twice" if repeated else None


def _table_row(number: int, names: list[str], cells: list[str]) -> Row:
    if len(cells) > len(names):
        return Row(
            number,
            problem=f"has {len(cells)} cells but the header has {len(names)}; put quotes around a text "
            'that contains the separator: "…"',
        )
    pairs = zip(names, cells, strict=False)
    return Row(number, {name: cell for name, cell in pairs if cell.strip()}, is_text=True)
