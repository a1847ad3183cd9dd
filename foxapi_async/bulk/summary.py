"""How far a job is, counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import attrs

from foxapi_async.bulk.result import Result
from foxapi_async.errors import FoxAPIError

__all__ = ["Counts", "Summary"]


@attrs.frozen(kw_only=True)
class Summary:
    """How far a job is, or how it ended: the seven statuses of `Result` add up to ``requests``.

    While it runs, ``not_submitted`` also counts what waits its turn or is in flight.
    """

    requests: int
    completed: int
    unsaved: int
    failed: int
    unfinished: int
    rejected: int
    unknown: int
    not_submitted: int
    pictures: int
    """Files on disk of the completed requests."""
    fetched: int
    """Files that came from the network in this run."""
    from_journal: int
    """Requests of which nothing was asked of the server."""
    outputs_billed: int
    """Images that this run has billed."""
    outputs_unknown: int
    """Images that this run may have billed."""
    in_flight: int
    """Tasks under way."""
    stopped: FoxAPIError | None
    """Why no more was submitted, None if all was."""
    interrupted: bool
    """Whether somebody asked to stop."""
    results: Path
    """The file with a line for each request."""

    @property
    def decided(self) -> int:
        """Requests that are over, well or badly."""
        return self.requests - self.not_submitted

    @property
    def is_done(self) -> bool:
        """Whether every request is completed and on disk."""
        return self.completed == self.requests


@attrs.define
class Counts:
    """The counters behind `Summary`."""

    statuses: Counter[str] = attrs.field(factory=Counter[str])
    pictures: int = 0
    fetched: int = 0
    from_journal: int = 0

    def add(self, result: Result) -> None:
        """Take in a result."""
        self.statuses[result.status] += 1
        self.fetched += result.fetched
        self.from_journal += result.from_journal
        if result.status == "completed":
            self.pictures += len(result.files)
