"""What `to_dict()` returned, read back to values: the one cattrs converter of the package."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn

from foxapi_async._to_json import to_json
from foxapi_async._typeguards import is_mapping
from foxapi_async.errors import InvalidRequestError

T = TypeVar("T")


def from_json(cls: type[T], value: object) -> T:
    """Return the value that ``to_dict()`` described.

    Fields that this release does not know are ignored, missing ones have their defaults.

    Raises:
        InvalidRequestError: It is not a mapping, a required field is missing or a field has a wrong
            type; the message lists all of them by path.
    """
    if not is_mapping(value):
        raise InvalidRequestError(
            f"{cls.__name__}.from_dict() got a {type(value).__name__}; it takes the dict that "
            "to_dict() returned",
            value=value,
        )
    try:
        return _converter().structure(value, cls)
    except cattrs.BaseValidationError as error:
        found = "; ".join(cattrs.transform_error(error))
    raise InvalidRequestError(
        f"{cls.__name__}.from_dict() cannot read the dict: {found}", value=value
    )


# cattrs compiles functions. That happens at the first use, not when the package is imported.
@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    # cattrs' own hooks convert: None to "None", and "false" to True.
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(bool, _bool)
    converter.register_structure_hook(int, _int)
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook(datetime, _moment)
    converter.register_structure_hook(Enum, _status)
    converter.register_structure_hook_func(
        lambda cls: cls == Mapping[str, Any], lambda value, _: to_json(_object(value))
    )

    def only_from_mappings(cls: type[Any]) -> Callable[[Any, Any], Any]:
        structure = make_dict_structure_fn(cls, converter)
        return lambda value, cls: structure(_object(value), cls)

    converter.register_structure_hook_factory(attrs.has, only_from_mappings)
    return converter


def _of(cls: type[T], value: object) -> T:
    if not isinstance(value, cls):
        raise TypeError  # cattrs says which type was expected, and where
    return value


def _object(value: object) -> Mapping[str, Any]:
    if not is_mapping(value):
        raise TypeError
    return value


def _text(value: object, _: object) -> str:
    return _of(str, value)


def _bool(value: object, _: object) -> bool:
    return _of(bool, value)


def _int(value: object, _: object) -> int:
    return _of(int, None if isinstance(value, bool) else value)


def _float(value: object, _: object) -> float:
    number = float(_int(value, _)) if isinstance(value, int) else _of(float, value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _moment(value: object, _: object) -> datetime:
    moment = datetime.fromisoformat(_of(str, value))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _status(value: object, cls: Any) -> Any:
    # A later release may know more statuses.
    word = _of(str, value)
    return next((status for status in cls if status.value == word), cls.OTHER)
