"""Patterns for the names of files, such as ``{category}/{line:05}-{key}``: parsed and filled in. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from string import Formatter
from typing import Any, Final, Self

import attrs

from foxapi_async import InvalidRequestError
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.files.filenames import clean, is_written_by_jobs, without_image_extension

MOST_BYTES: Final = 120
"""Of a component: the index, the number of a clash and the extension follow, and stay below 150 bytes."""

_MOST_COMPONENTS: Final = 10
_LONGEST_PATTERN: Final = 1000
_LONGEST_VALUE: Final = 1000
"""Characters of a value that are looked at; a component is shorter."""

_PROMPT: Final = 60
"""Characters of ``{prompt}``: enough to tell pictures apart. ``{prompt:.100}`` takes more."""

_NUMBER: Final = re.compile(r"\d+")
_WANTS_NUMBER: Final = re.compile(r"0\d*\.?\d*|.*[bcdeEfFgGnoxX%]")
_OF_EVERY_LINE: Final = ("line", "key", "index", "model")


@attrs.frozen
class _Part:
    literal: str
    field: str | None = None
    spec: str = ""


@attrs.frozen
class FileName:
    """The name of a file below the directory of a job: its folders, and the name without an extension."""

    folders: tuple[str, ...]
    stem: str


@attrs.frozen
class NamePattern:
    """A pattern that has been parsed with `NamePattern.parse`; ``fields`` are those that it uses."""

    text: str
    fields: tuple[str, ...]
    _components: tuple[tuple[_Part, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a pattern; raise InvalidRequestError if it is none, or its files would leave the directory."""
        if len(text) > _LONGEST_PATTERN:
            raise _refused(text, f"it is longer than {_LONGEST_PATTERN} characters")
        if "\\" in text:
            raise _refused(text, "it has a backslash; folders are separated by /")
        components = text.split("/")
        if len(components) > _MOST_COMPONENTS:
            raise _refused(text, f"it has more than {_MOST_COMPONENTS - 1} folders")
        parsed = tuple(_parse_component(text, each) for each in components)
        fields = dict.fromkeys(
            part.field for parts in parsed for part in parts if part.field is not None
        )
        if not fields:
            raise _refused(text, "it has no field such as {key}, so all files would have one name")
        return cls(text, tuple(fields), parsed)

    @property
    def depth(self) -> int:
        """The number of folders above a file."""
        return len(self._components) - 1

    def render(self, values: Mapping[str, Any], *, index: int | None) -> FileName:
        """Fill in the values of all fields; ``index`` is added unless the pattern has it or it is None.

        Raises:
            ValueError: A value does not suit its format; the text names the field.
        """
        *folders, stem = (_filled(parts, values) for parts in self._components)
        name = clean(without_image_extension(stem), most=MOST_BYTES)
        if index is not None and "index" not in self.fields:
            name = f"{name}-{index}"
        # The first folder is beside the files that a job writes itself.
        names = (clean(each, most=MOST_BYTES) for each in folders)
        return FileName(tuple(f"_{n}" if is_written_by_jobs(n) else n for n in names), name)


def values_of(line: JobLine, index: int) -> dict[str, Any]:
    """Return the values that a pattern may use for an output of a line; what is None is left out."""
    payload = line.request.payload()
    values: dict[str, Any] = {**line.own, **payload}
    values |= {"line": line.number, "key": line.key, "index": index, "model": line.request.model}
    return {name: value for name, value in values.items() if value is not None}


def _parse_component(text: str, component: str) -> tuple[_Part, ...]:
    if component in {"", ".", ".."}:
        what = "an empty part" if not component else f"the part {component!r}"
        raise _refused(text, f"it has {what} between slashes; a file cannot leave the directory")
    try:
        found = list(Formatter().parse(component))
    except ValueError as error:
        raise _refused(text, f"{error}; {{{{ and }}}} stand for braces themselves") from None
    parts: list[_Part] = []
    for literal, field, spec, conversion in found:
        if field is None:
            parts.append(_Part(literal))
            continue
        if not field.strip():
            raise _refused(text, "it has a field without a name: {}")
        if conversion is not None:
            raise _refused(text, f"{{{field}!{conversion}}}: there are no conversions")
        parts.append(_Part(literal, field, _checked_spec(text, field, spec or "")))
    return tuple(parts)


def _checked_spec(text: str, field: str, spec: str) -> str:
    if "{" in spec or any(int(number) > MOST_BYTES for number in _NUMBER.findall(spec)):
        raise _refused(text, f"{{{field}:{spec}}}: widths are numbers up to {MOST_BYTES}")
    for sample in ("", 1, 1.0):
        try:
            format(sample, spec)
        except ValueError as error:
            reason = str(error)
        else:
            return spec
    raise _refused(text, f"{{{field}:{spec}}}: {reason}")


def _filled(parts: tuple[_Part, ...], values: Mapping[str, Any]) -> str:
    return "".join(
        part.literal + ("" if part.field is None else _text(part.field, values, part.spec))
        for part in parts
    )


def _text(field: str, values: Mapping[str, Any], spec: str) -> str:
    value = values[field]
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        value = " ".join(value[:_LONGEST_VALUE].split())
        if field == "prompt" and not spec and len(value) > _PROMPT:
            value = value[:_PROMPT].rpartition(" ")[0] or value[:_PROMPT]
        if _WANTS_NUMBER.fullmatch(spec):
            # A table has only texts.
            value = _number(value)
    try:
        return format(value, spec)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{field}: {value!r:.100} cannot be formatted as {spec!r}: {error}"
        ) from None


def _number(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _refused(pattern: str, reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"the pattern of names {pattern!r:.300} cannot be used: {reason}. It may use the fields "
        f"{', '.join(_OF_EVERY_LINE)}, prompt, those of the request, and own columns, as in "
        "{category}/{line:05}-{key}",
        field="name",
        value=pattern,
    )
