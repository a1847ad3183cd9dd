"""Run a job in a session, show its progress, and report how it ended."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final

import anyio
import attrs
from rich.console import RenderableType

from foxapi_async import Balance, Event, FoxAPIError, Limits, Polling, Session
from foxapi_async._concurrency import finish_despite_cancellation
from foxapi_async.bulk import (
    GRACE,
    JOURNAL_NAME,
    SHEET_NAME,
    TABLE_NAME,
    Job,
    JobRun,
    Result,
    Summary,
    run_job,
)
from foxapi_async.bulk.results.results_file import lasting
from foxapi_async.cli import job_report
from foxapi_async.cli.account import ask_balance
from foxapi_async.cli.console import Console
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.cost_report import Rates, change_json, change_text, cost_json
from foxapi_async.cli.exit_codes import ExitCode, exit_code_for, most_severe
from foxapi_async.cli.formatting import count
from foxapi_async.cli.invocation import RUN_COMMAND, as_argument, to_remember
from foxapi_async.cli.job_board import board, progress_text, waiting_text
from foxapi_async.cli.journal_option import ChosenJournal
from foxapi_async.cli.progress import RetryMessages, live
from foxapi_async.cli.saving_options import SavingOptions
from foxapi_async.cli.signals import Interrupted, run_interruptible
from foxapi_async.cli.temporal_options import TemporalOptions
from foxapi_async.events import SubmissionFailed
from foxapi_async.files.object_path import ObjectPath
from foxapi_async.outcome import status_of

_FRAMES_PER_SECOND: Final = 4
_FIRST_LINE: Final = 5.0
_LONGEST_PAUSE: Final = 60.0
"""Seconds until the first line, and the longest pause between two lines where nothing is drawn."""

_STOP_CHECK: Final = 0.25
"""Seconds between two checks whether submitting has stopped; no result need follow to show it."""

_TERM_GRACE: Final = 6.0
"""Seconds for the tasks in flight after SIGTERM: docker kills 10 s after it, and writing takes a while."""

_TERM_WORDS: Final = 8.5  # Seconds after SIGTERM by which it is said what is left

_MAX_FAILURES_SHOWN: Final = 20  # Further failures are only counted


@attrs.define(eq=False, kw_only=True)
class JobRunner:
    """Runs a job; ``command`` continues it.

    An interrupt waits ``grace`` seconds for the tasks in flight; None for 120, or 6 after SIGTERM.
    The pictures go to ``place``, the records to ``directory``, which is another one for an object store.
    ``remembered`` is the command to which `foxapi unknown` adds a selection.
    """

    context: CommandContext
    job: Job
    estimate: job_report.Estimate
    place: Path
    directory: Path
    journal: ChosenJournal
    command: str
    remembered: str
    grace: float | None
    max_time: float | None
    sheet: bool
    saving: SavingOptions = attrs.field(factory=SavingOptions)
    engine: TemporalOptions | None = None
    """Where the workers are that carry out the job; None to do so here."""
    rates: Rates | None = None
    """What was known of the cost before; None if nothing was to be submitted."""
    _balance_after: Balance | str | None = attrs.field(default=None, init=False)
    _progress: JobProgress | None = attrs.field(default=None, init=False)
    _run: JobRun | None = attrs.field(default=None, init=False)
    _summary: Summary | None = attrs.field(default=None, init=False)
    _rejections: set[ExitCode] = attrs.field(factory=set[ExitCode], init=False)

    def run(self, limits: Limits, polling: Polling) -> ExitCode:
        """Run the job and return the exit code; raise what ended the run before the job began."""
        retries = RetryMessages(self.context.console)

        def on_event(event: Event) -> None:
            retries.print_event(event)
            # The code of each rejection counts: a server that is too busy is not wrong usage.
            if isinstance(event, SubmissionFailed) and status_of(event.error) == "rejected":
                self._rejections.add(exit_code_for(event.error))

        session = self.context.session(
            limits=limits, polling=polling, journal=self.journal.journal, on_event=on_event
        )
        code = ExitCode.OK
        failure: FoxAPIError | None = None
        try:
            run_interruptible(
                self._main(session, polling.give_up_after),
                on_first=self._interrupted,
                on_second=self._killed,
            )
        except Interrupted as interrupt:
            code = interrupt.code
        except FoxAPIError as error:
            if self._summary is None:
                raise
            failure = error
        retries.finish()
        return code if self._summary is None else self._report(self._summary, code, failure)

    async def _main(self, session: Session, timeout: float | None) -> None:
        engine = None
        if self.engine is not None:
            engine = await self.engine.open(self.job, self.directory)
        async with (
            session,
            run_job(
                session,
                self.job,
                self.place,
                records=self.directory if self._is_in_store else None,
                retry_failed=self.estimate.retry_failed,
                retry_unknown=self.estimate.retry_unknown,
                max_credits=self.estimate.max_credits,
                sheet=self.sheet,
                name=self.saving.name,
                table=self.saving.table,
                sidecar=self.saving.sidecar,
                embed=self.saving.embed,
                timeout=timeout,
                max_time=self.max_time,
                grace=GRACE if self.grace is None else self.grace,
                engine=engine,
            ) as run,
        ):
            self._run = run
            assert session.journal is not None
            session.journal.remember(RUN_COMMAND, to_remember(self.remembered))
            progress = self._progress = JobProgress(self.context.console, run)
            try:
                async with progress.shown():
                    async for result in run:
                        progress.print_failure(result)
            finally:
                # A run that fails or is cut off has billed images too, so it is reported as well.
                self._summary = run.summary
            if self._balance_before is not None and not self._summary.interrupted:
                self._balance_after = await ask_balance(session)

    @property
    def _is_in_store(self) -> bool:
        return isinstance(self.place, ObjectPath)

    @property
    def _balance_before(self) -> Balance | None:
        balance = None if self.rates is None else self.rates.balance
        return balance if isinstance(balance, Balance) else None

    def _interrupted(self, number: int) -> bool:
        run = self._run
        if run is None:
            # Nothing has been submitted, so cancelling loses nothing.
            return False
        if run.sheet_progress is not None:
            self.context.console.warning("interrupted: the next run draws the contact sheet")
            run.stop()
            return True
        is_hurried = number == signal.SIGTERM and self.grace is None
        grace = (_TERM_GRACE if is_hurried else GRACE) if self.grace is None else self.grace
        self.context.console.warning(
            f"interrupted: submitting has stopped; waiting for {waiting_text(run.progress, grace)}. "
            "Interrupt again to exit at once"
        )
        # They would take longer than the rest of such a grace; `foxapi report` writes them.
        run.stop(grace, reports=not is_hurried)
        if is_hurried:
            asyncio.get_running_loop().call_later(_TERM_WORDS, self._print_what_is_left)
        return True

    def _print_what_is_left(self) -> None:
        # Before the process is killed, because then nothing says it.
        if self._run is not None:
            self.context.console.warning("still waiting for submissions under way")
            self._print_next_step(self._run.summary)

    def _killed(self) -> None:
        # The process ends at once, so the live display does not restore the cursor.
        self.context.console.rich.show_cursor()
        if self._run is not None:
            self._print_next_step(self._run.summary)

    def _report(self, summary: Summary, code: ExitCode, failure: FoxAPIError | None) -> ExitCode:
        console = self.context.console
        code = most_severe([code, job_report.exit_code_for_job(summary, failure, self._rejections)])
        # The error that ended the run is often the one that stopped submitting: print it once.
        is_wanted = summary.interrupted or summary.timed_out
        reasons = [failure, None if is_wanted else summary.stopped]
        told = None if self._progress is None else self._progress.last_words
        for text in dict.fromkeys(str(reason) for reason in reasons if reason is not None):
            if text != told:
                console.error(text)
        in_all = job_report.images_of(self.journal)
        for line in job_report.summary_lines(summary, in_all):
            console.info(line)
        before, after = self._balance_before, self._balance_after
        after = after if isinstance(after, Balance) else None
        if before is not None and after is not None and (change := change_text(before, after)):
            console.info(change)
        if (perhaps := job_report.perhaps_billed(summary, in_all)) is not None:
            console.warning(perhaps)
        notes = () if self._run is None else self._run.notes
        for note in notes:
            console.warning(note)
        if summary.unfinished:
            console.warning(
                f"left in flight: {count(summary.unfinished, 'task')}, billed; the ids are in {self.journal.shown}"
            )
        self._print_next_step(summary)
        names = (summary.results.name, TABLE_NAME, SHEET_NAME)
        written = {name: self._shown(name) for name in names if (self.directory / name).exists()}
        for path in written.values():
            console.result(str(path))
        if self._is_in_store:
            console.info(f"the records of the job are in {self.directory}")
        console.document(
            plan=job_report.estimate_json(self.estimate),
            cost=None if self.rates is None else cost_json(self.estimate.models, self.rates),
            **job_report.summary_json(summary, in_all),
            balance=None if before is None else change_json(before, after),
            directory=str(self.place),
            records=str(self.directory),
            journal=self.journal.shown,
            results=str(self._shown(summary.results.name)),
            table=written.get(TABLE_NAME),
            contact_sheet=written.get(SHEET_NAME),
            notes=list(notes),
            exit_code=code,
        )
        return code

    def _shown(self, name: str) -> str:
        """Return where a report is: its copy, if the pictures are in an object store."""
        return str((self.place if self._is_in_store else self.directory) / name)

    def _print_next_step(self, summary: Summary) -> None:
        listing = ["foxapi", "unknown", as_argument(self.directory)]
        if self.journal.shown != str(self.directory / JOURNAL_NAME):
            listing += ["--journal", self.journal.shown]
        advice = job_report.next_step(self.command, summary, shlex.join(listing))
        if advice is not None:
            self.context.console.warning(advice)


class JobProgress:
    """Shows how far a job is, and which of its requests failed."""

    def __init__(self, console: Console, run: JobRun) -> None:
        self._console = console
        self._run = run
        self._failures = 0
        self._earlier: Counter[tuple[str, str]] = Counter()
        self._hidden: set[bool] = set()
        self._stop_reported = False
        self.last_words: str | None = None
        """Why submitting stopped, if that was reported and nothing was waited for since."""
        self._others_named: set[str] = set()

    @asynccontextmanager
    async def shown(self) -> AsyncGenerator[None, None]:
        """Show the progress within the block."""
        results = self._run.results
        if results.damaged:
            lines = count(results.damaged, "line")
            self._console.warning(f"{lines} of {results.path} cannot be read and are skipped")
        jobs = [self._watch_for_stop()]
        drawing: AbstractContextManager[None] = nullcontext()
        if self._console.shows_bars:
            drawing = live(self._console, self.render, _FRAMES_PER_SECOND)
        elif not self._console.quiet:
            jobs.append(self._print_lines())
        with drawing:
            # Plain tasks, because a task group would wrap the exception that ends the run.
            tasks = [asyncio.create_task(job, name="foxapi progress") for job in jobs]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await finish_despite_cancellation(lambda: asyncio.wait(tasks))
        for line in job_report.earlier_lines(self._earlier):
            self._console.warning(line)

    def print_failure(self, result: Result) -> None:
        """Print the result of a request, unless it is completed."""
        if result.status == "completed":
            return
        if result.from_journal:
            self._earlier[result.status, result.error_code or ""] += 1
            return
        if result.status == "rejected" and result.error == str(self._run.summary.stopped):
            # An empty balance, for example: one line for it, however many were refused.
            self._report_stop()
            return
        self._failures += 1
        if self._failures <= _MAX_FAILURES_SHOWN:
            error = result.error or result.error_code
            self._console.warning(f"line {result.line}: {result.status}: {error}")
        else:
            self._print_hidden(result)
        # This failure may have stopped submitting; the reason belongs below it, not seconds later.
        self._report_stop()

    def _print_hidden(self, result: Result) -> None:
        # Once for failures that the results file lists, and once for those that it does not.
        recorded = bool(lasting([result]))
        if recorded in self._hidden:
            return
        self._hidden.add(recorded)
        if recorded:
            self._console.warning(f"more failures are in {self._run.summary.results}")
        else:
            self._console.warning(
                f"more lines, from line {result.line} on, are {result.status.replace('_', ' ')}: "
                "they are only counted, and the next run continues them"
            )

    def _report_stop(self) -> None:
        summary = self._run.summary
        if summary.stopped is None or self._stop_reported:
            return
        self._stop_reported = True
        if not summary.interrupted:  # the signal has been answered
            progress = self._run.progress
            waiting = f"; waiting for {waiting_text(progress)}"
            is_waiting = summary.in_flight or progress.saving
            self.last_words = None if is_waiting else str(summary.stopped)
            self._console.warning(
                f"submitting has stopped: {summary.stopped}{waiting if is_waiting else ''}"
            )

    def render(self) -> RenderableType:
        """Draw the current state; also called by rich's refresh thread."""
        return board(self._run.progress, self._run.sheet_progress)

    async def _watch_for_stop(self) -> None:
        while True:
            self._report_stop()
            self._report_other_runs()
            await anyio.sleep(_STOP_CHECK)

    def _report_other_runs(self) -> None:
        for other in self._run.other_runs:
            if other.id not in self._others_named:
                self._others_named.add(other.id)
                self._console.warning(
                    f"another run is at work on {self._run.directory}: process {other.pid} on "
                    f"{other.host}, since {other.began.astimezone():%Y-%m-%d %H:%M:%S}, with "
                    f"{other.job}; both continue, and neither fetches a file that the other has"
                )

    async def _print_lines(self) -> None:
        pause = _FIRST_LINE
        while True:
            await anyio.sleep(pause)
            self._console.info(progress_text(self._run.progress, self._run.sheet_progress))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
