"""Rows of a table with a header, as spreadsheets and pandas write it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Final, TextIO

from foxapi_async.bulk.input.rows.row import (
    LONGEST_LINE,
    NOT_UTF8,
    Cell,
    Header,
    Row,
    bounded_lines,
    is_undecoded,
)

DELIMITERS: Final = ",;\t"

_SEPARATOR_LINE: Final = re.compile(r'"?sep=([,;\t|])"?\1*\s*\Z', re.IGNORECASE)
"""Excel's own line above the header, with the trailing separators of the other rows."""


class _LineTooLongError(csv.Error):
    """The rest of the file cannot be told apart into rows."""


def split_header(line: str, delimiter: str) -> list[str]:
    """Return the names in the first line of a table."""
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), list[str]())]
    except csv.Error:
        return line.split(delimiter)


def separator_of(line: str) -> str | None:
    """Return the separator that a line ``sep=;`` names."""
    found = _SEPARATOR_LINE.match(line)
    return None if found is None else found[1]


def table_rows(text: TextIO) -> Iterator[Row]:
    """Yield a row for each line of the table that is not blank."""
    return _Table(text).rows()


class _Table:
    """Reads a table. The reader of the standard library takes its lines from `_lines`."""

    def __init__(self, text: TextIO) -> None:
        self._text = bounded_lines(text)
        self._number = 0  # of the last line that was read
        self._recent: list[str] = []  # the lines of the current row
        self._delimiter = ","
        self._header: Header | None = None
        self._is_index_unnamed = False

    def rows(self) -> Iterator[Row]:
        try:
            first = self._first_line()
        except _LineTooLongError as error:
            yield Row(self._number, problem=f"{error}; nothing after it was checked")
            return
        reader = csv.reader(self._lines(first), delimiter=self._delimiter, strict=True)
        while True:
            self._recent.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except _LineTooLongError as error:
                yield Row(self._number, problem=f"{error}; nothing after it was checked")
                return
            except csv.Error as error:
                problem = Row(self._first_number(), problem=f"is not a row of a table: {error}")
                yield from self._literal_rows() or [problem]
                continue
            if self._header is None and any(cells):
                if (wrong := self._take_header(cells)) is not None:
                    yield Row(self._first_number(), problem=wrong)
                    return
            elif len(self._recent) > 1 and (literal := self._literal_rows()):
                yield from literal
            elif (row := self._row(self._first_number(), cells)) is not None:
                yield row

    def _first_line(self) -> str | None:
        line = self._next_line()
        if line is not None and (separator := separator_of(line)) is not None:
            self._delimiter = separator
            return self._next_line()
        while line is not None and not line.strip():
            line = self._next_line()
        if line is not None:
            self._delimiter = max(DELIMITERS, key=lambda each: len(split_header(line, each)))
        return line

    def _next_line(self) -> str | None:
        try:
            line = next(self._text)
        except StopIteration:
            return None
        self._number += 1
        if line is None:
            raise _LineTooLongError(f"is longer than {LONGEST_LINE:,} characters")
        return line

    def _lines(self, first: str | None) -> Iterator[str]:
        line = first
        while line is not None:
            self._recent.append(line)
            yield line
            line = self._next_line()

    def _first_number(self) -> int:
        return self._number - max(len(self._recent) - 1, 0)

    def _take_header(self, cells: list[str]) -> str | None:
        names = [name.strip() for name in cells]
        # pandas writes its index without a name.
        self._is_index_unnamed = len(names) > 1 and not names[0]
        while names and not names[-1]:
            names.pop()
        named = names[1:] if self._is_index_unnamed else names
        self._header = Header(self._first_number(), tuple(named))
        if any(map(is_undecoded, named)):
            return NOT_UTF8
        if not all(named):
            return "is the header and has a column without a name"
        repeated = sorted({name for name in named if named.count(name) > 1})
        return f"is the header and names {repeated[0]!r} twice" if repeated else None

    def _row(self, number: int, cells: Sequence[str]) -> Row | None:
        if not any(map(str.strip, cells)):
            return None
        if any(map(is_undecoded, cells)):
            return Row(number, problem=NOT_UTF8)
        header = self._header
        assert header is not None
        given = cells[1:] if self._is_index_unnamed else cells
        if any(map(str.strip, given[len(header.names) :])):
            return Row(
                number,
                problem=f"has {len(cells)} cells but the header names {len(header.names)} columns; put "
                'quotes around a text that contains the separator: "…"',
            )
        pairs = zip(header.names, given, strict=False)
        return Row(number, {name: Cell(c) for name, c in pairs if c.strip()}, header=header)

    def _literal_rows(self) -> list[Row]:
        """Return the recent lines as rows if each has a cell for each column; else nothing.

        Many programs write tabs between texts without any quoting, also of texts that begin with ".
        Read with quoting, such a row fails or swallows the lines up to the next ".
        """
        header = self._header
        lines = [line.rstrip("\r\n").split("\t") for line in self._recent]
        if header is None or self._delimiter != "\t":
            return []
        columns = len(header.names) + self._is_index_unnamed
        if any(len(cells) < columns for cells in lines):
            return []
        rows = [
            self._row(number, cells) for number, cells in enumerate(lines, self._first_number())
        ]
        return [row for row in rows if row is not None]
