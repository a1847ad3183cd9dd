"""What did not work out beside the results of a run, such as a table that cannot be written."""

from __future__ import annotations

import threading
from typing import Final

import attrs

_KEPT: Final = 20
"""Notes; a run has few, and texts that differ each time must not fill the memory."""


@attrs.define
class _Note:
    first: int | None
    number: int = 0


class RunNotes:
    """Collects what a run should tell at its end: each note once with the number of lines. Thread-safe."""

    def __init__(self) -> None:
        self._notes: dict[str, _Note] = {}
        self._lock = threading.Lock()

    def add(self, text: str, line: int | None = None) -> None:
        """Add a note, which concerns a line of the job or the run as a whole."""
        with self._lock:
            if text not in self._notes and len(self._notes) >= _KEPT:
                text, line = "there were further problems of this kind", None
            self._notes.setdefault(text, _Note(line)).number += 1

    def texts(self) -> tuple[str, ...]:
        """Return a text for each note."""
        with self._lock:
            return tuple(_text(text, note) for text, note in self._notes.items())


def _text(text: str, note: _Note) -> str:
    if note.first is None:
        return text
    if note.number == 1:
        return f"line {note.first}: {text}"
    return f"{text} ({note.number:,} times, the first at line {note.first})"
