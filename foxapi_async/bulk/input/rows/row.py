"""A row of a job file, and the lines of a text in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TextIO

import attrs

LONGEST_LINE: Final = 4 * 1024 * 1024
"""Characters. No request is longer, and a longer line must not fill the memory."""

NOT_UTF8: Final = "is not UTF-8; save the file as UTF-8"

_ESCAPED: Final = re.compile("[\udc80-\udcff]")
"""What ``surrogateescape`` turns undecodable bytes into."""


class Cell(str):
    """A text of a table; the type of its field decides what it means."""

    __slots__ = ()


@attrs.frozen
class Header:
    """The names of the columns of a table, and the line that they are in."""

    number: int
    names: tuple[str, ...]


@attrs.frozen
class Row:
    """A line that is not blank: its fields, or what is wrong with it as a whole.

    ``number`` counts from 1. A table has a ``header``, and its values are of the type `Cell`.
    """

    number: int
    fields: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    problem: str | None = None
    header: Header | None = None


def is_undecoded(text: str) -> bool:
    """Return whether a text has bytes that are not UTF-8."""
    return not text.isascii() and _ESCAPED.search(text) is not None


def bounded_lines(text: TextIO) -> Iterator[str | None]:
    """Yield the lines of a text with their ends, and None for a line that is too long."""
    while line := text.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(("\n", "\r")):
            line = text.readline(LONGEST_LINE)
        yield None


def too_long(number: int) -> Row:
    """Return the row for a line that is too long."""
    return Row(number, problem=f"is longer than {LONGEST_LINE:,} characters")
