"""Counts messages that repeat, so that one cause is one line. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(minutes=30)
"""Between two lines about one cause; each pause is twice as long as the one before."""

_MOST: Final = 100  # Causes that are counted; beyond that the oldest is forgotten


@attrs.define
class _Cause:
    since: datetime
    next_line: datetime
    pause: timedelta = _FIRST_PAUSE
    times: int = 1
    told: int = 1


@attrs.define
class Repeats:
    """The causes that were seen, each with its count."""

    _causes: dict[str, _Cause] = attrs.field(factory=dict[str, _Cause], init=False)

    def add(self, cause: str, now: datetime) -> str | None:
        """Count a cause; return "" at the first time, a line with the count when one is due, else None."""
        known = self._causes.get(cause)
        if known is None:
            if len(self._causes) >= _MOST:
                del self._causes[next(iter(self._causes))]
            self._causes[cause] = _Cause(now, now + _FIRST_PAUSE)
            return ""
        known.times += 1
        if now < known.next_line:
            return None
        known.pause = min(2 * known.pause, _LONGEST_PAUSE)
        known.next_line = now + known.pause
        return _line(cause, known)

    def rest(self) -> list[str]:
        """Return the lines that are still due at the end."""
        return [
            _line(cause, known) for cause, known in self._causes.items() if known.times > known.told
        ]


def _line(cause: str, known: _Cause) -> str:
    known.told = known.times
    return f"{cause}: {known.times:,} times since {known.since:%H:%M}"
