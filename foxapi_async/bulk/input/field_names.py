"""Which field of a request the name of a column means. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from functools import cache, lru_cache
from typing import Final, cast

import attrs

from foxapi_async.phota import CLASSES
from foxapi_async.requests import Request

KEY_COLUMNS: Final = ("custom_id", "id")
"""Own columns that serve as the key of a line without one, in this order."""

GENERAL: Final = ("params", "kind", "path")
"""Fields that make a line a `GenerationRequest`, whatever its model."""

_SIMILAR: Final = 0.85
"""The ratio of `difflib` from which on a name is a slip of the pen: ``promt``, ``num_output``."""


@attrs.frozen
class Meaning:
    """What a name means: a ``field`` (None for an own column), or a ``question`` that must be answered.

    ``near`` is the field that the question suggests.
    """

    field: str | None = None
    question: str | None = None
    near: str | None = None


@cache
def columns_of(cls: type[Request]) -> dict[str, attrs.Attribute[object]]:
    """Return the fields of a class of requests."""
    return attrs.fields_dict(cast("type[attrs.AttrsInstance]", cls))


@cache
def required_of(cls: type[Request]) -> tuple[str, ...]:
    """Return the fields of a class of requests that have no default."""
    return tuple(name for name, each in columns_of(cls).items() if each.default is attrs.NOTHING)


_OF_LINES: Final = ("key", "model")
_OF_REQUESTS: Final = {name: None for cls in CLASSES.values() for name in columns_of(cls)}

FIELDS: Final = frozenset((*_OF_LINES, *_OF_REQUESTS))
"""The fields of lines and of all classes of requests."""


@lru_cache(maxsize=10_000)
def meaning_of(name: str, cls: type[Request] | None) -> Meaning:
    """Return what a name means for a class of requests, or beside ``params`` (None)."""
    folded = name.casefold()
    known = [*_OF_LINES, *(() if cls is None else columns_of(cls))]
    if folded in known:
        return Meaning(folded)
    near = _similar(folded, [*known, "params"])
    if cls is not None and near is not None and folded not in _OF_REQUESTS:
        rename = f"Rename it, or map it with --field {near}={name}"
        return Meaning(question=f"did you mean {near!r}? {rename}. {_to_keep(name)}", near=near)
    if folded in _OF_REQUESTS:
        meant = "" if near is None else f"did you mean {near!r}? "
        return Meaning(question=meant + _misplaced(folded, cls), near=near)
    if (other := _similar(folded, _OF_REQUESTS)) is not None:
        text = f"did you mean {other!r}? {_misplaced(other, cls)}. {_to_keep(name)}"
        return Meaning(question=text, near=other)
    return Meaning()


def _similar(name: str, names: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, list(names), 1, _SIMILAR)), None)


def _misplaced(field: str, cls: type[Request] | None) -> str:
    if cls is None:
        return f"{field} is outside of params; only params is sent"
    models = [model for model, other in CLASSES.items() if field in columns_of(other)]
    return (
        f"{_model_of(cls)} has no field {field!r}; it is one of {' and '.join(models)}. Set the model, "
        "or remove the field"
    )


def _model_of(cls: type[Request]) -> str:
    return next(model for model, each in CLASSES.items() if each is cls)


def _to_keep(name: str) -> str:
    return f"To keep it as a column of your own, say --field {name}={name}"


@attrs.frozen
class NameLayout:
    """What the names of a row mean: ``fields`` are pairs of a name and the field that it stands for.

    ``own`` are the own columns, ``keys`` those that may serve as the key, and ``faults`` the questions
    that must be answered, by name.
    """

    fields: tuple[tuple[str, str], ...]
    own: tuple[str, ...]
    keys: tuple[str, ...]
    faults: tuple[tuple[str, Meaning], ...]


# Nearly all rows of a file have the same names, so they are sorted once.
@lru_cache(maxsize=1_000)
def layout_of(
    names: tuple[str, ...], cls: type[Request] | None, explicit: frozenset[str]
) -> NameLayout:
    """Return what names mean; about those in ``explicit`` a person has decided already."""
    fields: dict[str, str] = {}
    own: list[str] = []
    faults: list[tuple[str, Meaning]] = []
    for name in names:
        meaning = meaning_of(name, cls)
        if meaning.question is not None and (name not in explicit or name.casefold() in FIELDS):
            faults.append((name, meaning))
        elif meaning.field is None:
            own.append(name)
        elif meaning.field in fields or meaning.field == "model":  # the model has been taken
            text = f"{meaning.field!r} is given twice, in capital and in small letters"
            faults.append((name, Meaning(question=text)))
        else:
            fields[meaning.field] = name
    found = (same_name(name, own) for name in KEY_COLUMNS)
    return NameLayout(
        fields=tuple((name, field) for field, name in fields.items()),
        own=tuple(own),
        keys=tuple(name for name in found if name is not None),
        faults=tuple(faults),
    )


@lru_cache(maxsize=1_000)
def model_name(names: tuple[str, ...]) -> str | None:
    """Return the name among others that stands for the model."""
    return same_name("model", names)


def same_name(name: str, names: Collection[str]) -> str | None:
    """Return the name among others that is equal, or else differs only in capital letters."""
    if name in names:
        return name
    folded = name.casefold()
    for each in names:
        if each.casefold() == folded:
            return each
    return None
