"""Why the server refused requests, as far as it decides how a command ends."""

from __future__ import annotations

from collections.abc import Collection

from foxapi_async.cli.exits import Exit, exit_for
from foxapi_async.events import Event, SubmissionFailed
from foxapi_async.outcome import status_of

__all__ = ["Refusals"]


class Refusals:
    """Gathers, from events, the exit code of each refusal: to be too busy is no wrong usage."""

    def __init__(self) -> None:
        self._codes: set[Exit] = set()

    @property
    def codes(self) -> Collection[Exit]:
        """The exit codes of what was refused."""
        return self._codes

    def note(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, SubmissionFailed) and status_of(event.error) == "rejected":
            self._codes.add(exit_for(event.error))
