"""Validators for values of the caller; their errors name the field, the value and what is allowed."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from foxapi_async._typeguards import as_int, as_number, is_array, is_mapping, is_series, is_tuple
from foxapi_async.errors import InvalidRequestError
from foxapi_async.models import without_queries

_UNSENDABLE: Final = "[\0\ud800-\udfff]"

Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]


_LONGEST_LABEL: Final = 63
"""Characters of a part of a host name (RFC 1035, section 2.3.4)."""


def refuse(field: str, value: object, allowed: str) -> InvalidRequestError:
    """Return the error for a value that is not allowed."""
    shown = repr(value)
    if "://" in shown:  # the link of a result, perhaps, whose query is a signature
        shown = without_queries(shown)
    return InvalidRequestError(
        f"{field} is {shown}; it must be {allowed}", field=field, value=value
    )


def check_count(field: str, value: Any) -> int:
    """Return a whole number of at least 1 as an int, or raise InvalidRequestError."""
    number = as_int(value)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise refuse(field, value, "a whole number of at least 1")
    return number


def check_seconds(field: str, value: Any) -> float:
    """Return a finite number of at least 0, or raise InvalidRequestError."""
    number = as_number(value)
    if not _is_number(number) or not 0 <= number <= sys.float_info.max:
        raise refuse(field, value, "a number of seconds, 0 or more")
    return float(number)


def check_positive(field: str, value: Any) -> float:
    """Return a finite number above 0, or raise InvalidRequestError."""
    number = as_number(value)
    if not _is_number(number) or not 0 < number <= sys.float_info.max:
        raise refuse(field, value, "a number above 0")
    return float(number)


def check_timeout(value: Any, field: str = "timeout") -> float:
    """Return a number of seconds of at least 0, perhaps infinite, or raise InvalidRequestError."""
    number = as_number(value)
    if not _is_number(number) or not number >= 0:
        raise refuse(field, value, "a number of seconds, 0 or more")
    return float(number) if number <= sys.float_info.max else math.inf


def check_host(host: str | None) -> None:
    """Raise `ValueError` for a host whose parts are empty or too long, which a resolver cannot encode."""
    # Not by the codec "idna": it may have to be imported, and the package may be gone from the disk.
    parts = (host or "x").removesuffix(".").split(".")
    if not all(0 < len(part) <= _LONGEST_LABEL for part in parts):
        raise ValueError("a part of the host is empty or too long")


def check_texts(field: str, value: object) -> None:
    """Raise InvalidRequestError if a text, or one within lists and mappings, cannot be sent.

    JSON can write a NUL and half of a surrogate pair, but servers reject them or cut the text there,
    perhaps after they have billed it.
    """
    if isinstance(value, str):
        if (bad := re.search(_UNSENDABLE, value)) is not None:
            what = "a NUL character" if bad[0] == "\0" else "half of a surrogate pair"
            raise InvalidRequestError(
                f"{field} contains {what} ({bad[0]!a}) at position {bad.start()}; remove it",
                field=field,
                value=value,
            )
    elif is_mapping(value):
        for name, item in value.items():
            check_texts(f"the name {name!a} in {field}", name)
            check_texts(f"{field}[{name!r}]", item)
    elif is_array(value) or is_tuple(value):
        for index, item in enumerate(value):
            check_texts(f"{field}[{index}]", item)


def count(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Allow whole numbers of at least 1."""
    check_count(attribute.name, value)


def must_be(allowed: str, is_allowed: Callable[[object], bool]) -> Check:
    """Allow the values for which a function returns True."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not is_allowed(value):
            raise refuse(attribute.name, value, allowed)

    return check


def one_of(choices: tuple[str, ...]) -> Check:
    """Allow the values of a list, which may have grown at the API since this release."""
    allowed = (
        f"one of {', '.join(map(repr, choices))}. If the service takes more by now, "
        "GenerationRequest(model, params) sends any value as it is"
    )
    return must_be(allowed, choices.__contains__)


def is_text(value: object) -> bool:
    """Return whether a value is a text that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_fraction(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def model(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Allow texts that can be the id of a model."""
    if not is_text(value):
        raise refuse(attribute.name, value, "the id of a model, such as 'phota-image'")
    check_texts(attribute.name, value)


def _is_web_url(value: object) -> bool:
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f\ud800-\udfff]", value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


_A_URL: Final = "a public http(s) URL; session.upload(path) makes one of a file"


def text(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Allow texts that are not blank and can be sent."""
    if not is_text(value):
        raise refuse(attribute.name, value, "a text that is not empty")
    check_texts(attribute.name, value)


url = must_be(_A_URL, _is_web_url)
fraction = must_be(
    "a number from 0 to 1, or None", lambda value: value is None or _is_fraction(value)
)


def urls(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Allow lists of at least one http(s) URL."""
    if not is_tuple(value) or not value:
        raise refuse(attribute.name, value, "a list of at least one URL")
    for index, item in enumerate(value):
        if not _is_web_url(item):
            raise refuse(f"{attribute.name}[{index}]", item, _A_URL)


def profile_ids(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Allow None and lists of ids."""
    if value is None:
        return
    if not is_tuple(value):
        raise refuse(attribute.name, value, "a list of profile ids, or None")
    for index, item in enumerate(value):
        if not is_text(item):
            raise refuse(f"{attribute.name}[{index}]", item, "the id of a profile")
    check_texts(attribute.name, value)


def as_tuple(value: Any) -> Any:
    """Convert an iterable to a tuple; leave any other value for the validator to refuse."""
    return tuple(value) if is_series(value) else value
