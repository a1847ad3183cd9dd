"""What did not work out beside the results of a run, such as a table that cannot be written."""

from __future__ import annotations

import threading
from typing import Final

import attrs

_KEPT: Final = (
    20  # Causes; a run has few, and a text that differs each time must not fill the memory
)


@attrs.define
class _Cause:
    first: int | None
    number: int = 0


class RunNotes:
    """Collects what a run should tell at its end: each cause once, with the number of lines. Thread-safe."""

    def __init__(self) -> None:
        self._causes: dict[str, _Cause] = {}
        self._lock = threading.Lock()

    def add(self, text: str, line: int | None = None) -> None:
        """Add a cause, which concerns a line of the job or the run as a whole."""
        with self._lock:
            if text not in self._causes and len(self._causes) >= _KEPT:
                text, line = "there were further problems of this kind", None
            self._causes.setdefault(text, _Cause(line)).number += 1

    def texts(self) -> tuple[str, ...]:
        """Return a text for each cause."""
        with self._lock:
            return tuple(_text(text, cause) for text, cause in self._causes.items())


def _text(text: str, cause: _Cause) -> str:
    if cause.first is None:
        return text
    if cause.number == 1:
        return f"line {cause.first}: {text}"
    return f"{text} ({cause.number:,} times, the first at line {cause.first})"
