"""The counts of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs

from foxapi_async import FoxAPIError, Statistics
from foxapi_async.bulk.results.results_file import Result, ResultStatus
from foxapi_async.bulk.stopping import Stopping


@attrs.frozen(kw_only=True)
class Summary:
    """The progress or the end of a run: the seven statuses of `Result` add up to ``requests``.

    During the run, ``not_submitted`` also counts the requests that wait or are in flight.
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
    """Files that this run downloaded."""
    from_journal: int
    """Requests that needed nothing from the server."""
    outputs_billed: int
    """Images that this run has billed."""
    outputs_unknown: int
    """Images that this run may have billed."""
    in_flight: int
    """Tasks under way."""
    stopped: FoxAPIError | None
    """Why submitting stopped early; None if everything was submitted."""
    interrupted: bool
    """Whether `JobRun.stop` was called."""
    timed_out: bool = False
    """Whether ``max_time`` was over before everything was submitted."""
    results: Path
    """The file with a line for each request."""

    @property
    def decided(self) -> int:
        """Requests that have ended, in whatever way."""
        return self.requests - self.not_submitted

    @property
    def is_done(self) -> bool:
        """Whether every request is completed and on disk."""
        return self.completed == self.requests


class Progress:
    """Counts the results of a run, which begins now, of a job with so many requests.

    ``statistics`` tells what was submitted so far.
    """

    def __init__(self, statistics: Callable[[], Statistics], requests: int, path: Path) -> None:
        self._statistics = statistics
        self._before = statistics()
        self._requests = requests
        self._path = path
        self._counts: Counter[str] = Counter()

    def add(self, result: Result) -> None:
        """Count a result."""
        self._counts[result.status] += 1
        self._counts["fetched"] += result.fetched
        self._counts["from_journal"] += result.from_journal
        if result.status == "completed":
            self._counts["pictures"] += len(result.files)

    def add_without_result(self, status: ResultStatus) -> None:
        """Count a request that the run leaves unfinished."""
        self._counts[status] += 1

    def summary(self, stopping: Stopping) -> Summary:
        """Return the counts so far."""
        statuses = ("completed", "unsaved", "failed", "unfinished", "rejected", "unknown")
        decided = {name: self._counts[name] for name in statuses}
        now = self._statistics()
        return Summary(
            requests=self._requests,
            **decided,
            not_submitted=self._requests - sum(decided.values()),
            **{name: self._counts[name] for name in ("pictures", "fetched", "from_journal")},
            outputs_billed=now.images_billed - self._before.images_billed,
            outputs_unknown=now.images_unknown - self._before.images_unknown,
            in_flight=now.in_flight,
            stopped=stopping.reason,
            interrupted=stopping.interrupted,
            timed_out=stopping.timed_out,
            results=self._path,
        )
