"""How values compare, hash and show themselves.

attrs would generate these methods for each class, and compile them whenever the package is imported:
that was a fifth of the time. So a value is ``@attrs.frozen(eq=False, repr=False)`` and inherits them.
They heed ``eq``, ``hash`` and ``repr`` of the fields as attrs does.
"""

from __future__ import annotations

import reprlib
from functools import cache

import attrs

__all__ = ["Value"]


class Value:
    """A frozen attrs class that is equal to, and hashes and reads like, what holds the same."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        cls: type = type(self)
        return all(getattr(self, name) == getattr(other, name) for name in _compared(cls))

    def __hash__(self) -> int:
        cls: type = type(self)
        return hash((cls, *(getattr(self, name) for name in _hashed(cls))))

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        cls: type = type(self)
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in _shown(cls))
        return f"{cls.__qualname__.rsplit('>.', 1)[-1]}({shown})"


@cache
def _compared(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(cls) if field.eq)


@cache
def _hashed(cls: type) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in attrs.fields(cls)
        if (field.eq if field.hash is None else field.hash)
    )


@cache
def _shown(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(cls) if field.repr)
