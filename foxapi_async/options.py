"""Options of a session: limits, polling, retries, timeouts. All durations are in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal

import attrs

from foxapi_async._typeguards import as_int, as_int_or_none, as_number, as_number_or_none
from foxapi_async.errors import ConfigurationError

_Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _must_be(allowed: str, is_allowed: Callable[[Any], bool]) -> _Check:
    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not is_allowed(value):
            name = f"{type(instance).__name__}({attribute.name}=…)"
            raise ConfigurationError(f"{name} is {value!r}; it must be {allowed}")

    return check


def _is_positive(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value <= sys.float_info.max


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


_POSITIVE = _must_be("a number above 0", _is_positive)
_POSITIVE_OR_NONE = _must_be(
    "a number above 0, or None", lambda value: value is None or _is_positive(value)
)
_COUNT = _must_be("a whole number of at least 1", _is_count)
_COUNT_OR_NONE = _must_be(
    "a whole number of at least 1, or None", lambda value: value is None or _is_count(value)
)
_SCOPE = _must_be('"session" or "journal"', lambda value: value in ("session", "journal"))
_FLAG = _must_be("True or False", lambda value: isinstance(value, bool))


@attrs.frozen(kw_only=True)
class Limits:
    """Bounds of what a session does at once and in total.

    Args:
        outputs: Images in flight. A task holds ``num_outputs`` slots from before its POST until it
            ends; slots are granted first come, first served. A submission with unknown outcome
            frees its slots, so the server may have that many more images in flight.
        total_outputs: Images that the session may bill in total, including those of submissions
            with unknown outcome; None for no bound.
        submissions_per_second: The most POSTs that create tasks; None for no bound.
        polls_per_second: The most polls; None for no bound.
        downloads: Files that are downloaded at once.
        scope: Whether the bounds hold for this "session" or for all sessions of its "journal" together, a
            `PostgresJournal`. Then ``total_outputs`` counts over the life of the journal, a 429 slows
            down all sessions, and one of them tests for all whether the service answers again. All
            sessions of the journal should have that scope and the same bounds. A place of a session
            that has died is free when its task ends or, if its id is not known, after 10 minutes.

    Raises:
        ConfigurationError: A value out of range.
    """

    outputs: int = attrs.field(default=32, converter=as_int, validator=_COUNT)
    total_outputs: int | None = attrs.field(
        default=None, converter=as_int_or_none, validator=_COUNT_OR_NONE
    )
    submissions_per_second: float | None = attrs.field(
        default=None, converter=as_number_or_none, validator=_POSITIVE_OR_NONE
    )
    polls_per_second: float | None = attrs.field(
        default=None, converter=as_number_or_none, validator=_POSITIVE_OR_NONE
    )
    downloads: int = attrs.field(default=8, converter=as_int, validator=_COUNT)
    scope: Literal["session", "journal"] = attrs.field(default="session", validator=_SCOPE)


@attrs.frozen(kw_only=True)
class Polling:
    """The trade-off between short delays and few polls.

    Args:
        poll_cost: The delay that one poll is worth: the schedule minimises
            delay + ``poll_cost`` * polls. A smaller value polls more often.
        min_interval: Shortest time between two polls of one task.
        max_interval: Longest time between two polls of one task.
        give_up_after: Time after the submission at which a wait ends with TaskTimeoutError; None for 10
            minutes (image), 30 (video), 15 (audio), 20 (document), 10 (any other kind) or 30 (an
            attached task, whose kind is not known).
        sync_upstream: Whether each poll makes the server query its provider first; the cost is not
            documented.

    Raises:
        ConfigurationError: A value out of range, or ``max_interval`` below ``min_interval``.
    """

    poll_cost: float = attrs.field(default=0.25, converter=as_number, validator=_POSITIVE)
    min_interval: float = attrs.field(default=0.5, converter=as_number, validator=_POSITIVE)
    max_interval: float = attrs.field(default=180.0, converter=as_number, validator=_POSITIVE)
    give_up_after: float | None = attrs.field(
        default=None, converter=as_number_or_none, validator=_POSITIVE_OR_NONE
    )
    sync_upstream: bool = attrs.field(default=False, validator=_FLAG)

    def __attrs_post_init__(self) -> None:
        if self.max_interval < self.min_interval:
            raise ConfigurationError(
                f"Polling(max_interval={self.max_interval!r}) is below "
                f"min_interval={self.min_interval!r}"
            )


@attrs.frozen(kw_only=True)
class Retry:
    """How often a request is attempted, and the pauses between attempts.

    Args:
        attempts: Attempts of one GET, upload or download, and of a POST that certainly created
            nothing, including the first. A 429 counts only until the server has accepted something
            of the session; it is then repeated for at most 15 minutes.
        first: Longest pause before the second attempt; it doubles with each further one.
        longest: Longest pause between two attempts.
        submissions: Whether a POST that certainly created nothing is repeated.
        patience: How long a submission waits, in seconds, while submissions are paused because they got
            no clear answers, and how long a request is repeated that is answered 429. After that it is
            given up as not submitted; in a pause, so is the rest of a ``map`` operation or a job.

    Raises:
        ConfigurationError: A value out of range.
    """

    attempts: int = attrs.field(default=4, converter=as_int, validator=_COUNT)
    first: float = attrs.field(default=0.5, converter=as_number, validator=_POSITIVE)
    longest: float = attrs.field(default=30.0, converter=as_number, validator=_POSITIVE)
    submissions: bool = attrs.field(default=True, validator=_FLAG)
    patience: float = attrs.field(default=900.0, converter=as_number, validator=_POSITIVE)


@attrs.frozen(kw_only=True)
class Timeout:
    """Time limits of requests.

    Args:
        connect: For establishing a TCP and TLS connection.
        request: For one whole request, POSTs included.
        stall: For a download or an upload without noteworthy progress: less than 1 KiB a second on
            average counts as none.

    Raises:
        ConfigurationError: A value out of range.
    """

    connect: float = attrs.field(default=10.0, converter=as_number, validator=_POSITIVE)
    request: float = attrs.field(default=60.0, converter=as_number, validator=_POSITIVE)
    stall: float = attrs.field(default=20.0, converter=as_number, validator=_POSITIVE)
