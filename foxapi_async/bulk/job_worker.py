"""Carries out the requests of a run: submits them, saves their files, reports what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import anyio
import attrs
from anyio.streams.memory import MemoryObjectSendStream

from foxapi_async import Outcome, Session, errors
from foxapi_async._concurrency import finish_despite_cancellation
from foxapi_async.bulk.failure_streak import FailureStreak
from foxapi_async.bulk.job_engine import EngineWork
from foxapi_async.bulk.job_input import JobInput
from foxapi_async.bulk.results.results_file import Result, credits_of, error_code_of
from foxapi_async.bulk.run_options import RunOptions
from foxapi_async.bulk.run_recorder import RunRecorder
from foxapi_async.bulk.stopping import Stopping
from foxapi_async.journal.protocol import SessionJournal

if TYPE_CHECKING:
    from foxapi_async.bulk.results.save_results import OutputSaver

_SAVING: Final = 64
"""Tasks whose files may be fetched or wait for that at once, or more if more may be in flight: tasks that
end together must not delay the next submissions. Beyond that no outcomes are read, so that a slow disk
stops the submissions."""

_USED_UP: Final = "the balance is used up"
"""The name under which the journal keeps that a run ended with 402."""


@attrs.frozen(eq=False, repr=False)
class JobWorker:
    """Submits the requests of a run and saves what comes of them, `slots` of them at once."""

    _session: Session
    _journal: SessionJournal
    _saver: OutputSaver
    _input: JobInput
    _reports: MemoryObjectSendStream[Result]
    _stopping: Stopping
    _slots: anyio.Semaphore
    _options: RunOptions
    _recorder: RunRecorder
    _streak: FailureStreak = attrs.field(factory=FailureStreak)

    @classmethod
    def of(
        cls,
        work: EngineWork,
        session: Session,
        saver: OutputSaver,
        options: RunOptions,
        recorder: RunRecorder,
    ) -> Self:
        """Return the worker that carries out the work in this session."""
        slots = anyio.Semaphore(max(_SAVING, session.limits.outputs))
        return cls(
            session,
            work.journal,
            saver,
            work.input,
            work.reports,
            work.stopping,
            slots,
            options,
            recorder,
        )

    async def run(self) -> None:
        """Carry out the input; return when every outcome is reported."""
        submitted = self._session.statistics().submitted
        outcomes = self._session.map(self._input)
        self._stopping.attach(outcomes)
        if self._input.gate is not None:
            outcomes.watch_tasks(self._input.gate.task_changed)
        if await self._journal.recall(_USED_UP):
            outcomes.send_one_first()
        try:
            async with anyio.create_task_group() as group:
                try:
                    async for outcome in outcomes:
                        await self._slots.acquire()
                        group.start_soon(self._finish, outcome)
                except Exception as error:  # noqa: BLE001 - raised after tasks in flight are saved
                    self._stopping.error = error
        finally:
            await outcomes.aclose()
            if self._stopping.scope.cancel_called:
                # The time of the tasks in flight is over; ids must be told before the process is killed.
                self._journal.stop_waiting()
            # What became of the POSTs under way belongs to the summary.
            await finish_despite_cancellation(outcomes.wait_for_posts)
            if isinstance(outcomes.stopped_by, errors.InsufficientQuotaError):
                self._journal.remember(_USED_UP, True)  # noqa: FBT003
            elif self._session.statistics().submitted > submitted:
                self._journal.remember(_USED_UP, None)
            await self._input.aclose()

    async def _finish(self, outcome: Outcome) -> None:
        assert outcome.key is not None
        try:
            self._input.uploads.note(outcome)
            if self._input.gate is not None:
                self._input.gate.ended(outcome)
            reason = self._streak.add_outcome(outcome.status, outcome.error)
            if (reason := reason or self._stopping.stopped_by) is not None:
                self._stopping.stop(reason)
            # What was not submitted because the run stopped is left to the next run.
            if outcome.status != "not_submitted" or self._stopping.reason is None:
                await self._reports.send(await self._result_of(outcome, outcome.key))
            del self._input.pending[outcome.key]
        except Exception as error:  # noqa: BLE001 - raised to the reader after the last result
            self._stopping.fail(error)
        finally:
            self._slots.release()

    async def _result_of(self, outcome: Outcome, key: str) -> Result:
        line, error, task = self._input.pending[key], outcome.error, outcome.task
        result = Result(
            line=line.number,
            key=key,
            status=outcome.status,
            request=line.request,
            own=line.own,
            task_id=outcome.task_id,
            seconds=outcome.seconds,
            credits=None if task is None else credits_of(task),
            error_code=error_code_of(error, task),
            error=None if error is None else str(error),
            response=getattr(error, "response", None) if outcome.status == "unknown" else None,
        )
        if outcome.status != "completed" or task is None:
            return result
        timeout = self._options.timeout
        seconds = None if timeout is None else timeout - (outcome.seconds or 0.0)
        async with self._recorder.saving(task.id):
            saved = await self._saver.save(line, task, seconds=seconds)
        if (reason := self._streak.add_saving(saved.error)) is not None:
            self._stopping.stop(reason)
        data = tuple(output.data for output in task.outputs if output.url is None)
        result = attrs.evolve(result, files=saved.files, data=data, fetched=saved.fetched)
        if saved.error is None:
            return result
        text = "; ".join([str(saved.error), *getattr(saved.error, "__notes__", ())])
        code = error_code_of(saved.error)
        return attrs.evolve(result, status="unsaved", error_code=code, error=text)
