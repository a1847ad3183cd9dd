"""Work in a thread comes to its end, whoever cancels."""

from __future__ import annotations

import asyncio
import threading
import time

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from foxapi_async._concurrency import ThreadJob, run_in_thread


class Slow:
    def __init__(self):
        self.begun = threading.Event()
        self.ended = False

    def __call__(self):
        self.begun.set()
        time.sleep(0.05)
        self.ended = True
        return "done"


async def has_begun(work):
    await anyio.to_thread.run_sync(work.begun.wait)


def fail():
    raise OSError("no room")


async def test_what_the_function_gives_comes_back():
    assert await run_in_thread(Slow()) == "done"
    with pytest.raises(OSError, match="no room"):
        await run_in_thread(fail)
    with pytest.raises(OSError, match="no room"):
        await ThreadJob(fail).wait()


@pytest.mark.parametrize(
    "run", [run_in_thread, lambda work: ThreadJob(work).wait()], ids=["call", "job"]
)
async def test_plain_cancellation_waits_for_the_thread(run):
    work = Slow()
    task = asyncio.ensure_future(run(work))
    await has_begun(work)
    task.cancel()
    await anyio.lowlevel.checkpoint()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended


async def test_a_cancelled_scope_waits_for_the_thread():
    work = Slow()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(run_in_thread, work)
            await has_begun(work)
            scope.cancel()
    assert work.ended


async def test_a_timeout_is_still_a_timeout():
    work = Slow()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_in_thread(work)
    assert work.ended


async def test_an_error_of_work_that_was_cancelled_is_not_left_lying_about():
    task = asyncio.ensure_future(run_in_thread(fail))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_loop_has_threads_of_its_own():
    async def name():
        return await run_in_thread(threading.get_ident)

    here = await name()
    assert await name() == here
    assert await anyio.to_thread.run_sync(asyncio.run, name()) != here
