"""From the fields of a line to a request: everything wrong with it at once. Pure."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, cast

import attrs

from foxapi_async import phota
from foxapi_async.errors import InvalidRequestError
from foxapi_async.requests import GenerationRequest, Request

__all__ = ["Reading", "read_fields"]

_CLASSES: Final[Mapping[str, type[Request]]] = {
    cls.MODEL: cls
    for cls in (
        phota.PhotaImage,
        phota.PhotaImageEdit,
        phota.PhotaImageEnhance,
        phota.PhotaCreateProfile,
    )
}

_DEFAULT_MODEL: Final = phota.PhotaImage.MODEL
_GENERAL: Final = ("params", "kind", "path")
"""Fields that make a line a `GenerationRequest`, whatever its model."""

_TEXTS: Final = frozenset({"key", "model", "kind", "path", "prompt"})
_GROWN: Final = 'A field that the service has grown since goes into "params": {…} with all others'
_LOOKS_LIKE_JSON: Final = ("{", "[", '"')


@attrs.frozen
class Reading:
    """What a line says: a key of its own (or None) and a request, or what is wrong, by field."""

    key: str | None
    request: Request | None
    problems: tuple[tuple[str | None, str], ...] = ()


def read_fields(fields: Mapping[str, Any], *, is_text: bool = False) -> Reading:
    """Return the request of a line.

    ``key`` names it. Without ``params``, ``kind`` and ``path``, a ``phota-*`` model (the default is
    "phota-image") is checked field by field as its own class; any other line is a
    `GenerationRequest`, whose fields beside these are its parameters. What is None is left out.

    Args:
        fields: What the line holds.
        is_text: Every value is a text, from a table: numbers and lists are read from it.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    problems: list[tuple[str | None, str]] = []
    key = given.pop("key", None)
    if key is not None and (not isinstance(key, str) or not key):
        problems.append(("key", f"key is {_shown(key)}; it must be a text that is not empty"))
    model = given.pop("model", _DEFAULT_MODEL)
    cls = _CLASSES.get(model) if isinstance(model, str) else None
    if cls is not None and not any(name in given for name in _GENERAL):
        request = _special(cls, given, problems, is_text=is_text)
    else:
        request = _general(model, given, problems, is_text=is_text)
    return Reading(key, None if problems else request, tuple(problems))


def _special(
    cls: type[Request],
    given: Mapping[str, Any],
    problems: list[tuple[str | None, str]],
    *,
    is_text: bool,
) -> Request | None:
    columns = _columns(cls)
    values: dict[str, Any] = {}
    problems.extend(
        (name, f"{cls.__name__} has no field {name!r}; it has {', '.join(columns)}. {_GROWN}")
        for name in given
        if name not in columns
    )
    for name, column in columns.items():
        if name not in given:
            if column.default is attrs.NOTHING:
                problems.append((name, f"{name} is missing"))
            continue
        value = _typed(given[name], _types(cls)[name]) if is_text else given[name]
        value = _converter(column)(value)
        try:
            if column.validator is not None:
                column.validator(None, column, value)
        except InvalidRequestError as error:
            problems.append((name, _short(str(error))))
        values[name] = value
    return None if problems else cls(**values)


def _general(
    model: Any,
    given: dict[str, Any],
    problems: list[tuple[str | None, str]],
    *,
    is_text: bool,
) -> Request | None:
    if is_text:
        given = {name: _cell(name, value, problems) for name, value in given.items()}
    general = {name: given.pop(name) for name in ("kind", "path") if name in given}
    params: Any = given
    if "params" in given:
        params = given.pop("params")
        problems.extend(
            (name, f"{name} stands beside params; put it inside: the fields are sent from there")
            for name in given
        )
    if problems:
        return None
    try:
        return GenerationRequest(model, params, **general)
    except InvalidRequestError as error:
        problems.append((error.field, _short(str(error))))
        return None


def _cell(name: str, text: str, problems: list[tuple[str | None, str]]) -> Any:
    """Return what a cell of a table means where no type tells: JSON if it is, else the text."""
    if name in _TEXTS:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(_LOOKS_LIKE_JSON):
            problems.append((name, f"looks like JSON and is none: {error}"))
        return text


def _typed(text: str, kinds: frozenset[Any]) -> Any:
    """Return a cell of a table as one of these types, or as it is: then the validator objects."""
    if tuple in kinds:
        if not text.lstrip().startswith("["):
            return text.split()
        try:
            return json.loads(text)
        except ValueError:
            return text
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text.strip())
            except ValueError:
                return text
    return text


def _columns(cls: type[Request]) -> Mapping[str, attrs.Attribute[Any]]:
    return attrs.fields_dict(cast("type[attrs.AttrsInstance]", cls))


def _converter(column: attrs.Attribute[Any]) -> Callable[[Any], Any]:
    converter: Any = cast("Any", column).converter
    return (lambda value: value) if converter is None else converter


@cache
def _types(cls: type[Request]) -> Mapping[str, frozenset[Any]]:
    """Return the types that each field may have, without their parameters."""
    hints = typing.get_type_hints(cls)
    return {name: frozenset(_alternatives(hints[name])) for name in _columns(cls)}


def _alternatives(hint: Any) -> list[Any]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return [kind for part in typing.get_args(hint) for kind in _alternatives(part)]
    return [typing.get_origin(hint) or hint]


def _short(text: str) -> str:
    return text if len(text) <= 400 else f"{text[:300]} … {text[-90:]}"  # noqa: PLR2004


def _shown(value: object) -> str:
    return _short(repr(value))
