"""Tasks that are used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from foxapi_async._concurrency import WorkerPool


@pytest.fixture
async def group() -> AsyncIterator[anyio.abc.TaskGroup]:
    async with anyio.create_task_group() as group:
        yield group
        group.cancel_scope.cancel()


async def rest() -> None:
    for _ in range(4):
        await anyio.lowlevel.checkpoint()


async def test_one_task_does_one_job_after_the_other(group: anyio.abc.TaskGroup):
    done = []

    async def work(job: str) -> None:
        done.append((job, asyncio.current_task()))

    crew = WorkerPool(group, work)
    for job in "abc":
        crew.submit(job)
        await rest()
    assert [job for job, _ in done] == ["a", "b", "c"]
    assert len({task for _, task in done}) == 1


async def test_jobs_that_are_given_at_once_are_done_at_once(group: anyio.abc.TaskGroup):
    together = anyio.Event()
    present = []

    async def work(job: str) -> None:
        present.append(job)
        if len(present) == 3:
            together.set()
        await together.wait()

    crew = WorkerPool(group, work)
    for job in "abc":
        crew.submit(job)
    with anyio.fail_after(5):
        await together.wait()
    assert sorted(present) == ["a", "b", "c"]


async def test_a_callback_can_give_a_job_to_an_idle_task_only(group: anyio.abc.TaskGroup):
    done: list[str] = []
    given: list[bool] = []
    loop = asyncio.get_running_loop()

    async def work(job: str) -> None:
        done.append(job)

    crew = WorkerPool(group, work)
    loop.call_soon(lambda: given.append(crew.submit_to_idle("nobody is there yet")))
    await rest()
    assert not crew.has_idle
    crew.submit("a")
    await rest()
    assert crew.has_idle
    loop.call_soon(lambda: given.append(crew.submit_to_idle("b")))
    await rest()
    assert given == [False, True]
    assert done == ["a", "b"]


@pytest.mark.parametrize("after_the_job_was_given", [False, True])
async def test_no_job_is_lost_with_a_task_that_somebody_cancels_from_outside(
    group: anyio.abc.TaskGroup, after_the_job_was_given: bool
):
    done: list[str] = []
    tasks: list[asyncio.Task[object]] = []

    async def work(job: str) -> None:
        done.append(job)
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]

    crew = WorkerPool(group, work)
    crew.submit("a")
    await rest()
    if after_the_job_was_given:
        crew.submit("b")
        tasks[0].cancel()
    else:
        tasks[0].cancel()
        crew.submit("b")
    await rest()
    assert done == ["a", "b"]
    assert tasks[0].done()
