"""Some of the lines of a job, by number or key. Pure."""

from __future__ import annotations

import bisect
import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final, Self

import attrs

from foxapi_async import InvalidRequestError
from foxapi_async.bulk.input.job_line import JobLine

_RANGE: Final = re.compile(r"\s*([0-9]{1,15})\s*(?:-\s*([0-9]{1,15})\s*)?")
_MOST_SHOWN: Final = 5


def _merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the ranges in ascending order, with those that overlap as one."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _as_set(keys: Iterable[str]) -> frozenset[str]:
    return frozenset(keys)


@attrs.frozen
class Selection:
    """The lines with one of these numbers, and those with one of these keys.

    ``lines`` are ranges (first, last) of the numbers that results and errors name; both ends belong to
    the range. `Selection.parse` reads the form of the command line.
    """

    lines: tuple[tuple[int, int], ...] = attrs.field(default=(), converter=_merged)
    keys: frozenset[str] = attrs.field(default=frozenset(), converter=_as_set)

    @classmethod
    def parse(cls, lines: str | None = None, keys: str | None = None) -> Self:
        """Read "100-200,305" and "a,b"; a key with a comma or a quote is quoted as in CSV.

        Raises:
            InvalidRequestError: One of them has another form, or both are None.
        """
        if lines is None and keys is None:
            raise InvalidRequestError("a selection needs lines or keys", field="lines")
        ranges = [] if lines is None else [_range(part, lines) for part in lines.split(",")]
        return cls(ranges, frozenset() if keys is None else _keys(keys))

    def __contains__(self, line: JobLine) -> bool:
        """Return whether a line is selected."""
        return line.key in self.keys or self._range_of(line.number) is not None

    def missing(self, lines: Iterable[JobLine]) -> list[str]:
        """Return in words which numbers and keys are not among all the lines of a job."""
        keys, ranges = set(self.keys), set(self.lines)
        for line in lines:
            keys.discard(line.key)
            if (found := self._range_of(line.number)) is not None:
                ranges.discard(found)
        words = [f"no request begins at line {_range_text(each)}" for each in sorted(ranges)]
        return words + [f"no line has the key {key!r}" for key in sorted(keys)]

    def _range_of(self, number: int) -> tuple[int, int] | None:
        index = bisect.bisect_right(self.lines, number, key=lambda each: each[0]) - 1
        return self.lines[index] if index >= 0 and number <= self.lines[index][1] else None


def listed(words: Sequence[str]) -> str:
    """Return some of many words in one line."""
    more = len(words) - _MOST_SHOWN
    return "; ".join(words[:_MOST_SHOWN]) + (f"; and {more:,} more" if more > 0 else "")


def keys_text(keys: Iterable[str]) -> str:
    """Return keys as text in the form that `Selection.parse` reads."""
    given, text = list(keys), io.StringIO()
    # A space at the beginning would be skipped, and "@" there would name a file.
    unusual = any(key[:1] in {" ", "@"} for key in given)
    csv.writer(text, quoting=csv.QUOTE_ALL if unusual else csv.QUOTE_MINIMAL).writerow(given)
    return text.getvalue().removesuffix("\r\n")


def _range(part: str, text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(part)
    first, last = (0, 0) if match is None else (int(match[1]), int(match[2] or match[1]))
    if match is None or not 1 <= first <= last:
        raise InvalidRequestError(
            f"lines are {text!r}, and {part.strip()!r} is neither a line nor a range; write numbers "
            "from 1 and ascending ranges, such as 100-200,305",
            field="lines",
            value=text,
        )
    return first, last


def _range_text(lines: tuple[int, int]) -> str:
    first, last = lines
    return str(first) if first == last else f"{first}, nor at any up to {last}"


def _keys(text: str) -> frozenset[str]:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InvalidRequestError(
            f'keys are {text!r}: {error}; write a,b, and quote a key with a comma: "a,b",c',
            field="keys",
            value=text,
        ) from error
    keys = frozenset(key for row in rows for key in row if key)
    if not keys:
        raise InvalidRequestError("keys are empty; write them as a,b", field="keys", value=text)
    return keys
