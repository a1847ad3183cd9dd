"""Rows of JSON: a value per line, or an array, which is read element by element."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn, TextIO

from foxapi_async._typeguards import is_array, is_object
from foxapi_async.bulk.input.rows.row import (
    LONGEST_LINE,
    NOT_UTF8,
    Row,
    bounded_lines,
    is_undecoded,
    too_long,
)

_CHUNK: Final = 64 * 1024  # Characters that are read at once
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_REST: Final = "nothing after it was checked"


def json_line_rows(text: TextIO) -> Iterator[Row]:
    """Yield a row for each line that is not blank."""
    for number, line in enumerate(bounded_lines(text), 1):
        if line is None:
            yield too_long(number)
        elif content := line.strip():
            yield _line_row(number, content)


def json_value_rows(text: TextIO) -> Iterator[Row]:
    """Yield a row for each element of an array, or for each value of several that follow each other.

    The number of a row is that of the line that its value begins in; values of the same line count on,
    because each row has its own number.
    """
    values = _ValueReader(text)
    number = 0
    in_array = values.skip("[")
    while following := values.next_character():
        if in_array and following == "]":
            values.skip("]")
            if values.next_character():
                yield Row(
                    max(values.line, number + 1), problem=f"follows the end of the array; {_REST}"
                )
            return
        number = max(values.line, number + 1)
        row = values.read(number)
        yield row
        if values.is_lost:
            return
        if in_array and not values.skip(",") and values.next_character() not in {"]", ""}:
            problem = f"is not separated by a comma from the element before it; {_REST}"
            yield Row(max(values.line, number + 1), problem=problem)
            return
    if in_array:
        yield Row(max(values.line, number + 1), problem="is the end of the file, without a ]")


class _ValueReader:
    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self.line = 1
        self.is_lost = False  # The end of a value is not known

    def next_character(self) -> str:
        """Skip white space and return the next character without reading it, "" at the end."""
        while True:
            space = _SPACE.match(self._buffer, self._at)
            assert space is not None
            self._advance(space.end())
            if self._at < len(self._buffer) or not self._fill(_CHUNK):
                return self._buffer[self._at : self._at + 1]

    def skip(self, character: str) -> bool:
        """Read the next character if it is this one."""
        found = self.next_character() == character
        self._at += found
        return found

    def read(self, number: int) -> Row:
        """Read a value as a row."""
        begin = self._at
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, begin)
            except json.JSONDecodeError as error:
                kept = len(self._buffer) - begin
                if kept <= LONGEST_LINE and self._fill(max(_CHUNK, kept)):
                    begin = self._at  # the value goes on
                    continue
                self.is_lost = True
                if kept > LONGEST_LINE:
                    return Row(number, problem=f"{too_long(number).problem}; {_REST}")
                line = self.line + self._buffer.count("\n", begin, error.pos)
                return Row(number, problem=f"is not JSON: {error.msg} in line {line}; {_REST}")
            except (ValueError, RecursionError) as error:
                self._skip_value()
                return Row(number, problem=f"is not JSON that can be sent: {error}")
            break
        content = self._buffer[begin:end]
        self._advance(end)
        if len(content) > LONGEST_LINE:
            return too_long(number)
        return Row(number, problem=NOT_UTF8) if is_undecoded(content) else _row_of(number, value)

    def _skip_value(self) -> None:
        try:
            _, end = json.JSONDecoder().raw_decode(self._buffer, self._at)
        except (ValueError, RecursionError):
            self.is_lost = True
        else:
            self._advance(end)

    def _advance(self, end: int) -> None:
        self.line += self._buffer.count("\n", self._at, end)
        self._at = end

    def _fill(self, size: int) -> bool:
        more = self._text.read(size)
        self._buffer, self._at = self._buffer[self._at :] + more, 0
        return bool(more)


def _line_row(number: int, line: str) -> Row:
    if is_undecoded(line):
        return Row(number, problem=NOT_UTF8)
    try:
        value = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        return Row(number, problem=f"is not JSON: {error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return Row(number, problem=f"is not JSON that can be sent: {error}")
    return _row_of(number, value)


def _row_of(number: int, value: Any) -> Row:
    if is_object(value):
        return Row(number, value)
    if isinstance(value, str):
        return Row(number, {"prompt": value})
    kind = "an array" if is_array(value) else repr(value)
    return Row(
        number, problem=f"is {kind[:40]}; it must be a JSON object {{…}}, or a prompt as a string"
    )


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
