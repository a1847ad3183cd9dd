"""The schedule as a session uses it: its faults cost looks, and never a task."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Final

from foxapi_async.polling.schedule import Schedule

__all__ = ["Advice"]

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

    def next_look(
        self, group: Hashable, estimate: float | None, age: float, *, jitter: float = 0.5
    ) -> float:
        """Return the age of the next look; if that cannot be told, some seconds from now."""
        try:
            return super().next_look(group, estimate, age, jitter=jitter)
        except Exception:  # noqa: BLE001
            self._note()
            return age + min(max(_WITHOUT_ADVICE, self._shortest), self._longest)

    def chance(
        self, group: Hashable, estimate: float | None, seen_running_at: float, age: float
    ) -> float:
        """Return the probability that a task has ended; if that cannot be told, one half."""
        try:
            return super().chance(group, estimate, seen_running_at, age)
        except Exception:  # noqa: BLE001
            self._note()
            return 0.5

    def still_running(
        self, group: Hashable, estimate: float | None, since: float, age: float
    ) -> None:
        """Learn that a task still runs, if that is possible."""
        try:
            super().still_running(group, estimate, since, age)
        except Exception:  # noqa: BLE001
            self._note()

    def observe(
        self, group: Hashable, estimate: float | None, ran_until: float, ended_by: float
    ) -> None:
        """Learn when a task ended, if that is possible."""
        try:
            super().observe(group, estimate, ran_until, ended_by)
        except Exception:  # noqa: BLE001
            self._note()

    def revision(self, group: Hashable) -> int:
        """Return a number that grows with what was learned; if that cannot be told, always the same."""
        try:
            return super().revision(group)
        except Exception:  # noqa: BLE001
            self._note()
            return 0

    def from_json(self, data: object) -> int:
        """Take over what can be read, and return how many ends it holds."""
        try:
            return super().from_json(data)
        except Exception:  # noqa: BLE001
            self._note()
            return 0

    def to_json(self) -> dict[str, object]:
        """Return what was learned; nothing if that cannot be told."""
        try:
            return super().to_json()
        except Exception:  # noqa: BLE001
            self._note()
            return {}

    def _note(self) -> None:
        # Once: with thousands of tasks in flight the same fault would fill the log.
        if not self._is_at_fault:
            self._is_at_fault = True
            _log.exception("the schedule went wrong; without it looks come at a fixed interval")
