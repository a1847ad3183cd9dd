"""Runs a job of `foxapi_async.bulk` by workers: the engine behind `foxapi run --temporal`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs
from temporalio.client import Client

from foxapi_async import FoxAPIError, Statistics, errors
from foxapi_async._concurrency import run_in_thread
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.job_engine import EngineWork
from foxapi_async.bulk.job_input import JobInput
from foxapi_async.bulk.results.results_file import Result
from foxapi_async.bulk.results.saved_files import files_of, is_present
from foxapi_async.journal.entry import Entry
from foxapi_async.temporal.client import GenerationRun, generate_images
from foxapi_async.temporal.messages import TASK_QUEUE, Generation, GenerationResult

_STATUSES: Final = {
    "AuthenticationError": 401,
    "InsufficientQuotaError": 402,
    "PermissionDeniedError": 403,
}
"""The HTTP status of each refusal that ends a run."""


class TemporalEngine:
    """Lets workers generate the lines of a job and save their files; pass it to `run_job`.

    The session of the run and the workers must share the journal, and the directory of the run must be
    the same folder for all. A run that is started again attaches to the workflows at work.

    Args:
        client: The connection to Temporal.
        directory: The directory of the run.
        name: The name of the job in this directory; the same for every run of it.
        task_queue: Where the workers listen.
    """

    def __init__(
        self,
        client: Client,
        directory: Path,
        *,
        name: str,
        task_queue: str = TASK_QUEUE,
    ) -> None:
        self._client = client
        self._directory = directory.absolute()
        self._name = name
        self._task_queue = task_queue
        self._began = datetime.now(UTC)
        self._at_work: set[str] = set()
        self._billed = self._unknown = 0

    async def run(self, work: EngineWork) -> None:
        """Generate the input; return when every result is reported."""
        pending = work.input.pending
        run = generate_images(
            self._client,
            self._generations(work.input),
            job=self._name,
            directory=str(self._directory),
            task_queue=self._task_queue,
            number_of=lambda generation: pending[generation.key].number - 1,
        )
        try:
            async with run:
                stop = _Stop(run)
                work.stopping.attach(stop)
                async for each in run:
                    await self._report(work, each)
        except Exception as error:  # noqa: BLE001 - raised to the reader after the last result
            work.stopping.fail(error)
        finally:
            self._at_work.clear()
            await work.input.aclose()

    def statistics(self, own: Statistics) -> Statistics:
        """Return what the workers have done for this run."""
        return attrs.evolve(
            own,
            in_flight=len(self._at_work),
            images_billed=own.images_billed + self._billed,
            images_unknown=own.images_unknown + self._unknown,
        )

    async def _generations(self, lines: JobInput) -> AsyncIterator[Generation]:
        async for key, request in lines:
            self._at_work.add(key)
            yield Generation.of(request, key)

    async def _report(self, work: EngineWork, each: GenerationResult) -> None:
        self._at_work.discard(each.key)
        line = work.input.pending[each.key]
        entry = (await work.journal.lookup([each.key])).get(each.key)
        if entry is None and each.task_id is not None:
            raise errors.ConfigurationError(
                f"the workers have generated line {line.number} with another journal than {work.journal.label}; "
                "start them with the same --journal. Nothing is lost: theirs knows what is paid for"
            )
        if each.ends_run:
            work.stopping.stop(_error_of(each))
        if entry is not None:
            self._count(entry)
        # What was not submitted because the run stopped is left to the next run.
        if each.status != "not_submitted" or work.stopping.reason is None:
            result = _result_of(line, each, entry)
            await self._check_files(work, result)
            await work.reports.send(result)
        del work.input.pending[each.key]

    def _count(self, entry: Entry) -> None:
        # By the clocks of the workers; a task of an earlier run was submitted long before.
        if entry.task_id is not None and entry.submitted is not None:
            self._billed += entry.num_outputs * (entry.submitted >= self._began)
        elif entry.status == "unknown":
            self._unknown += entry.num_outputs * (entry.updated >= self._began)

    async def _check_files(self, work: EngineWork, result: Result) -> None:
        for file in result.files:
            if not await run_in_thread(is_present, self._directory, file):
                work.notes.add(
                    f"workers have saved files in {self._directory} that are not there on this machine: "
                    "it must be a folder that all machines share",
                    result.line,
                )
                return


class _Stop:
    """Passes a stop of the run on to its workflows."""

    def __init__(self, run: GenerationRun) -> None:
        self._run = run
        self.stopped_by: FoxAPIError | None = None
        """Why nothing more is submitted."""

    def stop_submitting(self, reason: FoxAPIError) -> None:
        """Submit nothing more; tasks in flight are brought home."""
        self.stopped_by = self.stopped_by or reason
        self._run.stop(str(reason))

    def stop_reading(self) -> None:
        """Do the same: workflows cannot tell what was read from what was submitted."""
        self._run.stop()


def _result_of(line: JobLine, each: GenerationResult, entry: Entry | None) -> Result:
    saved = each.status == "completed" and entry is not None
    return Result(
        line=line.number,
        key=line.key,
        status=each.status,
        request=line.request,
        own=line.own,
        task_id=each.task_id,
        files=files_of(entry) if saved and entry is not None else (),
        data=tuple(each.data),
        error_code=each.error_code,
        error=each.error,
        response=entry.response if entry is not None and each.status == "unknown" else None,
        fetched=len(each.files),
    )


def _error_of(each: GenerationResult) -> FoxAPIError:
    """Return an error of the class that ended the run at a worker."""
    text = each.error or "a worker submits nothing more"
    if each.error_type in _STATUSES:
        status = _STATUSES[each.error_type]
        error = errors.APIStatusError.class_for(status)(text, status=status, code=each.error_code)
        error.ends_run = True
        return error
    if each.error_type == "BudgetExceededError":
        return errors.BudgetExceededError(text, total=0, used=0, requested=0)
    return FoxAPIError(text, task_id=each.task_id)
