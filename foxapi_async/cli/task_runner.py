"""Submit or attach tasks, wait for them, save their files, and report the outcome."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from foxapi_async import FoxAPIError, Limits, Polling, Request, Statistics, Task
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.exit_codes import ExitCode, exit_code_for, exit_code_for_outcome, most_severe
from foxapi_async.cli.formatting import (
    count,
    error_json,
    error_text,
    json_text,
    task_json,
    wait_command,
)
from foxapi_async.cli.progress import show_progress
from foxapi_async.cli.signals import Interrupted, run_interruptible
from foxapi_async.cli.task_state import TaskState, TaskStates
from foxapi_async.files.unsaved import late, no_picture
from foxapi_async.http.outputs import is_inline
from foxapi_async.outcome import OutcomeStatus, status_of

if TYPE_CHECKING:
    from foxapi_async import Outcome, Session, TaskHandle
    from foxapi_async.bulk.input.local_files import LocalFiles
    from foxapi_async.cli.journal_option import ChosenJournal


@attrs.define(eq=False)
class TaskRunner:
    """Runs tasks in a session of its own, and saves their files; without a directory it prints links."""

    _context: CommandContext
    _directory: Path | None
    _polling: Polling
    _limits: Limits | None = None
    _journal: ChosenJournal | None = attrs.field(default=None, alias="journal")
    _states: TaskStates = attrs.field(factory=TaskStates, init=False)
    _codes: list[ExitCode] = attrs.field(factory=list[ExitCode], init=False)
    _results: list[dict[str, object]] = attrs.field(factory=list[dict[str, object]], init=False)
    _errors_shown: set[str] = attrs.field(factory=set[str], init=False)
    _statistics: Statistics | None = attrs.field(default=None, init=False)

    def submit(self, requests: Sequence[Request], inputs: LocalFiles | None = None) -> ExitCode:
        """Submit requests, wait for their tasks, and save each one's files when it completes.

        ``inputs`` are the local files that the requests name.
        """

        async def main(session: Session) -> None:
            prepared = requests if inputs is None else _prepared(requests, session, inputs)
            async with anyio.create_task_group() as saving:
                async for outcome in session.map(prepared):
                    saving.start_soon(self._end_submitted, session, outcome)

        return self._run(main)

    def wait(self, task_ids: Sequence[str]) -> ExitCode:
        """Wait for existing tasks, and save each one's files when it completes."""

        async def wait_for(session: Session, handle: TaskHandle) -> None:
            try:
                task = await handle.wait()
            except FoxAPIError as error:
                await self._end(session, status_of(error), handle.latest, error)
            else:
                await self._end(session, "completed", task, None)

        async def main(session: Session) -> None:
            handles = [session.attach(task_id) for task_id in dict.fromkeys(task_ids)]
            async with anyio.create_task_group() as waiting:
                for handle in handles:
                    waiting.start_soon(wait_for, session, handle)

        return self._run(main)

    def _run(self, main: Callable[[Session], Coroutine[Any, Any, None]]) -> ExitCode:
        with show_progress(self._context.console, self._states) as on_event:
            session = self._context.session(
                limits=self._limits,
                polling=self._polling,
                journal=None if self._journal is None else self._journal.journal,
                on_event=on_event,
            )

            async def run() -> None:
                try:
                    async with session:
                        await main(session)
                finally:
                    self._statistics = session.statistics()

            try:
                run_interruptible(run(), on_first=self._interrupted, on_second=self._killed)
                code = most_severe(self._codes)
            except Interrupted as signal:
                code = signal.code
            except FoxAPIError as error:
                self._context.console.error(error_text(error))
                code = exit_code_for(error)
            except BaseException:
                # Even a bug must not hide the ids of billed tasks.
                self._print_next_step()
                raise
        self._print_next_step()
        self._report(code)
        return code

    def _interrupted(self, _number: int) -> None:
        submissions = len(self._states.submissions)
        finishing = f"; finishing {count(submissions, 'submission')} under way"
        self._context.console.warning(f"interrupted{finishing if submissions else ''}")

    def _killed(self) -> None:
        self._context.console.rich.show_cursor()
        self._print_next_step()

    async def _end_submitted(self, session: Session, outcome: Outcome) -> None:
        task, asked = outcome.task, outcome.request.num_outputs
        if task is not None and outcome.status == "completed" and len(task.outputs) < asked:
            arrived = f"{len(task.outputs)} of {count(asked, 'output')} arrived"
            self._context.console.warning(f"task {task.id}: {arrived}")
        await self._end(session, outcome.status, task, outcome.error)

    async def _end(
        self, session: Session, status: OutcomeStatus, task: Task | None, error: FoxAPIError | None
    ) -> None:
        task_id = task.id if task is not None else error.task_id if error is not None else None
        state = None if task_id is None else self._states.by_id.get(task_id)
        code = exit_code_for_outcome(status, error)
        if state is not None and state.not_found:
            code = ExitCode.USAGE
        if error is not None:
            self._print_error(error)
        elif task is not None:
            error = await self._save(session, task, state)
            code = ExitCode.OK if error is None else ExitCode.DOWNLOAD
        result = _result_json(status, task_id, task, state)
        if error is not None:
            result["error"] = error_json(error, code)
        self._codes.append(code)
        self._results.append(result)

    async def _save(
        self, session: Session, task: Task, state: TaskState | None
    ) -> FoxAPIError | None:
        self._print_outputs(task)
        request = None if state is None else state.request
        failure: FoxAPIError | None = no_picture(task, None if request is None else request.kind)
        if failure is None and self._directory is not None and _has_files(task):
            failure = await self._download(session, task, state, self._directory)
            # From the events, because some files may be saved although the download failed.
            for _, path in sorted(state.saved.items()) if state is not None else ():
                self._context.console.result(str(path))
        if failure is not None:
            self._print_error(failure)
        return failure

    def _print_outputs(self, task: Task) -> None:
        for output in task.outputs:
            if output.url is None:
                self._context.console.result(json_text(dict(output.data)))
            elif self._directory is None and is_inline(output):
                self._context.console.warning(
                    f"output {output.index} of task {task.id} came without a link; "
                    f"`foxapi wait {task.id} -o DIR` saves it"
                )
            elif self._directory is None:
                self._context.console.result(output.url)

    async def _download(
        self, session: Session, task: Task, state: TaskState | None, directory: Path
    ) -> FoxAPIError | None:
        timeout = self._polling.give_up_after
        seconds = None if timeout is None else timeout - ((state and state.seconds) or 0.0)
        try:
            with anyio.move_on_after(seconds):
                await session.download(task, directory)
                return None
        except FoxAPIError as error:
            return error
        return late(task)

    def _print_error(self, error: FoxAPIError) -> None:
        # An error that stops the run (a refused key) ends all remaining requests with the same text.
        text = error_text(error)
        if text not in self._errors_shown:
            self._errors_shown.add(text)
            self._context.console.error(text)

    def _print_next_step(self) -> None:
        if ids := self._unfinished_ids():
            options = self._context.options()
            if self._journal is not None:
                options += ["--journal", self._journal.shown]
            command = wait_command(ids, self._directory, options)
            self._context.console.warning(
                f"billed but not finished or saved: {count(len(ids), 'task')}; to go on:\n  {command}"
            )
        if submissions := self._states.submissions:
            outputs = sum(request.num_outputs for request in submissions)
            self._context.console.warning(
                f"{count(len(submissions), 'submission')} cut off: {count(outputs, 'output')} may "
                "have been billed, and the task ids are unknown"
            )

    def _report(self, code: ExitCode) -> None:
        statistics = self._statistics
        if statistics is None:
            return
        reserved = self._credits_reserved()
        if statistics.submitted:
            credits_text = "" if reserved is None else f", {reserved:,} credits reserved"
            billed = count(statistics.images_billed, "output")
            self._context.console.info(f"billed: {billed}{credits_text}")
        if unknown := statistics.images_unknown:
            self._context.console.warning(f"perhaps also billed: {count(unknown, 'output')}")
        ended = {result["id"] for result in self._results}
        results = self._results + [
            _result_json(state.outcome, task_id, state.task, state)
            for task_id, state in self._states.by_id.items()
            if task_id not in ended
        ]
        self._context.console.document(
            tasks=results,
            billed={
                "outputs": statistics.images_billed,
                "outputs_unknown": statistics.images_unknown,
                "credits_reserved": reserved,
            },
            open=self._unfinished_ids(),
            exit_code=code,
        )

    def _unfinished_ids(self) -> Sequence[str]:
        return self._states.unfinished_ids(saving=self._directory is not None)

    def _credits_reserved(self) -> int | float | None:
        submitted = [state for state in self._states.by_id.values() if state.request is not None]
        reserved = [state.task.usage.get("credits_reserved") for state in submitted]
        known = [each for each in reserved if isinstance(each, int | float) and math.isfinite(each)]
        return sum(known) if known else None


def _prepared(
    requests: Sequence[Request], session: Session, inputs: LocalFiles
) -> Sequence[Request]:
    # A demo has no local files, and needs no more of the package.
    from foxapi_async.bulk.input.input_uploads import InputUploads  # noqa: PLC0415

    uploads = InputUploads(session, inputs)
    return [uploads.prepared(request) for request in requests]


def _has_files(task: Task) -> bool:
    return any(output.url is not None for output in task.outputs)


def _result_json(
    status: OutcomeStatus, task_id: str | None, task: Task | None, state: TaskState | None
) -> dict[str, object]:
    result: dict[str, object] = {"id": task_id, "status": status}
    if task is not None:
        result |= task_json(task, None if state is None else state.saved)
    seconds = None if state is None else state.seconds
    result["seconds"] = None if seconds is None else round(seconds, 3)
    return result
