"""Waiting for work to finish although the waiting task is cancelled."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from foxapi_async._concurrency import finish_despite_cancellation


class Work:
    """Work that counts how often it was awaited, and records whether a wait lasted to its end."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.waits = 0
        self.finished = False

    async def wait(self) -> None:
        self.waits += 1
        await self.done.wait()

    async def finish_despite_cancellation(self) -> None:
        try:
            await finish_despite_cancellation(self.wait)
        finally:
            self.finished = self.done.is_set()

    def finish_after(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.done.set)


async def test_without_a_cancellation_it_waits_once():
    work = Work()
    work.finish_after(60)
    await work.finish_despite_cancellation()
    assert (work.waits, work.finished) == (1, True)


async def test_finished_work_returns_at_once():
    work = Work()
    work.done.set()
    await work.finish_despite_cancellation()
    assert work.finished


async def test_a_cancelled_task_waits_to_the_end_and_is_then_cancelled():
    work = Work()
    task = asyncio.create_task(work.finish_despite_cancellation())
    await anyio.sleep(1)
    task.cancel("enough")
    await anyio.sleep(1)
    assert not task.done()
    work.done.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (work.waits, work.finished) == (2, True)


async def test_repeated_cancellations_do_not_end_the_wait():
    work = Work()
    task = asyncio.create_task(work.finish_despite_cancellation())
    for _ in range(20):
        await anyio.sleep(1)
        task.cancel()
    await anyio.sleep(1)
    assert not task.done()
    work.done.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.finished


async def test_a_task_cancelled_before_the_wait_waits_too():
    work = Work()
    work.finish_after(60)

    async def cancelled_at_once() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await work.finish_despite_cancellation()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(cancelled_at_once())
    assert work.finished


async def test_a_timeout_of_asyncio_fires_once_the_work_is_done():
    work = Work()
    work.finish_after(60)
    began = anyio.current_time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await work.finish_despite_cancellation()
    assert work.finished
    assert anyio.current_time() - began >= 60


async def test_a_cancel_scope_takes_effect_once_the_work_is_done():
    work = Work()
    work.finish_after(60)
    after = False
    with anyio.move_on_after(5) as scope:
        await work.finish_despite_cancellation()
        await anyio.lowlevel.checkpoint()
        after = True
    assert work.finished
    assert scope.cancelled_caught
    assert not after


async def test_an_exception_of_the_work_propagates_unchanged():
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await finish_despite_cancellation(broken)


async def test_an_exception_of_the_work_propagates_after_a_cancellation():
    done = anyio.Event()

    async def broken() -> None:
        await done.wait()
        raise ZeroDivisionError

    task = asyncio.create_task(finish_despite_cancellation(broken))
    await anyio.sleep(1)
    task.cancel()
    done.set()
    with pytest.raises(ZeroDivisionError):
        await task


async def test_the_task_can_wait_again_after_uncancel():
    work = Work()
    work.finish_after(60)

    async def recover() -> str:
        try:
            await work.finish_despite_cancellation()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        await anyio.sleep(1)
        return "continued"

    task = asyncio.create_task(recover())
    await anyio.sleep(1)
    task.cancel()
    assert await task == "continued"
