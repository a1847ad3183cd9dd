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


def _is_fraction(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_web_url(value: object) -> bool:
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f]", value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


_A_URL: Final = "a public http(s) URL; session.upload(path) makes one of a file"

text = must_be("a text that is not empty", is_text)
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


def as_tuple(value: Any) -> Any:
    """Convert an iterable to a tuple; leave any other value for the validator to refuse."""
    return tuple(value) if is_series(value) else value
