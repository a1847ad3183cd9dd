"""Reads the rows of a job file in any of its formats, encodings and compressions. Blocking."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO, cast

from foxapi_async.bulk.input.rows.detection import FileFormat, detect_format
from foxapi_async.bulk.input.rows.fingerprint import BLOCK
from foxapi_async.bulk.input.rows.json_rows import json_line_rows, json_value_rows
from foxapi_async.bulk.input.rows.prompt_rows import prompt_rows
from foxapi_async.bulk.input.rows.row import Row
from foxapi_async.bulk.input.rows.table_rows import table_rows

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GZIP: Final = b"\x1f\x8b"
_ENCODINGS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""By byte order mark; UTF-8 without one."""

_READERS: Final[Mapping[FileFormat, tuple[Callable[[TextIO], Iterator[Row]], str | None]]] = {
    "jsonl": (json_line_rows, "\n"),
    "json": (json_value_rows, "\n"),
    "csv": (table_rows, ""),
    "txt": (prompt_rows, None),
}
"""What reads each format, and where it takes lines to end (``newline`` of `open`)."""

_OTHER_FORMATS: Final = (
    (b"PK\x03\x04", "a ZIP file, as Excel and LibreOffice write workbooks"),
    (b"\xd0\xcf\x11\xe0", "a workbook of Excel"),
    (b"PAR1\x15", "a Parquet file"),
    (b"SQLite format 3\0", "a database"),
    (b"%PDF-", "a PDF"),
    (b"(\xb5/\xfd", "compressed with zstd"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"BZh91AY&SY", "compressed with bzip2"),
)
"""What people have their lists in, too, by the first bytes."""

_DAMAGED: Final = (EOFError, gzip.BadGzipFile, zlib.error)


class _Rejoined(io.RawIOBase):
    """The beginning of a stream that was read in advance, and its rest."""

    def __init__(self, head: bytes, rest: BinaryIO, error: Exception | None) -> None:
        super().__init__()
        self._head = head
        self._rest = rest
        self._error = error

    def readable(self) -> bool:
        """Return True, for `io.BufferedReader`."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read some bytes into the buffer and return how many those are."""
        if self._error is not None:
            raise self._error
        room = memoryview(buffer).cast("B")
        some, self._head = self._head[: len(room)], self._head[len(room) :]
        some = some or self._rest.read(len(room))
        room[: len(some)] = some
        return len(some)


class JobFileReader:
    """A job file that is being read, from its first byte on."""

    def __init__(self, file: io.RawIOBase) -> None:
        plain = io.BufferedReader(file, BLOCK)
        self.is_compressed: Final = plain.peek(len(_GZIP)).startswith(_GZIP)
        unpacked = gzip.GzipFile(fileobj=plain, mode="rb") if self.is_compressed else plain
        stream = cast("BinaryIO", unpacked)
        error: Exception | None = None
        self._head = b""
        try:
            # Not by `peek`, which may return a few bytes only if a file was compressed in pieces.
            self._head = stream.read(BLOCK)
        except _DAMAGED as damaged:
            error = damaged
        others = (what for magic, what in _OTHER_FORMATS if self._head.startswith(magic))
        self._other_format = next(others, None)
        marked = (name for bom, name in _ENCODINGS if self._head.startswith(bom))
        self._encoding = next(marked, "utf-8")
        self._stream = io.BufferedReader(_Rejoined(self._head, stream, error), BLOCK)

    def detect_format(self, name: str, columns: Collection[str]) -> FileFormat:
        """Return the format of the file; see `detection.detect_format`."""
        if self._other_format is not None:
            return "txt"  # `rows` says what is wrong
        return detect_format(name, self._head.decode(self._encoding, "ignore"), columns)

    def rows(self, form: FileFormat) -> Iterator[Row]:
        """Yield the rows that are not blank. Errors of the file are raised unchanged."""
        if self._other_format is not None:
            way = "save it as CSV, JSON or text, perhaps with gzip"
            yield Row(1, problem=f"the file is {self._other_format}; {way}")
            return
        read, newline = _READERS[form]
        # Half of a surrogate pair is reported by the field that has it.
        errors = "surrogateescape" if self._encoding.startswith("utf-8") else "surrogatepass"
        text = io.TextIOWrapper(
            self._stream, encoding=self._encoding, errors=errors, newline=newline
        )
        number = 0
        try:
            for row in read(text):
                number = row.number
                yield row
        except UnicodeDecodeError as error:
            yield Row(
                number + 1, problem=f"or a later line is not {error.encoding}: {error.reason}"
            )
        except _DAMAGED as error:
            yield Row(number + 1, problem=f"or a later line is damaged (gzip): {error}")
