"""attrs validators for requests; their errors name the field, the value and what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from foxapi_async._typeguards import is_series, is_tuple
from foxapi_async.errors import InvalidRequestError

Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def refuse(field: str, value: object, allowed: str) -> InvalidRequestError:
    """Return the error for a value that is not allowed."""
    return InvalidRequestError(
        f"{field} is {value!r}; it must be {allowed}", field=field, value=value
    )


def check_count(field: str, value: object) -> None:
    """Raise InvalidRequestError unless the value is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise refuse(field, value, "a whole number of at least 1")


def check_seconds(field: str, value: object) -> None:
    """Raise InvalidRequestError unless the value is a finite number of at least 0."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else -1.0
    if not 0 <= number < math.inf:
        raise refuse(field, value, "a number of seconds, 0 or more")


def count(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Allow whole numbers of at least 1."""
    check_count(attribute.name, value)


def text(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Allow texts that are not blank."""
    if not isinstance(value, str) or not value.strip():
        raise refuse(attribute.name, value, "a text that is not empty")


def one_of(choices: tuple[str, ...]) -> Check:
    """Allow the values of a list, which may have grown at the API since this release."""
    allowed = (
        f"one of {', '.join(map(repr, choices))}. If the service takes more by now, "
        "GenerationRequest(model, params) sends any value as it is"
    )

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            raise refuse(attribute.name, value, allowed)

    return check


def fraction(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Allow None and numbers from 0 to 1."""
    if value is None:
        return
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= 1:
        raise refuse(attribute.name, value, "a number from 0 to 1, or None")


def url(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Allow http(s) URLs."""
    if not _is_web_url(value):
        raise refuse(attribute.name, value, _A_URL)


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
        if not isinstance(item, str) or not item.strip():
            raise refuse(f"{attribute.name}[{index}]", item, "the id of a profile")


def as_tuple(value: Any) -> Any:
    """Convert an iterable to a tuple; leave any other value for the validator to refuse."""
    return tuple(value) if is_series(value) else value


_A_URL: Final = "a public http(s) URL; session.upload(path) makes one of a file"


def _is_web_url(value: object) -> bool:
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f]", value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
