"""The lines of a job file, one at a time: JSON lines, or a table with a header. Blocking."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, cast

import attrs

__all__ = ["LONGEST_LINE", "FileFormat", "Raw", "format_of", "read_lines"]

FileFormat = Literal["jsonl", "csv"]

LONGEST_LINE: Final = 4 * 1024 * 1024
"""Bytes; a longer line is no request, and must not fill the memory."""

_DELIMITERS: Final = ",;\t"
_BOM: Final = b"\xef\xbb\xbf"
_NO_UTF8: Final = "is not UTF-8; save the file as UTF-8"
_ESCAPED: Final = range(0xDC80, 0xDD00)
"""What undecodable bytes become with ``surrogateescape``."""


@attrs.frozen
class Raw:
    """A line that is not blank: its fields, or what is wrong with it as a whole.

    ``number`` counts from 1. With ``is_text`` every value is a text, whatever is meant.
    """

    number: int
    fields: Mapping[str, Any]
    problem: str | None = None
    is_text: bool = False


def format_of(path: Path) -> FileFormat:
    """Return the format that a file has by its name: a table for .csv and .tsv."""
    return "csv" if path.suffix.lower() in {".csv", ".tsv"} else "jsonl"


def read_lines(stream: io.BufferedReader, form: FileFormat) -> Iterator[Raw]:
    """Yield the lines of a stream that are not blank. What reading it raises is raised as it is."""
    return _table(stream) if form == "csv" else _json_lines(stream)


def _json_lines(stream: io.BufferedReader) -> Iterator[Raw]:
    for number, line in enumerate(_bounded_lines(stream), 1):
        if line is None:
            yield Raw(number, {}, f"is longer than {LONGEST_LINE:,} bytes")
            continue
        content = line.removeprefix(_BOM) if number == 1 else line
        if content.strip():
            yield _parsed(number, content)


def _bounded_lines(stream: io.BufferedReader) -> Iterator[bytes | None]:
    """Yield lines; None for one that is too long."""
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
        yield None


def _parsed(number: int, line: bytes) -> Raw:
    try:
        value = _DECODER.decode(line.decode().strip())
    except UnicodeDecodeError:
        return Raw(number, {}, _NO_UTF8)
    except json.JSONDecodeError as error:
        return Raw(number, {}, f"is no JSON: {error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return Raw(number, {}, f"is no JSON that can be sent: {error}")
    if not isinstance(value, dict):
        return Raw(number, {}, f"holds {_kind(value)}; it must be a JSON object {{…}}")
    return Raw(number, cast("dict[str, Any]", value))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} is given twice")
    return fields


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_without_repeats, parse_constant=_refuse_constant
)


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return "a text" if isinstance(value, str) else f"{value!r}"[:40]


def _table(stream: io.BufferedReader) -> Iterator[Raw]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    names: list[str] | None = None
    for number, row, problem in _Rows(text):
        if problem is not None:
            yield Raw(number, {}, problem)
        elif not any(cell.strip() for cell in row):
            continue
        elif names is None:
            names = [name.strip() for name in row]
            if wrong := _wrong_header(names):
                yield Raw(number, {}, wrong)
                return
        else:
            yield _row(number, names, row)


class _Rows:
    """The rows of a table, each with the number of its first line, or with what is wrong."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._header = next(self._lines, "")
        delimiter = max(_DELIMITERS, key=self._header.count)
        self._reader = csv.reader(self._all(), delimiter=delimiter, strict=True)

    def _all(self) -> Iterator[str]:
        yield self._header
        yield from self._lines

    def __iter__(self) -> Iterator[tuple[int, list[str], str | None]]:
        while True:
            number = self._reader.line_num + 1
            try:
                row = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, [], f"is no row of a table: {error}"
                continue
            bad = any(ord(c) in _ESCAPED for cell in row for c in cell)
            yield number, row, _NO_UTF8 if bad else None


def _wrong_header(names: list[str]) -> str | None:
    if not all(names):
        return "is the header and has a column without a name"
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"is the header and names {twice[0]!r} twice" if twice else None


def _row(number: int, names: list[str], row: list[str]) -> Raw:
    if len(row) > len(names):
        return Raw(
            number,
            {},
            f"has {len(row)} cells under {len(names)} columns; a text with the separator in it needs "
            'quotes: "…"',
        )
    cells = {name: cell for name, cell in zip(names, row, strict=False) if cell.strip()}
    return Raw(number, cells, is_text=True)
