"""What a value from outside is, said so that the type checkers know what is in it, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

__all__ = ["is_array", "is_mapping", "is_object", "is_series", "is_tuple"]


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
    """Return whether a caller's value is a list or the like."""
    # A str is an iterable of its letters, which nobody means.
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Return whether a caller's value is a tuple."""
    return isinstance(value, tuple)
