"""Running a job in a session, from where an earlier run has stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from foxapi_async._concurrency import finish_despite_cancellation, run_in_thread
from foxapi_async.bulk.brake import Brake
from foxapi_async.bulk.feed import Feed
from foxapi_async.bulk.feeding import Feeding
from foxapi_async.bulk.homeward import bring_home
from foxapi_async.bulk.job import Job, JobLine
from foxapi_async.bulk.result import Result, code_of
from foxapi_async.bulk.results import ResultsFile, lasting
from foxapi_async.bulk.sheet import write_sheet
from foxapi_async.bulk.summary import Counts, Summary
from foxapi_async.errors import BudgetExceededError, ConfigurationError, FoxAPIError
from foxapi_async.files.partfile import remove_stale_parts
from foxapi_async.journal import JournalStatus
from foxapi_async.mapping import OutcomeIterator
from foxapi_async.outcome import Outcome
from foxapi_async.session import Session

__all__ = ["GRACE", "JOURNAL_NAME", "RESULTS_NAME", "SHEET_NAME", "JobRun", "run_job"]

_log = logging.getLogger("foxapi_async")

SHEET_NAME: Final = "index.html"
RESULTS_NAME: Final = "results.jsonl"
JOURNAL_NAME: Final = "journal.sqlite"
"""What the journal of a job is called if nobody says otherwise, beside its pictures."""

GRACE: Final = 120.0
"""Seconds that tasks in flight get to come home when a run is stopped."""

_HOMEWARD: Final = 64
"""Tasks whose files are being fetched or wait for that, at least; as many as may be in flight if those
are more, since tasks that end together must not keep new ones from being submitted. When all places
are taken no more outcomes are read, so that no more is paid for than comes home."""

_LEFT: Final = {
    JournalStatus.SENDING: "unknown",
    JournalStatus.UNKNOWN: "unknown",
    JournalStatus.ACCEPTED: "unfinished",
    JournalStatus.COMPLETED: "unfinished",
    JournalStatus.SAVED: "unfinished",
    JournalStatus.FAILED: "failed",
}
"""What a request is that the run was left with; all others were not submitted."""

_UNREAD: Final = 64
"""Results that may wait for the caller, for the same reason."""


def run_job(
    session: Session,
    job: Job,
    directory: str | os.PathLike[str],
    *,
    retry_failed: bool = False,
    retry_unknown: bool = False,
    sheet: bool = True,
) -> JobRun:
    """Return a run of a job; enter it with ``async with`` and iterate over its results.

    What the journal knows is not submitted again: finished requests whose pictures are whole are
    reported at once, tasks in flight are picked up, files that are missing or damaged are fetched
    again. Results come in the order in which they are known, and are in ``results.jsonl`` by then.

    Args:
        session: An open session with a journal; its limits count.
        job: What to generate.
        directory: Where pictures and ``results.jsonl`` go; it is made if it is not there.
        retry_failed: Submit, and pay, what has failed once more.
        retry_unknown: Submit what may have been billed once more: it may be billed twice.
        sheet: Make the contact sheet ``index.html`` before the last result's end.
    """
    return JobRun(
        session,
        job,
        Path(directory),
        retry_failed=retry_failed,
        retry_unknown=retry_unknown,
        sheet=sheet,
    )


class JobRun(AsyncIterator[Result]):
    """A job that is being run; made by `run_job`, used as ``async with``.

    Raises:
        ConfigurationError: On entry: the session has no journal, the folder cannot be written, or
            results are there whose journal is not: to go on would pay for them again.
    """

    def __init__(
        self,
        session: Session,
        job: Job,
        directory: Path,
        *,
        retry_failed: bool,
        retry_unknown: bool,
        sheet: bool,
    ) -> None:
        if session.journal is None:
            raise ConfigurationError("a job needs a journal: Session(journal='night.journal')")
        self._session = session
        self._job = job
        self._directory = directory
        self._journal = session.journal
        self._feed = Feed(
            job,
            self._journal,
            directory,
            paid_before=self._paid_before,
            retry_failed=retry_failed,
            retry_unknown=retry_unknown,
        )
        self._results: ResultsFile | None = None
        self._has_news = False
        self._wants_sheet = sheet
        self._leaving = threading.Event()
        self._results_path = directory / RESULTS_NAME
        self._outcomes: OutcomeIterator | None = None
        self._lines: dict[int, JobLine] = {}
        self._places = anyio.Semaphore(max(_HOMEWARD, session.limits.outputs))
        self._brake = Brake()
        self._counts = Counts()
        self._before = session.statistics()
        self._why: FoxAPIError | None = None
        self._fault: Exception | None = None
        self._stop_asked = False
        self._patience = anyio.CancelScope()
        self._taken = 0
        self._owner: asyncio.Task[None] | None = None
        self._news: MemoryObjectReceiveStream[Result] | None = None

    async def __aenter__(self) -> Self:
        self._results = await run_in_thread(self._open)
        send, self._news = anyio.create_memory_object_stream[Result](_UNREAD)
        self._owner = asyncio.create_task(self._live(send), name="foxapi-async job")
        return self

    async def __aexit__(
        self,
        _: type[BaseException] | None,
        __: BaseException | None,
        ___: TracebackType | None,
    ) -> None:
        owner, news, results = self._owner, self._news, self._results
        assert owner is not None
        assert news is not None
        assert results is not None
        self._leaving.set()
        owner.cancel()
        await finish_despite_cancellation(lambda: asyncio.wait([owner]))
        news.close()
        await run_in_thread(results.close)

    async def __anext__(self) -> Result:
        if self._news is None:
            raise ConfigurationError("use a job's run as `async with run_job(…) as run`")
        try:
            return await self._news.receive()
        except anyio.EndOfStream:
            fault, self._fault = self._fault, None
            if fault is not None:
                raise fault from None
            raise StopAsyncIteration from None

    def stop(self, grace: float = GRACE) -> None:
        """Submit no more; what is in flight gets so many seconds to come home, then the run ends.

        What has not come home by then is picked up by the next run.
        """
        self._stop_asked = True
        self._halt(FoxAPIError("the run was stopped before this was sent"))
        now = (
            asyncio.get_running_loop().time()
        )  # a signal handler runs in no task, where anyio has no clock
        self._patience.deadline = min(self._patience.deadline, now + grace)

    @property
    def results(self) -> ResultsFile:
        """The file with the results, while the run is entered."""
        assert self._results is not None
        return self._results

    @property
    def summary(self) -> Summary:
        """How far the job is; after the last result, how it ended."""
        counts = self._counts.statuses
        now, before = self._session.statistics(), self._before
        others = ("completed", "unsaved", "failed", "unfinished", "rejected", "unknown")
        known = {name: counts[name] for name in others}
        return Summary(
            requests=self._job.requests,
            **known,
            not_submitted=self._job.requests - sum(known.values()),
            pictures=self._counts.pictures,
            fetched=self._counts.fetched,
            from_journal=self._counts.from_journal,
            outputs_billed=now.images_billed - before.images_billed,
            outputs_unknown=now.images_unknown - before.images_unknown,
            in_flight=now.in_flight,
            stopped=self._why,
            interrupted=self._stop_asked,
            results=self._results_path,
        )

    def _open(self) -> ResultsFile:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            remove_stale_parts(self._directory, time.time())
        except OSError as error:
            raise ConfigurationError(
                f"nothing can be saved in {self._directory}: {error.strerror or error}"
            ) from error
        results = ResultsFile(self._results_path)
        try:
            self._check_that_it_is_known(results)
        except BaseException:
            results.close()
            raise
        return results

    def _check_that_it_is_known(self, results: ResultsFile) -> None:
        # A journal that knows some and not others is met line by line.
        if (paid := results.count_paid()) and self._journal.is_blank():
            raise ConfigurationError(
                f"{self._results_path} tells of {paid} requests that were paid for, but the "
                f"journal {str(self._journal.path)!r} is empty: running the job would pay for them "
                "again. Give the journal that belongs to it, or another folder"
            )

    def _paid_before(self, key: str) -> str | None:
        return self.results.paid_before(key)

    def _halt(self, why: FoxAPIError) -> None:
        if self._why is None:
            self._why = why
        if self._outcomes is None:
            return
        if isinstance(why, BudgetExceededError):
            # What was read before it still has its share of the budget.
            self._outcomes.stop_reading()
        else:
            self._outcomes.stop_submitting(why)

    async def _live(self, send: MemoryObjectSendStream[Result]) -> None:
        reports, reported = anyio.create_memory_object_stream[Result](_UNREAD)
        try:
            async with send:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._write, reported, send)
                    with self._patience:
                        await self._work(reports)
                    reports.close()
                await self._draw()
        except Exception as fault:  # noqa: BLE001 - handed to whoever reads the results
            self._fault = self._fault or fault
        finally:
            reports.close()
            reported.close()

    async def _draw(self) -> None:
        if not self._wants_sheet or not (self._has_news or self._is_without_sheet()):
            return
        try:
            await run_in_thread(
                lambda: write_sheet(
                    self._directory,
                    self.results,
                    self.summary,
                    datetime.now().astimezone(),
                    given_up=self._leaving.is_set,
                )
            )
        except OSError as error:
            _log.warning("the contact sheet could not be written: %s", error)

    def _is_without_sheet(self) -> bool:
        return not (self._directory / SHEET_NAME).exists()

    async def _work(self, reports: MemoryObjectSendStream[Result]) -> None:
        feeding = Feeding(self._feed, self._journal, reports, self._take)
        outcomes = self._session.map(feeding)
        assert isinstance(outcomes, OutcomeIterator)
        self._outcomes = outcomes
        try:
            if self._why is not None:
                outcomes.stop_submitting(self._why)
            async with anyio.create_task_group() as homeward:
                try:
                    async for outcome in outcomes:
                        await self._places.acquire()
                        homeward.start_soon(self._finish, outcome, reports)
                except Exception as fault:  # noqa: BLE001 - after what is in flight has come home
                    self._fault = fault
        finally:
            await outcomes.aclose()
            await feeding.aclose()
            with anyio.CancelScope(shield=True):
                await run_in_thread(self._count_what_is_left)

    def _count_what_is_left(self) -> None:
        """Count the requests whose end nobody has waited for, by what the journal knows of them."""
        keys = [line.key for line in self._lines.values()]
        for entry in self._journal.find(keys).values():
            status = _LEFT.get(entry.status)
            if status is not None:
                self._counts.statuses[status] += 1

    def _take(self, line: JobLine) -> None:
        self._lines[self._taken] = line
        self._taken += 1

    async def _finish(self, outcome: Outcome, reports: MemoryObjectSendStream[Result]) -> None:
        line = self._lines[outcome.index]
        try:
            result = await self._result_of(line, outcome)
            if result is not None:
                await reports.send(result)
            del self._lines[outcome.index]
        except FoxAPIError as error:  # the journal or the disk
            self._fault = self._fault or error
            self._halt(error)
        except Exception as fault:  # noqa: BLE001 - a fault of ours must not be silent
            self._fault = self._fault or fault
            self._halt(FoxAPIError(f"something went wrong: {fault!r}"))
        finally:
            self._places.release()

    async def _result_of(self, line: JobLine, outcome: Outcome) -> Result | None:
        if (why := self._brake.after(outcome.status, outcome.error)) is not None:
            self._halt(why)
        if outcome.status == "not_submitted" and self._why is not None:
            return None  # its turn comes in the next run
        error, task = outcome.error, outcome.task
        result = Result(
            line=line.number,
            key=line.key,
            status=outcome.status,
            request=line.request,
            task_id=outcome.task_id,
            error_code=code_of(error, task),
            error=None if error is None else str(error),
        )
        if outcome.status != "completed" or task is None:
            return result
        home = await bring_home(self._session, self._journal, self._directory, line, task)
        data = tuple(output.data for output in task.outputs if output.url is None)
        result = attrs.evolve(result, files=home.files, data=data, fetched=home.fetched)
        if (why := self._brake.after_saving(home.error)) is not None:
            self._halt(why)
        if home.error is None:
            return result
        words = "; ".join([str(home.error), *getattr(home.error, "__notes__", ())])
        return attrs.evolve(result, status="unsaved", error_code=code_of(home.error), error=words)

    async def _write(
        self, reported: MemoryObjectReceiveStream[Result], send: MemoryObjectSendStream[Result]
    ) -> None:
        """Write results down, as many at once as there are, and hand them on."""
        async for first in reported:
            results = [first]
            while len(results) < _UNREAD:
                try:
                    results.append(reported.receive_nowait())
                except (anyio.WouldBlock, anyio.EndOfStream):
                    break
            try:
                if await run_in_thread(self.results.append, lasting(results)):
                    self._has_news = True
            except FoxAPIError as error:
                self._fault = self._fault or error
                self._halt(error)
            for result in results:
                self._counts.add(result)
                await send.send(result)
