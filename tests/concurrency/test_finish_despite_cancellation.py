"""Waiting that no cancellation can cut short."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from foxapi_async._concurrency import finish_despite_cancellation


class Work:
    """Something that takes a minute, and notes how often it was waited for and whether to the end."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        self.waits = 0
        self.seen_through = False

    async def wait(self) -> None:
        self.waits += 1
        await self.over.wait()

    async def finish_despite_cancellation(self) -> None:
        try:
            await finish_despite_cancellation(self.wait)
        finally:
            self.seen_through = self.over.is_set()

    def finish_after(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.over.set)


async def test_without_a_cancellation_it_just_waits():
    work = Work()
    work.finish_after(60)
    await work.finish_despite_cancellation()
    assert (work.waits, work.seen_through) == (1, True)


async def test_what_is_over_is_not_waited_for():
    work = Work()
    work.over.set()
    await work.finish_despite_cancellation()
    assert work.seen_through


async def test_a_cancelled_task_waits_to_the_end_and_is_cancelled_then():
    work = Work()
    task = asyncio.create_task(work.finish_despite_cancellation())
    await anyio.sleep(1)
    task.cancel("enough")
    await anyio.sleep(1)
    assert not task.done()
    work.over.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (work.waits, work.seen_through) == (2, True)


async def test_however_often_it_is_cancelled_it_waits_to_the_end():
    work = Work()
    task = asyncio.create_task(work.finish_despite_cancellation())
    for _ in range(20):
        await anyio.sleep(1)
        task.cancel()
    await anyio.sleep(1)
    assert not task.done()
    work.over.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.seen_through


async def test_a_task_that_is_cancelled_before_it_began_waits_too():
    work = Work()
    work.finish_after(60)

    async def cancelled_at_once() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await work.finish_despite_cancellation()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(cancelled_at_once())
    assert work.seen_through


async def test_a_timeout_of_asyncio_fires_once_the_work_is_done():
    work = Work()
    work.finish_after(60)
    began = anyio.current_time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await work.finish_despite_cancellation()
    assert work.seen_through
    assert anyio.current_time() - began >= 60


async def test_a_cancel_scope_takes_effect_once_the_work_is_done():
    work = Work()
    work.finish_after(60)
    after = False
    with anyio.move_on_after(5) as scope:
        await work.finish_despite_cancellation()
        await anyio.lowlevel.checkpoint()
        after = True
    assert work.seen_through
    assert scope.cancelled_caught
    assert not after


async def test_the_fault_of_the_work_comes_out_as_it_is():
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await finish_despite_cancellation(broken)


async def test_the_fault_of_work_that_was_cancelled_meanwhile_comes_out_too():
    over = anyio.Event()

    async def broken() -> None:
        await over.wait()
        raise ZeroDivisionError

    task = asyncio.create_task(finish_despite_cancellation(broken))
    await anyio.sleep(1)
    task.cancel()
    over.set()
    with pytest.raises(ZeroDivisionError):
        await task


async def test_afterwards_the_task_can_wait_again():
    work = Work()
    work.finish_after(60)

    async def patient() -> str:
        try:
            await work.finish_despite_cancellation()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        await anyio.sleep(1)
        return "went on"

    task = asyncio.create_task(patient())
    await anyio.sleep(1)
    task.cancel()
    assert await task == "went on"
