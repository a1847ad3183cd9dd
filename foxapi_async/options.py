"""How a session behaves: limits, polling, retries, timeouts. All durations are in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import attrs

from foxapi_async.errors import ConfigurationError

__all__ = ["Limits", "Polling", "Retry", "Timeout"]

_Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _above_zero(*, none: bool = False) -> _Check:
    wanted = "a number above 0" + (", or None" * none)

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and none:
            return
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and 0 < value <= sys.float_info.max):  # type: ignore[operator]
            raise _wrong(instance, attribute, value, wanted)

    return check


def _whole(*, none: bool = False) -> _Check:
    wanted = "a whole number of at least 1" + (", or None" * none)

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and none:
            return
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise _wrong(instance, attribute, value, wanted)

    return check


def _flag(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise _wrong(instance, attribute, value, "True or False")


def _wrong(
    instance: object, attribute: attrs.Attribute[Any], value: object, wanted: str
) -> ConfigurationError:
    name = f"{type(instance).__name__}({attribute.name}=…)"
    return ConfigurationError(f"{name} is {value!r}; it must be {wanted}")


@attrs.frozen(kw_only=True)
class Limits:
    """What a session may do at once, and in all.

    Args:
        outputs: Images in flight: a task holds as many places as it has ``num_outputs``, from before
            its POST until it has ended. Waiting is first come, first served. A submission whose
            outcome is unknown gives its places back: if it did create a task, the server has that
            many images more in flight than the session knows of.
        total_outputs: Images that the session may bill in all, those of unknown submissions
            included; None for no bound.
        submissions_per_second: Ceiling for POSTs that create tasks; None for no ceiling of ours.
        polls_per_second: Ceiling for looks at tasks; None for no ceiling of ours.
        downloads: Files that are fetched at once.

    Raises:
        ConfigurationError: A value out of range.
    """

    outputs: int = attrs.field(default=32, validator=_whole())
    total_outputs: int | None = attrs.field(default=None, validator=_whole(none=True))
    submissions_per_second: float | None = attrs.field(
        default=None, validator=_above_zero(none=True)
    )
    polls_per_second: float | None = attrs.field(default=None, validator=_above_zero(none=True))
    downloads: int = attrs.field(default=8, validator=_whole())


@attrs.frozen(kw_only=True)
class Polling:
    """The trade between knowing soon and asking seldom.

    Args:
        poll_cost: Seconds of delay that one poll is worth: the schedule minimises
            delay + ``poll_cost`` * polls. Smaller asks more often.
        min_interval: Shortest time between two looks at one task.
        max_interval: Longest time between two looks at one task.
        give_up_after: Seconds after the submission when a wait ends with TaskTimeoutError; None for
            10 minutes (image), 30 (video), 15 (audio), 20 (document), 10 (any other kind) or 30 (a
            task that was attached, whose kind is not known).
        sync_upstream: Let the server ask its provider first at each look; its cost is not
            documented.

    Raises:
        ConfigurationError: A value out of range, or ``max_interval`` below ``min_interval``.
    """

    poll_cost: float = attrs.field(default=0.25, validator=_above_zero())
    min_interval: float = attrs.field(default=0.5, validator=_above_zero())
    max_interval: float = attrs.field(default=180.0, validator=_above_zero())
    give_up_after: float | None = attrs.field(default=None, validator=_above_zero(none=True))
    sync_upstream: bool = attrs.field(default=False, validator=_flag)

    def __attrs_post_init__(self) -> None:
        if self.max_interval < self.min_interval:
            raise ConfigurationError(
                f"Polling(max_interval={self.max_interval!r}) is below "
                f"min_interval={self.min_interval!r}"
            )

    def deadline_for(self, kind: str | None) -> float:
        """Return how many seconds after its submission a task is given up."""
        if self.give_up_after is not None:
            return self.give_up_after
        return max(_GIVE_UP_AFTER.values()) if kind is None else _GIVE_UP_AFTER.get(kind, 600.0)


_GIVE_UP_AFTER = {"image": 600.0, "video": 1800.0, "audio": 900.0, "document": 1200.0}
"""Deadlines by kind, as section 4.4 of the API reference suggests them."""


@attrs.frozen(kw_only=True)
class Retry:
    """How often something is tried, and how long to pause between tries.

    Args:
        attempts: Tries of one GET, upload or download, and of a POST that certainly created nothing,
            the first included. A 429 counts only while the session makes no progress_count at all.
        first: Longest pause before the second try; it doubles with each further one.
        longest: Longest pause between two tries.
        submissions: Whether even a POST that certainly created nothing is repeated.

    Raises:
        ConfigurationError: A value out of range.
    """

    attempts: int = attrs.field(default=4, validator=_whole())
    first: float = attrs.field(default=0.5, validator=_above_zero())
    longest: float = attrs.field(default=30.0, validator=_above_zero())
    submissions: bool = attrs.field(default=True, validator=_flag)


@attrs.frozen(kw_only=True)
class Timeout:
    """How long the server may take.

    Args:
        connect: For a TCP and TLS connection.
        request: For one whole request, a POST included.
        stall: Without a byte in a download or an upload.

    Raises:
        ConfigurationError: A value out of range.
    """

    connect: float = attrs.field(default=10.0, validator=_above_zero())
    request: float = attrs.field(default=60.0, validator=_above_zero())
    stall: float = attrs.field(default=60.0, validator=_above_zero())
