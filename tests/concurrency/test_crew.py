"""Tasks that are used again."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.abc
import pytest

from foxapi_async.concurrency.crew import Crew

WHO = contextvars.ContextVar("WHO", default="nobody")


def crew_in(group: anyio.abc.TaskGroup, work: Callable[[str], Awaitable[object]]) -> Crew[str]:
    return Crew(lambda work, job: group.start_soon(work, job), work)  # noqa: PLW0108


def crew_outside(
    work: Callable[[str], Awaitable[object]],
) -> tuple[Crew[str], list[asyncio.Task[None]]]:
    """Return a crew of plain asyncio tasks, which one can cancel, and these tasks."""
    tasks: list[asyncio.Task[None]] = []

    def start(work: Callable[[str], Coroutine[Any, Any, None]], job: str) -> None:
        tasks.append(asyncio.ensure_future(work(job)))

    return Crew(start, work), tasks


async def rest() -> None:
    for _ in range(4):
        await anyio.lowlevel.checkpoint()


async def test_one_task_does_one_job_after_the_other():
    done = []

    async def work(job: str) -> None:
        done.append((job, asyncio.current_task()))

    async with anyio.create_task_group() as group:
        crew = crew_in(group, work)
        for job in "abc":
            crew.give(job)
            await rest()
        crew.dismiss()
    assert [job for job, _ in done] == ["a", "b", "c"]
    assert len({task for _, task in done}) == 1


async def test_jobs_that_are_given_at_once_are_done_at_once():
    together = anyio.Event()
    present = []

    async def work(job: str) -> None:
        present.append(job)
        if len(present) == 3:
            together.set()
        await together.wait()

    async with anyio.create_task_group() as group:
        crew = crew_in(group, work)
        for job in "abc":
            crew.give(job)
        with anyio.fail_after(5):
            await together.wait()
        await rest()
        crew.dismiss()
    assert sorted(present) == ["a", "b", "c"]


async def test_who_is_dismissed_at_work_finishes_it_and_goes():
    gate, done = anyio.Event(), []

    async def work(job: str) -> None:
        await gate.wait()
        done.append(job)

    async with anyio.create_task_group() as group:
        crew = crew_in(group, work)
        crew.give("a")
        await rest()
        crew.dismiss()
        crew.give("given to a crew that was dismissed")
        await rest()
        gate.set()
    assert done == ["a", "given to a crew that was dismissed"]


async def test_a_fault_ends_its_task_and_no_other():
    done = []

    async def work(job: str) -> None:
        if job == "bad":
            raise RuntimeError(job)
        done.append(job)

    crew, tasks = crew_outside(work)
    for job in ("a", "bad", "b"):
        crew.give(job)
        await rest()
    crew.dismiss()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert done == ["a", "b"]
    assert [type(result) for result in results] == [RuntimeError, type(None)]


@pytest.mark.parametrize("after_the_job_was_given", [False, True])
async def test_no_job_is_lost_with_a_task_that_somebody_cancels_from_outside(
    after_the_job_was_given: bool,
):
    done = []

    async def work(job: str) -> None:
        done.append(job)

    crew, tasks = crew_outside(work)
    crew.give("a")
    await rest()
    if after_the_job_was_given:
        crew.give("b")
        tasks[0].cancel()
    else:
        tasks[0].cancel()
        crew.give("b")
    await rest()
    crew.dismiss()
    await asyncio.wait(tasks)
    assert done == ["a", "b"]
    assert tasks[0].cancelled()


async def test_the_idle_go_when_they_are_cancelled():
    async def work(_: str) -> None: ...

    async with anyio.create_task_group() as group:
        crew = crew_in(group, work)
        crew.give("a")
        await rest()
        group.cancel_scope.cancel()


async def test_a_new_task_sees_the_context_of_who_gives_the_job():
    seen = []

    async def work(job: str) -> None:
        seen.append((job, WHO.get()))

    async with anyio.create_task_group() as group:
        crew = crew_in(group, work)
        WHO.set("me")
        crew.give("a")
        await rest()
        crew.dismiss()
    assert seen == [("a", "me")]


async def test_each_job_sees_the_context_of_who_gives_it():
    seen: list[tuple[str, str]] = []
    tasks: list[asyncio.Task[object]] = []

    async def work(job: str) -> None:
        seen.append((job, WHO.get()))
        task = asyncio.current_task()
        if task is not None and task not in tasks:
            tasks.append(task)

    async with anyio.create_task_group() as group:
        crew = crew_in(group, work)
        for job, who in zip("abcd", ["me", "you", "you", "me"], strict=True):
            WHO.set(who)
            crew.give(job)
            await rest()
        # Who is let go for another is not kept, so there are never more than were at work at once.
        assert [task.done() for task in tasks] == [True, True, False]
        crew.dismiss()
    assert seen == [("a", "me"), ("b", "you"), ("c", "you"), ("d", "me")]


async def test_a_job_keeps_its_context_when_its_task_is_cancelled_from_outside():
    seen = []

    async def work(job: str) -> None:
        seen.append((job, WHO.get()))
        WHO.set("the job itself")

    crew, tasks = crew_outside(work)
    WHO.set("me")
    crew.give("a")
    await rest()
    crew.give("b")
    tasks[0].cancel()
    await rest()
    crew.dismiss()
    await asyncio.wait(tasks)
    assert seen == [("a", "me"), ("b", "me")]
