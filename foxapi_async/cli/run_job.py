"""`foxapi run`: a job from a file, from the estimate to the contact sheet."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs

from foxapi_async.bulk import JOURNAL_NAME, SHEET_NAME, Job, JobRun, Summary, run_job
from foxapi_async.cli import interrupt
from foxapi_async.cli.command import Setup, prepare
from foxapi_async.cli.exits import Exit, gravest
from foxapi_async.cli.lines import Troubles
from foxapi_async.cli.refusals import Refusals
from foxapi_async.cli.run_board import RunBoard
from foxapi_async.cli.run_words import (
    Question,
    again,
    estimate,
    exit_of,
    plan_json,
    summary_json,
    summary_lines,
)
from foxapi_async.cli.words import count
from foxapi_async.errors import FoxAPIError, InvalidRequestError, JobFileError
from foxapi_async.events import Event
from foxapi_async.options import Limits, Polling
from foxapi_async.session import Session

__all__ = ["Order", "run_order"]


@attrs.frozen(kw_only=True)
class Order:
    """What was asked for on the command line; times are in seconds."""

    jobs: Path
    directory: Path
    journal: Path | None = None
    dry_run: bool = False
    yes: bool = False
    most: int | None = None
    outputs: int | None = None
    retry_failed: bool = False
    retry_unknown: bool = False
    grace: float = 120.0
    timeout: float | None = None
    sheet: bool = True

    @property
    def journal_path(self) -> Path:
        """Where the journal is."""
        return self.journal or self.directory / JOURNAL_NAME


def run_order(setup: Setup, order: Order) -> Exit:
    """Check a job, say what it will cost, and run it.

    Raises:
        JobFileError: Something in the file is wrong, or heavier than the limit; nothing was sent.
        InvalidRequestError: Nobody was there to agree.
        ConfigurationError: No key, or a journal or folder that cannot be used; nothing was sent.
    """
    screen = setup.screen
    limits = Limits(outputs=order.outputs or Limits().outputs, total_outputs=order.most)
    job = Job.read(order.jobs, heaviest=limits.outputs)
    path = order.journal_path
    plan = job.plan(path if path.exists() else None, order.directory)
    _refuse_conflicts(order.jobs, plan.conflicts, plan.more_conflicts)
    question = Question(
        plan=plan,
        retry_failed=order.retry_failed,
        retry_unknown=order.retry_unknown,
        most=order.most,
    )
    for line in estimate(question):
        screen.say(line)
    if order.dry_run:
        screen.document({"dry_run": True, "plan": plan_json(question), "exit_code": int(Exit.OK)})
        return Exit.OK
    setup.key()
    prepare(order.directory)
    if question.requests and not order.yes:
        _ask(setup, question)
    return _Running(setup, order, job, question, limits).to_its_end()


def _refuse_conflicts(jobs: Path, conflicts: tuple[object, ...], more: int) -> None:
    if conflicts:
        shown = [f"  {conflict}" for conflict in conflicts[:100]]
        if hidden := len(conflicts) + more - len(shown):
            shown.append(f"  … and {hidden:,} more")
        raise JobFileError(f"{jobs}: nothing was sent\n" + "\n".join(shown))


def _ask(setup: Setup, question: Question) -> None:
    words = (
        f"submit {count(question.requests, 'request')} and pay {count(question.outputs, 'image')}"
    )
    if sys.stdin is None or not (sys.stdin.isatty() and setup.screen.is_terminal):
        raise InvalidRequestError(
            f"nobody is here to agree to {words}; --yes agrees in advance. Nothing was sent",
            field="yes",
        )
    setup.screen.warn(f"{words[0].upper()}{words[1:]}? [y/N]")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise InvalidRequestError("not agreed to; nothing was sent", field="yes")


@attrs.define(eq=False)
class _Running:
    setup: Setup
    order: Order
    job: Job
    question: Question
    limits: Limits
    run: JobRun | None = None
    summary: Summary | None = None
    refusals: Refusals = attrs.field(factory=Refusals)

    def to_its_end(self) -> Exit:
        screen = self.setup.screen
        troubles = Troubles(screen)

        def note(event: Event) -> None:
            troubles.note(event)
            self.refusals.note(event)

        session = self.setup.session(
            limits=self.limits,
            polling=Polling(give_up_after=self.order.timeout),
            journal=self.order.journal_path,
            on_event=note,
        )
        code = Exit.OK
        fault: FoxAPIError | None = None
        try:
            interrupt.run(
                self._main(session), on_first=self._first_signal, on_second=self._second_signal
            )
        except interrupt.Interrupted as signal:
            code = signal.code
        except FoxAPIError as error:
            if self.summary is None:
                raise
            fault = error
        return self._report(code, fault)

    async def _main(self, session: Session) -> None:
        order = self.order
        async with (
            session,
            run_job(
                session,
                self.job,
                order.directory,
                retry_failed=order.retry_failed,
                retry_unknown=order.retry_unknown,
                sheet=order.sheet,
            ) as run,
        ):
            self.run = run
            board = RunBoard(self.setup.screen, run)
            try:
                async with board.shown():
                    async for result in run:
                        board.note(result)
            finally:
                self.summary = run.summary

    def _first_signal(self) -> bool:
        run = self.run
        if run is None:
            return False
        in_flight = run.summary.in_flight
        self.setup.screen.warn(
            f"interrupted: nothing more is submitted; waiting up to {self.order.grace:g} s for "
            f"{count(in_flight, 'task')} in flight. Once more leaves at once"
        )
        run.stop(self.order.grace)
        return True

    def _second_signal(self) -> None:
        self.setup.screen.leave()
        if self.run is not None:
            self._say_how_to_go_on(self.run.summary)

    def _report(self, code: Exit, fault: FoxAPIError | None) -> Exit:
        summary, screen = self.summary, self.setup.screen
        if summary is None:
            return code
        code = gravest([code, exit_of(summary, fault, self.refusals.codes)])
        reasons = [fault, None if summary.interrupted else summary.stopped]
        for words in dict.fromkeys(str(reason) for reason in reasons if reason is not None):
            screen.fail(words)
        for line in summary_lines(summary):
            screen.say(line)
        if summary.outputs_unknown:
            screen.warn(f"perhaps billed as well: {count(summary.outputs_unknown, 'image')}")
        self._say_how_to_go_on(summary)
        sheet = self.order.directory / SHEET_NAME
        shown = [str(path) for path in (summary.results, sheet) if path.exists()]
        for path in shown:
            screen.result(path)
        screen.document(
            {
                "plan": plan_json(self.question),
                **summary_json(summary),
                "directory": str(self.order.directory),
                "journal": str(self.order.journal_path),
                "results": str(summary.results),
                "contact_sheet": str(sheet) if sheet.exists() else None,
                "exit_code": int(code),
            }
        )
        return code

    def _say_how_to_go_on(self, summary: Summary) -> None:
        order = self.order
        words = again(order.jobs, order.directory, order.journal, self.setup.options(), summary)
        if words is not None:
            self.setup.screen.warn(words)
