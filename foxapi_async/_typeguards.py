"""Values from outside: type guards where isinstance() leaves unknown type arguments, and numbers."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any, SupportsFloat, SupportsIndex, TypeGuard


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a decoded JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Return whether a decoded JSON value is an array."""
    return isinstance(value, list)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a caller's value is a mapping."""
    return isinstance(value, Mapping)


def is_series(value: object) -> TypeGuard[Iterable[Any]]:
    """Return whether a caller's value is an iterable other than a text, bytes or a mapping."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Return whether a caller's value is a tuple."""
    return isinstance(value, tuple)


def as_int(value: SupportsIndex) -> Any:
    """Return a whole number of any type (numpy's too) as an int, and any other value unchanged."""
    if isinstance(value, bool):
        return value
    try:
        return operator.index(value)
    except TypeError:
        return value


def as_int_or_none(value: SupportsIndex | None) -> Any:
    """Return None, or what `as_int` returns."""
    return None if value is None else as_int(value)


def as_number(value: SupportsFloat | SupportsIndex) -> Any:
    """Return a real number of any type as an int or a float, and any other value unchanged."""
    whole = as_int(value) if isinstance(value, SupportsIndex) else value
    if isinstance(whole, bool | int) or not isinstance(whole, SupportsFloat):
        return whole
    try:
        return float(whole)
    except (TypeError, ValueError, OverflowError):
        return value


def as_number_or_none(value: SupportsFloat | SupportsIndex | None) -> Any:
    """Return None, or what `as_number` returns."""
    return None if value is None else as_number(value)
