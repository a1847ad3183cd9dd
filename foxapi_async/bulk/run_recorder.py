"""Keeps the run log of a run up to date: its beginning, its progress once a second, and its end."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import anyio
import attrs

from foxapi_async import Journal, Session
from foxapi_async._concurrency import run_in_thread
from foxapi_async.bulk.job import Job
from foxapi_async.bulk.record.run_log import (
    JOURNAL_NAME,
    EndReason,
    LiveRun,
    RunEnd,
    RunLog,
    RunRecord,
)
from foxapi_async.bulk.record.run_progress import RateMeter, RunProgress, Stage
from foxapi_async.bulk.record.task_locks import LOCK_NAME, TaskLocks
from foxapi_async.bulk.results.results_file import Result
from foxapi_async.bulk.run_options import RunOptions
from foxapi_async.bulk.stopping import Stopping
from foxapi_async.bulk.summary import Progress, Summary

_log = logging.getLogger("foxapi_async")

_PERIOD: Final = 1.0  # Seconds between two reports


class RunRecorder:
    """Records a run of a job in the run log of its directory."""

    def __init__(
        self,
        session: Session,
        job: Job,
        directory: Path,
        options: RunOptions,
        *,
        stopping: Stopping,
        counts: Progress,
    ) -> None:
        self.failed: bool = False
        self.stage: Stage | None = None
        """The stage, if it is not to be derived."""
        self._session = session
        self._job = job
        self._directory = directory
        self._options = options
        self._stopping = stopping
        self._counts = counts
        self._images = RateMeter()
        self._requests = RateMeter()
        self._credits: float | None = None
        self._began = self._last = time.monotonic()
        self._run: LiveRun | None = None
        self._locks: TaskLocks | None = None
        self._saving = 0
        self._named: set[str] = set()

    @property
    def other_runs(self) -> tuple[RunRecord, ...]:
        """The runs that were seen at work on the same directory."""
        return () if self._run is None else self._run.others

    def begin(self) -> None:
        """Record the beginning. Blocking."""
        used = self._session.journal
        assert used is not None
        journal = used.path if isinstance(used, Journal) else used.address
        is_default = journal == (self._directory / JOURNAL_NAME).absolute()
        limits = self._session.limits
        self._locks = TaskLocks(self._directory / LOCK_NAME)
        self._run = RunLog(self._directory).begin(
            job=self._job.path,
            read=self._job.read_options,
            journal=None if is_default else journal,
            options={
                **attrs.asdict(self._options),
                "outputs": limits.outputs,
                "total_outputs": limits.total_outputs,
            },
        )
        self._began = self._last = time.monotonic()
        self._log_others()

    async def watch(self) -> None:
        """Report the progress about once a second, until cancelled."""
        assert self._run is not None
        while True:
            progress = self.progress()
            await run_in_thread(self._run.report, progress)
            self._log_others()
            await anyio.sleep(_PERIOD)

    @asynccontextmanager
    async def saving(self, task_id: str) -> AsyncGenerator[None, None]:
        """Count a task whose files are saved within the block, which no other run enters with it."""
        assert self._locks is not None
        self._saving += 1
        try:
            async with self._locks.held(task_id):
                yield
        finally:
            self._saving -= 1

    def add(self, result: Result) -> None:
        """Take the result of a request."""
        if result.from_journal:
            return
        self._last = time.monotonic()
        if result.credits is not None:
            self._credits = (self._credits or 0) + result.credits

    def progress(self) -> RunProgress:
        """Return how far the run is now."""
        now, summary = time.monotonic(), self.summary()
        self._images.record(now, summary.fetched)
        # What the journal has decided takes no time, and would make the remaining time too short.
        self._requests.record(now, summary.decided - summary.from_journal)
        return RunProgress(
            at=datetime.now(UTC),
            seconds=now - self._began,
            stage=self.stage or ("running" if self._stopping.reason is None else "stopping"),
            summary=summary,
            images_per_minute=self._images.per_minute(),
            requests_per_minute=self._requests.per_minute(),
            saving=self._saving,
            paused_since=self._session.statistics().paused_since,
        )

    def end(self) -> None:
        """Record the end, if the beginning was recorded. Blocking."""
        if self._locks is not None:
            self._locks.close()
        if self._run is None:
            return
        summary, active = self.summary(), self._last - self._began
        rate = 60 * summary.fetched / active if summary.fetched and active > 0 else None
        self._run.end(
            RunEnd(
                reason=self._reason(summary),
                summary=summary,
                credits=self._credits,
                images_per_minute=None if rate is None else round(rate, 3),
            )
        )

    def summary(self) -> Summary:
        """Return the counts so far."""
        return self._counts.summary(self._stopping)

    def _reason(self, summary: Summary) -> EndReason:
        if self._stopping.interrupted:
            return "interrupted"
        if self.failed:
            return "error"
        if summary.timed_out and not summary.is_done:
            return "max_time"
        if summary.stopped is not None and not summary.timed_out:
            return "stopped"
        return "done" if summary.is_done else "incomplete"

    def _log_others(self) -> None:
        for run in self.other_runs:
            if run.id not in self._named:
                self._named.add(run.id)
                _log.warning(
                    "another run is at work on %s: process %d on %s, since %s, with %s",
                    self._directory,
                    run.pid,
                    run.host,
                    f"{run.began:%Y-%m-%d %H:%M:%S} UTC",
                    run.job,
                )
