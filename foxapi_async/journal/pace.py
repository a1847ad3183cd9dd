"""When the next commit is due: at once, or after a moment in which others may join it.

A commit costs as much CPU as a dozen changes. When many submissions are under way, waiting a moment
makes one commit of several; for somebody who submits one by one it would only make each step
slower, because nobody else ever comes. Both can be told apart only by trying: after a burst of commits
the pace is slowed down, and if that brings no company, it is left alone for a while.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["ENOUGH", "Pace"]

ENOUGH: Final = 64
"""Changes that need not wait for more: a change in a group of 64 costs half of one in a group of 16,
in one of 100 hardly less."""

_SPACING: Final = 0.08
"""Seconds from one commit to the next while gathering; a submission waits for two or three of them,
which is little beside the seconds that a task takes."""

_SPACING_OF_IDS: Final = 0.03
"""Seconds from one commit to the next if the id of a task waits: a process that is killed meanwhile
loses it, and a submission becomes one of which nobody knows whether it was billed."""

_BURST: Final = 8
_BURST_WITHIN: Final = 0.08
"""So many commits in so many seconds (100 per second) are worth gathering."""

_COMPANY: Final = 3
"""Changes in a group that was worth the wait."""

_PATIENCE: Final = 3
"""Groups in a row without company after which gathering ends."""

_RESPITE: Final = 1.0
"""Seconds until gathering is tried again."""

_PAUSE: Final = 0.5
"""Seconds without a commit after which the past says nothing about the future."""


class Pace:
    """Decides when to commit from when, and how much, was committed; all times in seconds."""

    def __init__(self) -> None:
        self._commits: Final[deque[float]] = deque(maxlen=_BURST)
        self._gathering = False
        self._alone = 0
        self._not_before = float("-inf")

    def due(self, waiting: int, *, has_ids: bool = False) -> float:
        """Return the moment from which a commit of so many changes is due.

        Args:
            waiting: How many there are.
            has_ids: Whether the ids of new tasks are among them.
        """
        if not self._gathering or waiting >= ENOUGH:
            return float("-inf")
        return self._commits[-1] + (_SPACING_OF_IDS if has_ids else _SPACING)

    def committing(self, now: float, size: int) -> None:
        """Note that a group of so many changes that somebody waits for is committed now."""
        if self._commits and now - self._commits[-1] > _PAUSE:
            self._commits.clear()
            self._gathering = False
        self._commits.append(now)
        if not self._gathering:
            burst = len(self._commits) == _BURST and now - self._commits[0] <= _BURST_WITHIN
            self._gathering = burst and now >= self._not_before
            self._alone = 0
        elif size >= _COMPANY:
            self._alone = 0
        else:
            self._alone += 1
            if self._alone == _PATIENCE:
                self._gathering = False
                self._not_before = now + _RESPITE
