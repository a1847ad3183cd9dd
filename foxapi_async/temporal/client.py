"""Starts workflows for any number of generations, a few at a time, and yields what becomes of them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from types import TracebackType
from typing import Final, Self, cast

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import (
    QueryRejectCondition,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from foxapi_async._concurrency import Signal
from foxapi_async.errors import ConfigurationError, FoxAPIError
from foxapi_async.temporal.connection import reached
from foxapi_async.temporal.messages import (
    MOST_GENERATIONS,
    TASK_QUEUE,
    Batch,
    Generation,
    GenerationResult,
)
from foxapi_async.temporal.workflows import GenerateImages

_log = logging.getLogger("foxapi_async")

SIZE: Final = 100
"""Generations of a workflow: many enough to share its overhead, few enough to continue soon."""

_LARGEST_BATCH: Final = 256 * 1024
_LARGEST: Final = 1024 * 1024
"""Bytes of JSON: above the first a workflow gets no more generations; above the second none can have it.
Temporal warns at 512 KiB and refuses 2 MiB."""

_PERIOD: Final = 1.0
"""Seconds between two questions for the results of a workflow at work."""

_QUERY: Final = timedelta(seconds=5)

_ATTEMPTS: Final = 5
"""Workflows for one batch; an earlier one may have been at work on other lines of it, or be stopping."""

_UNREAD: Final = 64


def generate_images(
    client: Client,
    generations: Iterable[Generation] | AsyncIterable[Generation],
    *,
    job: str,
    directory: str | None = None,
    task_queue: str = TASK_QUEUE,
    size: int = SIZE,
    workflows: int = 8,
    heartbeat_timeout: float = 30.0,
    number_of: Callable[[Generation], int] | None = None,
) -> GenerationRun:
    """Return a run of any number of generations by workers; use it with ``async with`` and iterate.

    It starts a workflow `GenerateImages` for each ``size`` of them. The ids of the workflows come from
    the name of the job, so a second start attaches to those at work. What is done is not paid for again.

    Args:
        client: The connection to Temporal, see `connect`.
        generations: What to generate; read as far as workflows are free.
        job: A name that is the same when the same generations are started again.
        directory: Where workers save the files of those that name no directory, see `Generation`.
        task_queue: Where the workers of foxapi listen.
        size: Generations of a workflow, 1 to 1,000.
        workflows: Workflows at work at once, 1 or more.
        heartbeat_timeout: Seconds after which the work of a dead worker goes to another one.
        number_of: The number of a generation in the job, if some may be left out; by default they are
            counted. Those of one workflow follow each other.
    """
    if not 1 <= size <= MOST_GENERATIONS or workflows < 1:
        raise ConfigurationError(
            f"size is {size} and workflows is {workflows}; they must be at least 1, and size at most "
            f"{MOST_GENERATIONS}"
        )
    digest = hashlib.blake2b(f"{job}\0{directory}".encode("utf-8", "surrogatepass"), digest_size=12)
    plan = _Plan(
        f"foxapi-{digest.hexdigest()}", directory, task_queue, size, workflows, heartbeat_timeout
    )
    return GenerationRun(client, generations, plan, number_of)


@attrs.frozen
class _Plan:
    prefix: str
    directory: str | None
    task_queue: str
    size: int
    workflows: int
    heartbeat_timeout: float


@attrs.define
class _OpenBatch:
    """The generations that the next workflow gets."""

    group: int
    part: int = 0
    bytes: int = 0
    generations: list[Generation] = attrs.field(factory=list[Generation])


class GenerationRun(AsyncIterator[GenerationResult]):
    """A run of `generate_images`: an async context manager, and an iterator of results as they come.

    Leaving it early leaves the workflows at work; `stop` stops them.

    Raises:
        FoxAPIError: While iterating, after the last result: Temporal refuses a workflow, or somebody
            has ended one before its time. What the input raises is raised there, too.
    """

    def __init__(
        self,
        client: Client,
        generations: Iterable[Generation] | AsyncIterable[Generation],
        plan: _Plan,
        number_of: Callable[[Generation], int] | None,
    ) -> None:
        self._client = client
        self._generations = generations
        self._plan = plan
        self._number_of = number_of
        self._slots = anyio.Semaphore(plan.workflows)
        self._group = anyio.create_task_group()
        self._at_work: dict[str, anyio.Event] = {}
        self._stopped_by: str | None = None
        self._stopped = Signal()
        self._error: Exception | None = None
        self._send: MemoryObjectSendStream[GenerationResult]
        self._receive: MemoryObjectReceiveStream[GenerationResult]
        self._send, self._receive = anyio.create_memory_object_stream[GenerationResult](_UNREAD)
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.callback(self._receive.close)
            await stack.enter_async_context(self._group)
            stack.callback(self._group.cancel_scope.cancel)
            self._group.start_soon(self._run)
            self._group.start_soon(self._pass_on_stop)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Without the exception: the group would wrap it.
        await self._exit.aclose()

    async def __anext__(self) -> GenerationResult:
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            error, self._error = self._error, None
            if error is not None:
                raise error from None
            raise StopAsyncIteration from None

    def stop(self, reason: str = "the run was stopped") -> None:
        """Submit nothing more, and read no more of the input.

        Results of tasks in flight still follow; what was read and not submitted is "not_submitted".
        """
        if self._stopped_by is None:
            self._stopped_by = reason
            self._stopped.set()

    @property
    def _is_stopped(self) -> bool:
        return self._stopped_by is not None

    async def _run(self) -> None:
        async with self._send:
            try:
                async with anyio.create_task_group() as group:
                    await self._read(group)
            except Exception as error:  # noqa: BLE001 - the input may raise anything
                self._error = _first(error)

    async def _read(self, group: anyio.abc.TaskGroup) -> None:
        number = 0
        batch = _OpenBatch(0)
        async for generation in _iterate(self._generations):
            if self._is_stopped:
                batch.generations.append(generation)
                break
            place = number if self._number_of is None else self._number_of(generation)
            number += 1
            size = len(json.dumps(generation.payload))
            if size > _LARGEST:
                await self._send.send(_too_large(generation, size))
                continue
            is_full = batch.bytes + size > _LARGEST_BATCH
            if place // self._plan.size != batch.group:
                await self._start(group, batch)
                batch = _OpenBatch(place // self._plan.size)
            elif is_full:
                await self._start(group, batch)
                batch = _OpenBatch(batch.group, batch.part + 1)
            batch.bytes += size
            batch.generations.append(generation)
        await self._start(group, batch)

    async def _start(self, group: anyio.abc.TaskGroup, batch: _OpenBatch) -> None:
        if batch.generations:
            await self._slots.acquire()
            group.start_soon(self._carry_out, batch)

    async def _carry_out(self, batch: _OpenBatch) -> None:
        workflow_id = f"{self._plan.prefix}-{batch.group}"
        if batch.part:
            workflow_id += f".{batch.part}"
        wanted = {each.key: each for each in batch.generations}
        try:
            while (earlier := self._at_work.get(workflow_id)) is not None:
                await earlier.wait()
            self._at_work[workflow_id] = anyio.Event()
            try:
                await self._generate(workflow_id, wanted)
            finally:
                self._at_work.pop(workflow_id).set()
            for key in wanted:
                await self._send.send(
                    GenerationResult(key=key, status="not_submitted", error=self._stopped_by)
                )
        finally:
            self._slots.release()

    async def _generate(self, workflow_id: str, wanted: dict[str, Generation]) -> None:
        """Run workflows until all results are there; leave in ``wanted`` what a stop has left."""
        for _ in range(_ATTEMPTS):
            if not wanted or self._is_stopped:
                return
            handle = await self._start_workflow(workflow_id, list(wanted.values()))
            await self._stop_if_wanted(workflow_id)
            async for result in self._results(handle):
                # A workflow that an earlier run has stopped leaves lines to this one.
                is_left = result.status == "not_submitted" and result.error_code is None
                if result.key in wanted and (self._is_stopped or not is_left):
                    del wanted[result.key]
                    await self._send.send(result)
        if wanted and not self._is_stopped:
            raise FoxAPIError(
                f"the workflow {workflow_id} ended {_ATTEMPTS} times without results for "
                f"{len(wanted)} lines; nothing is lost, and another run continues them"
            )

    async def _start_workflow(
        self, workflow_id: str, generations: list[Generation]
    ) -> WorkflowHandle[GenerateImages, list[GenerationResult]]:
        return await reached(
            lambda: self._client.start_workflow(
                GenerateImages.run,
                Batch(
                    generations=generations,
                    directory=self._plan.directory,
                    heartbeat_timeout=self._plan.heartbeat_timeout,
                ),
                id=workflow_id,
                task_queue=self._plan.task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                # What is done costs nothing: the journal knows it.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )
        )

    async def _results(
        self, handle: WorkflowHandle[GenerateImages, list[GenerationResult]]
    ) -> AsyncIterator[GenerationResult]:
        """Yield the results of a workflow as they come."""
        seen = 0
        end = asyncio.create_task(reached(handle.result))
        try:
            while not end.done():
                await asyncio.wait([end], timeout=_PERIOD)
                if end.done():
                    break
                for result in await _new_results(handle, seen):
                    seen += 1
                    yield result
            for result in (await _end_of(handle.id, end))[seen:]:
                yield result
        finally:
            end.cancel()

    async def _pass_on_stop(self) -> None:
        # A task of its own, because `stop` may be called by a signal handler.
        while not self._is_stopped:
            await self._stopped.wait()
        for workflow_id in tuple(self._at_work):
            self._group.start_soon(self._stop_workflow, workflow_id)

    async def _stop_if_wanted(self, workflow_id: str) -> None:
        if self._stopped_by is not None:
            await self._stop_workflow(workflow_id)

    async def _stop_workflow(self, workflow_id: str) -> None:
        handle = self._client.get_workflow_handle(workflow_id)
        with suppress(FoxAPIError):  # it has ended
            await reached(lambda: handle.signal(GenerateImages.stop, self._stopped_by or ""))


async def _new_results(
    handle: WorkflowHandle[GenerateImages, list[GenerationResult]], seen: int
) -> list[GenerationResult]:
    try:
        return await handle.query(
            GenerateImages.results,
            seen,
            reject_condition=QueryRejectCondition.NOT_OPEN,
            rpc_timeout=_QUERY,
        )
    except (RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError) as error:
        # No worker is there to answer, or the workflow has just ended: the end tells all.
        _log.debug("no results of %s yet: %s", handle.id, error)
        return []


async def _end_of(
    workflow_id: str, end: asyncio.Task[list[GenerationResult]]
) -> list[GenerationResult]:
    try:
        return await end
    except WorkflowFailureError as error:
        raise FoxAPIError(
            f"the workflow {workflow_id} was ended before its time: {error.cause}. Tasks that are paid "
            "for go on and are in the journal; another run continues the job"
        ) from error


def _too_large(generation: Generation, size: int) -> GenerationResult:
    return GenerationResult(
        key=generation.key,
        status="not_submitted",
        error=f"the request has {size:,} bytes, more than Temporal can pass on ({_LARGEST:,}); use links "
        "in place of inline content, or run it without Temporal",
        error_code="PayloadTooLarge",
    )


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    return error


async def _iterate(
    generations: Iterable[Generation] | AsyncIterable[Generation],
) -> AsyncIterator[Generation]:
    if isinstance(generations, AsyncIterable):
        async for each in generations:
            yield each
        return
    for each in generations:
        yield each
