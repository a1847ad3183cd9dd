"""Runs a job in a session, from where an earlier run stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from foxapi_async import ConfigurationError, FoxAPIError, Session, Statistics
from foxapi_async._concurrency import finish_despite_cancellation, run_in_thread
from foxapi_async._validators import check_timeout
from foxapi_async.bulk.input.input_uploads import InputUploads
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.job import Job
from foxapi_async.bulk.job_engine import EngineWork, JobEngine
from foxapi_async.bulk.job_input import JobInput
from foxapi_async.bulk.job_worker import JobWorker
from foxapi_async.bulk.journal_query import ask
from foxapi_async.bulk.money.credit_budget import CreditBudget
from foxapi_async.bulk.money.credit_gate import CreditGate
from foxapi_async.bulk.paid_before import PaidBefore
from foxapi_async.bulk.plan import LEFT, Step
from foxapi_async.bulk.record.run_log import RunRecord
from foxapi_async.bulk.record.run_progress import RunProgress
from foxapi_async.bulk.results.embedding import remove_staged
from foxapi_async.bulk.results.file_names import FileNames
from foxapi_async.bulk.results.name_pattern import NamePattern
from foxapi_async.bulk.results.results_file import (
    RESULTS_NAME,
    Result,
    ResultsFile,
    lasting,
)
from foxapi_async.bulk.results.run_notes import RunNotes
from foxapi_async.bulk.results.save_results import OutputSaver
from foxapi_async.bulk.results.sidecars import Sidecars, check_sidecar
from foxapi_async.bulk.run_options import GRACE, RunOptions
from foxapi_async.bulk.run_recorder import RunRecorder
from foxapi_async.bulk.sheet.contact_sheet import load_template
from foxapi_async.bulk.sheet.run_sheet import RunSheet
from foxapi_async.bulk.stopping import Stopping
from foxapi_async.bulk.summary import Progress, Summary
from foxapi_async.bulk.table.results_table import write_job_table
from foxapi_async.files.pace import run_with_descriptors
from foxapi_async.files.partfile import remove_stale_parts

if TYPE_CHECKING:
    from foxapi_async.bulk.store.job_store import JobStore

_UNREAD: Final = 64  # Results that may wait for the reader: a slow one stops the submissions


class JobRun(AsyncIterator[Result]):
    """A running job, made by `run_job`; an async context manager and iterator.

    Raises:
        ConfigurationError: On entry: the directory cannot be written, or it has results whose journal
            is missing: the run would pay for them again.
        JobFileError: On entry: the pattern of names does not suit every line.
    """

    def __init__(
        self,
        session: Session,
        job: Job,
        directory: Path,
        options: RunOptions,
        *,
        engine: JobEngine | None = None,
        store: JobStore | None = None,
    ) -> None:
        if session.journal is None:
            raise ConfigurationError("a job needs a journal: Session(journal='journal.sqlite')")
        self._session = session
        self._journal = session.journal
        self._job = job
        self._directory = directory
        self._options = options
        self._store = store
        self._pattern = None if options.name is None else NamePattern.parse(options.name)
        self._names: FileNames | None = None
        self._notes = RunNotes()
        check_sidecar(options.sidecar, in_store=store is not None)
        self._sidecars = (
            None if options.sidecar is None else Sidecars(directory, options.sidecar, self._notes)
        )
        self._engine = engine
        self._progress = Progress(self._statistics, job.requests, directory / RESULTS_NAME)
        self._stopping = Stopping()
        self._recorder = RunRecorder(
            session, job, directory, options, stopping=self._stopping, counts=self._progress
        )
        self._results: ResultsFile | None = None
        self._sheet = RunSheet(directory, thumbnails=store is None) if options.sheet else None
        self._is_left = self._skips_reports = False
        self._receive: MemoryObjectReceiveStream[Result] | None = None
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            # First, because `_open` finishes in its thread even if this task is cancelled.
            stack.push_async_callback(self._close_results)
            if self._store is not None:
                await self._store.begin()
            await run_in_thread(self._open)
            await ask(self._journal, PaidBefore(self.results, self._journal).check_journal)
            await run_in_thread(self._begin)
            send, self._receive = anyio.create_memory_object_stream[Result](_UNREAD)
            # Here too, because a task that is cancelled before its first step closes nothing.
            stack.callback(send.close)
            stack.callback(self._receive.close)
            if (limit := self._options.max_time) is not None:
                stack.callback(self._stopping.end_after(limit, self._options.grace).cancel)
            for work, name in ((self._recorder.watch(), "watch"), (self._run(send), "job")):
                task = asyncio.create_task(work, name=f"foxapi-async {name}")
                stack.push_async_callback(_cancel, task)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_left = True
        self._recorder.failed |= kind is not None
        await self._exit.aclose()

    async def __anext__(self) -> Result:
        if self._receive is None:
            raise ConfigurationError("use a run as `async with run_job(…) as run`")
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            error, self._stopping.error = self._stopping.error, None
            if error is not None:
                raise error from None
            raise StopAsyncIteration from None

    def stop(self, grace: float = GRACE, *, reports: bool = True) -> None:
        """Stop submitting; tasks in flight get ``grace`` seconds to complete, then the run ends.

        The next run continues those that are not complete by then. Without ``reports`` the contact
        sheet and the table are left as they are, because they take time.
        """
        self._skips_reports |= not reports
        self._stopping.interrupt(check_timeout(grace, "grace"))

    @property
    def results(self) -> ResultsFile:
        """The file with the results, while the run is entered."""
        assert self._results is not None
        return self._results

    @property
    def summary(self) -> Summary:
        """The progress of the run, or its end after the last result."""
        return self._recorder.summary()

    @property
    def notes(self) -> tuple[str, ...]:
        """What did not work out beside the results, such as a table that could not be written."""
        return self._notes.texts()

    @property
    def directory(self) -> Path:
        """Where the pictures go."""
        return self._directory if self._store is None else self._store.place

    @property
    def records(self) -> Path:
        """Where ``results.jsonl`` and the run log are: on this machine."""
        return self._directory

    @property
    def progress(self) -> RunProgress:
        """The progress of the run with its rates, as ``runs.jsonl`` and `RunLog` show it."""
        return self._recorder.progress()

    @property
    def other_runs(self) -> tuple[RunRecord, ...]:
        """The runs of other processes that were seen at work on the same directory."""
        return self._recorder.other_runs

    @property
    def sheet_progress(self) -> tuple[int, int] | None:
        """Pictures on the contact sheet so far, and all of them; None while it is not being drawn."""
        return None if self._sheet is None else self._sheet.progress

    def _open(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            depth = 0 if self._pattern is None else self._pattern.depth
            remove_stale_parts(self._directory, time.time(), depth)
            remove_staged(self._directory, time.time())
            load_template()
        except (OSError, ValueError) as error:  # ValueError: the path cannot be encoded
            raise ConfigurationError(
                f"cannot save files in {self._directory}: {getattr(error, 'strerror', None) or error}"
            ) from error
        path = self._directory / RESULTS_NAME
        self._results = ResultsFile(path, self._job.path.name)

    def _begin(self) -> None:
        if self._pattern is not None:
            self._names = FileNames.of_job(self._job.whole, self._pattern, self._directory)
        self._recorder.begin()

    async def _close_results(self) -> None:
        if self._names is not None:
            self._names.close()
        try:
            if self._results is not None:
                await run_in_thread(self._results.close)
        finally:
            await run_in_thread(remove_staged, self._directory, time.time())
            await run_in_thread(self._recorder.end)

    async def _run(self, send: MemoryObjectSendStream[Result]) -> None:
        session, journal, directory = self._session, self._journal, self._directory
        reports, reported = anyio.create_memory_object_stream[Result](_UNREAD)
        options = self._options
        retry = {Step.FAILED: options.retry_failed, Step.UNKNOWN: options.retry_unknown}
        uploads = InputUploads(session, self._job.files)
        gate = None
        if options.max_credits is not None:
            gate = CreditGate(CreditBudget(options.max_credits), self._stopping.stop)
        job_input = JobInput(
            self._job,
            journal,
            self.results,
            directory,
            reports,
            uploads,
            retry=retry,
            gate=gate,
            store=self._store,
        )
        job_input.forgets = self._engine is not None
        work = EngineWork(job_input, reports, self._stopping, journal, self._notes)
        saver = OutputSaver(
            session, journal, directory, self._names, self._notes, options.embed, self._store
        )
        worker = JobWorker.of(work, session, saver, options, self._recorder)
        carry_out = worker.run if self._engine is None else partial(self._engine.run, work)
        try:
            with send, reports, reported:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._record, reported, send)
                    if self._sheet is not None:
                        group.start_soon(self._sheet.make_thumbnails)
                    with self._stopping.scope:
                        try:
                            await carry_out()
                        finally:
                            # Also after a cancellation, so that the summary is complete.
                            with anyio.CancelScope(shield=True):
                                await self._count_pending(job_input.pending)
                    # Ends `_record` after the last result.
                    reports.close()
                    if self._sheet is not None:
                        self._sheet.finish()
                await self._write_table()
                await self._write_sheet()
                if self._store is not None and not self._skips_reports:
                    await self._store.copy_reports(self._notes)
        except Exception as error:  # noqa: BLE001 - raised to the reader after the last result
            self._stopping.error = self._stopping.error or error
        finally:
            if self._sheet is not None:
                self._sheet.close()
        self._recorder.failed |= self._stopping.error is not None

    def _statistics(self) -> Statistics:
        own = self._session.statistics()
        return own if self._engine is None else self._engine.statistics(own)

    async def _record(
        self, reported: MemoryObjectReceiveStream[Result], send: MemoryObjectSendStream[Result]
    ) -> None:
        async for first in reported:
            batch = [first]
            # One thread call and one file lock for all that are ready.
            with suppress(anyio.WouldBlock, anyio.EndOfStream):
                while len(batch) < _UNREAD:
                    batch.append(reported.receive_nowait())
            try:
                await self._append(batch)
            except FoxAPIError as error:
                self._stopping.fail(error)
            for result in batch:
                self._progress.add(result)
                self._recorder.add(result)
                if self._sheet is not None:
                    self._sheet.add(result)
                await send.send(result)

    async def _append(self, batch: list[Result]) -> None:
        await run_in_thread(self.results.append, lasting(batch))
        saved = [result for result in batch if result.files]
        if self._sidecars is not None and saved:
            entries = await self._journal.lookup(result.key for result in saved)
            await run_in_thread(self._sidecars.write, saved, entries)

    async def _count_pending(self, pending: Mapping[str, JobLine]) -> None:
        """Count the requests whose end the run did not wait for, as the journal knows them."""
        if not pending:
            return
        try:
            # Over another connection, because the session's may wait for a server that is away.
            found = await run_with_descriptors(self._journal.find, tuple(pending))
        except FoxAPIError as error:
            self._stopping.error = self._stopping.error or error
            for _ in pending:
                self._progress.add_without_result("unknown")
            return
        for entry in found.values():
            if (status := LEFT.get(entry.status)) is not None:
                self._progress.add_without_result(status)

    async def _write_table(self) -> None:
        if not self._options.table or self._skips_reports:
            return
        self._recorder.stage = "table"
        write = partial(write_job_table, is_cancelled=lambda: self._is_left or self._skips_reports)
        table = partial(write, self._directory, self.results, self._journal, self._job)
        try:
            await ask(self._journal, table, waits=not self._stopping.is_ending)
        except FoxAPIError as error:
            self._notes.add(str(error))

    async def _write_sheet(self) -> None:
        if self._sheet is None or self._skips_reports:
            return
        self._recorder.stage = "sheet"
        summary = self.summary

        def is_cancelled() -> bool:
            # An interrupt of the run keeps the drawing short, one of the drawing ends it.
            is_stopped = self._stopping.interrupted and not summary.interrupted
            return self._is_left or self._skips_reports or is_stopped

        await self._sheet.draw(self.results, summary, is_cancelled=is_cancelled)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await finish_despite_cancellation(lambda: asyncio.wait([task]))
