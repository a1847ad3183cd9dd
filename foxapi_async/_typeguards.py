"""Type guards for values from outside, where isinstance() leaves unknown type arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard


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
