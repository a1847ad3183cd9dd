"""Values of the package as JSON types. docs/json.md lists the fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from foxapi_async._typeguards import is_array, is_mapping, is_tuple

DEEPEST: Final = 100
"""Levels of nesting that are kept. No answer of the API has as many; parsers refuse about 1,000."""

ERROR_FIELDS: Final = (
    *("task_id", "field", "value", "problems", "more", "total", "used", "requested"),
    *("status", "type", "code", "request_id", "retry_after", "ends_run", "enveloped"),
    *("sent", "errno", "excerpt", "response", "request", "key", "task", "no_poll_succeeded"),
    "paths",
)
"""The attributes of errors that are shown. ``APIStatusError.message`` has another name, because
``message`` is the text of every error."""


def to_json(value: object, levels: int = DEEPEST) -> Any:
    """Return a value in JSON types alone: dict, list, str, int, finite float, bool and None.

    NaN and infinity become None, moments ISO 8601 in UTC, half of a surrogate pair its escape, and
    values of other classes their text.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, str):
        return _valid(value)
    return _container(value, levels - 1) if levels else "nested too deeply"


def _container(value: object, levels: int) -> Any:
    fields: Any = value if is_mapping(value) else _fields(value)
    if fields is not None:
        return {_text(name): to_json(item, levels) for name, item in fields.items()}
    if is_tuple(value) or is_array(value):
        return [to_json(item, levels) for item in value]
    return _text(value)


def _fields(value: object) -> dict[str, Any] | None:
    cls = type(value)
    if isinstance(value, BaseException):
        return _error_fields(value)
    # A request says itself what it is; it may be of the caller's own class, and that may raise.
    describe: Callable[[object], dict[str, Any]] | None = getattr(cls, "_json_fields", None)
    if describe is not None:
        try:
            return describe(value)
        except Exception:  # noqa: BLE001 - the rest of the object is worth more
            return None
    # Found by the attribute that attrs documents, so that errors can be used without attrs.
    described: tuple[Any, ...] | None = getattr(cls, "__attrs_attrs__", None)
    if described is None:
        named: tuple[str, ...] = getattr(cls, "_fields", ()) if is_tuple(value) else ()
        return {name: getattr(value, name) for name in named} or None
    return {field.name: getattr(value, field.name) for field in described}


def _error_fields(error: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"error": type(error).__name__, "message": _text(error)}
    # Only errors of the package have this method: what a foreign one has may hold anything.
    if hasattr(error, "to_dict"):
        fields |= {name: getattr(error, name) for name in ERROR_FIELDS if hasattr(error, name)}
        if hasattr(error, "message"):
            fields["server_message"] = error.message
        fields["cause"] = error.__cause__
    return fields


def _text(value: object) -> str:
    try:
        return _valid(str(value))
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return _valid(object.__repr__(value))


def _valid(text: str) -> str:
    # Not str(text): that of an enum would be its name.
    return text.encode("utf-8", "backslashreplace").decode()
