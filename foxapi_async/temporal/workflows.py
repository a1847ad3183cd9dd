"""The workflow that generates a batch of images, and `generate` for workflows of your own.

Workflow code is run again from its history, so it has no clock, no dice and no I/O of its own.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.exceptions import TimeoutError as ActivityTimeoutError
from temporalio.workflow import ActivityCancellationType, ActivityHandle

with workflow.unsafe.imports_passed_through():
    from foxapi_async.requests import Request
    from foxapi_async.temporal.messages import (
        ACTIVITY,
        LONGEST_TEXT,
        MOST_GENERATIONS,
        TASK_QUEUE,
        WORKFLOW,
        Batch,
        Generation,
        GenerationResult,
    )

_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)
)
"""Without an end: what cannot end otherwise is a result, not a failure of the activity."""

_ONE_ATTEMPT: Final = timedelta(days=1)
"""A worker that is at work sends heartbeats, so this ends only what has no end."""


async def generate(
    request: Request,
    *,
    key: str,
    directory: str | None = None,
    task_queue: str = TASK_QUEUE,
    heartbeat_timeout: float = 30.0,
) -> GenerationResult:
    """Generate images from a workflow of your own; return when they are completed and saved.

    Cancelling the workflow leaves a task that was paid for at work: the same key gets it later.

    Args:
        request: What to generate.
        key: The journal of the workers bills it at most once, whatever is run again. Make it from what
            the workflow is about; its id, for example.
        directory: Where the worker saves the files, see `Generation`.
        task_queue: Where the workers of foxapi listen.
        heartbeat_timeout: Seconds without a heartbeat after which another worker takes over.

    Raises:
        ApplicationError: It is not completed. Its ``type`` is the status ("rejected", "unknown", …), its
            ``details`` have the `GenerationResult`, and it is not retried.
        ActivityError: The workflow was cancelled.
    """
    result: GenerationResult = await workflow.execute_activity(
        ACTIVITY,
        Generation.of(request, key, directory=directory),
        result_type=GenerationResult,
        task_queue=task_queue,
        start_to_close_timeout=_ONE_ATTEMPT,
        heartbeat_timeout=timedelta(seconds=heartbeat_timeout),
        retry_policy=_RETRY,
        cancellation_type=ActivityCancellationType.TRY_CANCEL,
        summary=key[:100],
    )
    if result.status != "completed":
        text = f"the generation of the key {key!r} is {result.status}: {result.error}"
        raise ApplicationError(text, result, type=result.status, non_retryable=True)
    return result


@workflow.defn(name=WORKFLOW, sandboxed=False)
class GenerateImages:
    """Generates a batch; its result is a list of `GenerationResult`, in the order of completion.

    Cancelling it ends it at once; tasks that are paid for go on and stay in the journal, and another
    run gets them. The signal ``stop`` submits nothing more, brings home what is in flight, and lets the
    workflow complete.
    """

    def __init__(self) -> None:
        self._results: list[GenerationResult] = []
        self._running: dict[asyncio.Task[GenerationResult], ActivityHandle[GenerationResult]] = {}
        self._stopped_by: GenerationResult | None = None

    @workflow.run
    async def run(self, batch: Batch) -> list[GenerationResult]:
        """Generate the batch."""
        if len(batch.generations) + len(batch.results) > MOST_GENERATIONS:
            raise ApplicationError(
                f"a workflow takes at most {MOST_GENERATIONS:,} generations; nothing was submitted. "
                "Start several, or use generate_images()",
                non_retryable=True,
            )
        self._results = list(batch.results)
        pending = list(reversed(batch.generations))
        while True:
            # All activities end before the workflow continues as new: it would lose them.
            is_long = workflow.info().is_continue_as_new_suggested()
            while (
                pending and len(self._running) < batch.window and not (is_long or self._stopped_by)
            ):
                self._start(pending.pop(), batch)
            if not self._running:
                break
            done, _ = await workflow.wait(list(self._running), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                del self._running[task]
                self._take(task.result())
        if pending and self._stopped_by is None:
            rest = replace(batch, generations=pending[::-1], results=self._results)
            workflow.continue_as_new(rest)
        if self._stopped_by is not None:
            self._results += [
                _not_submitted(each.key, self._stopped_by) for each in reversed(pending)
            ]
        return self._results

    @workflow.signal
    def stop(self, reason: str) -> None:
        """Submit nothing more; the rest of the batch is "not_submitted" for this reason."""
        self._stop(GenerationResult(key="", status="not_submitted", error=reason))

    @workflow.query
    def results(self, since: int = 0) -> list[GenerationResult]:
        """Return the results so far, without the first ``since`` of them."""
        return self._results[since:]

    def _start(self, generation: Generation, batch: Batch) -> None:
        handle: ActivityHandle[GenerationResult] = workflow.start_activity(
            ACTIVITY,
            replace(generation, directory=generation.directory or batch.directory),
            result_type=GenerationResult,
            start_to_close_timeout=_ONE_ATTEMPT,
            heartbeat_timeout=timedelta(seconds=batch.heartbeat_timeout),
            retry_policy=_RETRY,
            # After `stop` a task that is paid for is brought home.
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=generation.key[:100],
        )
        self._running[asyncio.create_task(self._result_of(generation.key, handle))] = handle

    async def _result_of(
        self, key: str, handle: ActivityHandle[GenerationResult]
    ) -> GenerationResult:
        try:
            return await handle
        except ActivityError as error:
            return _failed(key, error, self._stopped_by)

    def _take(self, result: GenerationResult) -> None:
        self._results.append(result)
        if result.ends_run:
            self._stop(result)

    def _stop(self, reason: GenerationResult) -> None:
        if self._stopped_by is None:
            self._stopped_by = reason
            for handle in self._running.values():
                handle.cancel()


def _not_submitted(key: str, reason: GenerationResult) -> GenerationResult:
    return GenerationResult(
        key=key, status="not_submitted", error=reason.error, error_code=reason.error_code
    )


def _failed(
    key: str, error: ActivityError, stopped_by: GenerationResult | None
) -> GenerationResult:
    """Return the result of an activity that the worker did not complete."""
    cause = error.cause
    if isinstance(cause, CancelledError) and stopped_by is not None:
        return _not_submitted(key, stopped_by)
    details = cause.last_heartbeat_details if isinstance(cause, ActivityTimeoutError) else ()
    task_id = next((each for each in details if isinstance(each, str)), None)
    text = f"{error}: {cause}; the journal knows what became of it, and another run continues it"
    return GenerationResult(
        key=key,
        # Only the journal knows whether the POST had left.
        status="unknown" if task_id is None else "unfinished",
        task_id=task_id,
        error=text[:LONGEST_TEXT],
        error_code=type(cause).__name__,
    )
