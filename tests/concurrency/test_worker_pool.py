"""A pool of tasks that are reused for jobs."""

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


async def settle() -> None:
    for _ in range(4):
        await anyio.lowlevel.checkpoint()


async def test_one_task_runs_consecutive_jobs(group: anyio.abc.TaskGroup):
    done = []

    async def work(job: str) -> None:
        done.append((job, asyncio.current_task()))

    pool = WorkerPool(group, work)
    for job in "abc":
        pool.submit(job)
        await settle()
    assert [job for job, _ in done] == ["a", "b", "c"]
    assert len({task for _, task in done}) == 1


async def test_jobs_submitted_together_run_concurrently(group: anyio.abc.TaskGroup):
    together = anyio.Event()
    present = []

    async def work(job: str) -> None:
        present.append(job)
        if len(present) == 3:
            together.set()
        await together.wait()

    pool = WorkerPool(group, work)
    for job in "abc":
        pool.submit(job)
    with anyio.fail_after(5):
        await together.wait()
    assert sorted(present) == ["a", "b", "c"]


async def test_a_callback_can_submit_a_job_to_an_idle_task_only(group: anyio.abc.TaskGroup):
    done: list[str] = []
    submitted: list[bool] = []
    loop = asyncio.get_running_loop()

    async def work(job: str) -> None:
        done.append(job)

    pool = WorkerPool(group, work)
    loop.call_soon(lambda: submitted.append(pool.submit_to_idle("no worker yet")))
    await settle()
    assert not pool.has_idle
    pool.submit("a")
    await settle()
    assert pool.has_idle
    loop.call_soon(lambda: submitted.append(pool.submit_to_idle("b")))
    await settle()
    assert submitted == [False, True]
    assert done == ["a", "b"]


@pytest.mark.parametrize("after_submit", [False, True])
async def test_no_job_is_lost_if_a_worker_is_cancelled_from_outside(
    group: anyio.abc.TaskGroup, after_submit: bool
):
    done: list[str] = []
    tasks: list[asyncio.Task[object]] = []

    async def work(job: str) -> None:
        done.append(job)
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]

    pool = WorkerPool(group, work)
    pool.submit("a")
    await settle()
    if after_submit:
        pool.submit("b")
        tasks[0].cancel()
    else:
        tasks[0].cancel()
        pool.submit("b")
    await settle()
    assert done == ["a", "b"]
    assert tasks[0].done()


async def test_a_worker_that_is_cancelled_during_a_job_ends_alone(group: anyio.abc.TaskGroup):
    done: list[str] = []
    tasks: list[asyncio.Task[object]] = []
    never = anyio.Event()

    async def work(job: str) -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        if job == "hangs":
            await never.wait()
        done.append(job)

    pool = WorkerPool(group, work)
    pool.submit("a")
    await settle()
    pool.submit("hangs")
    await settle()
    tasks[-1].cancel()
    await settle()
    pool.submit("b")
    await settle()
    assert done == ["a", "b"]
