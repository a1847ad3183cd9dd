"""The schedule as a session uses it: its faults cost looks, and never a task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Final, ParamSpec, TypeVar

from foxapi_async.polling.schedule import Schedule

__all__ = ["Advice"]

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("foxapi_async")

_WITHOUT_ADVICE: Final = 10.0
"""Seconds to the next look if the schedule cannot tell; its own bounds hold for them too."""


class Advice(Schedule):
    """A schedule that never raises once it is made.

    It is asked in the moment in which a billed task becomes known, in the timer that hands out all
    looks, and before the end of a task is written down: what goes wrong in a forecast must not keep
    any of that from being done.
    """

    _is_at_fault = False

    def next_poll(
        self, group: Hashable, estimate: float | None, age: float, *, jitter: float = 0.5
    ) -> float:
        """Return the age of the next look; if that cannot be told, some seconds from now."""
        blindly = age + min(max(_WITHOUT_ADVICE, self._shortest), self._longest)
        return self._told(blindly, super().next_poll, group, estimate, age, jitter=jitter)

    def chance(
        self, group: Hashable, estimate: float | None, seen_running_at: float, age: float
    ) -> float:
        """Return the probability that a task has ended; if that cannot be told, one half."""
        return self._told(0.5, super().chance, group, estimate, seen_running_at, age)

    def still_running(
        self, group: Hashable, estimate: float | None, since: float, age: float
    ) -> None:
        """Learn that a task still runs, if that is possible."""
        self._told(None, super().still_running, group, estimate, since, age)

    def observe(
        self, group: Hashable, estimate: float | None, ran_until: float, ended_by: float
    ) -> None:
        """Learn when a task ended, if that is possible."""
        self._told(None, super().observe, group, estimate, ran_until, ended_by)

    def revision(self, group: Hashable) -> int:
        """Return a number that grows with what was learned; if that cannot be told, always the same."""
        return self._told(0, super().revision, group)

    def from_json(self, data: object) -> int:
        """Take over what can be read, and return how many ends it holds."""
        return self._told(0, super().from_json, data)

    def to_json(self) -> dict[str, object]:
        """Return what was learned; nothing if that cannot be told."""
        return self._told({}, super().to_json)

    def _told(self, otherwise: T, ask: Callable[P, T], *about: P.args, **options: P.kwargs) -> T:
        try:
            return ask(*about, **options)
        except Exception:  # noqa: BLE001
            # Once: with thousands of tasks in flight the same fault would fill the log.
            if not self._is_at_fault:
                self._is_at_fault = True
                _log.exception("the schedule went wrong; without it looks come at a fixed interval")
            return otherwise
