"""Work in a thread finishes despite cancellation."""

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
        self.started = threading.Event()
        self.ended = False

    def __call__(self):
        self.started.set()
        time.sleep(0.05)
        self.ended = True
        return "done"


async def started(work):
    await anyio.to_thread.run_sync(work.started.wait)


def fail():
    raise OSError("disk full")


async def test_the_result_or_exception_of_the_function_is_returned():
    assert await run_in_thread(Slow()) == "done"
    with pytest.raises(OSError, match="disk full"):
        await run_in_thread(fail)
    with pytest.raises(OSError, match="disk full"):
        await ThreadJob(fail).wait()


@pytest.mark.parametrize(
    "run", [run_in_thread, lambda work: ThreadJob(work).wait()], ids=["call", "job"]
)
async def test_a_cancelled_task_waits_for_the_thread(run):
    work = Slow()
    task = asyncio.ensure_future(run(work))
    await started(work)
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
            await started(work)
            scope.cancel()
    assert work.ended


async def test_a_timeout_still_raises_timeout_error():
    work = Slow()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_in_thread(work)
    assert work.ended


async def test_an_exception_of_cancelled_work_is_retrieved():
    task = asyncio.ensure_future(run_in_thread(fail))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_event_loop_has_its_own_threads():
    async def name():
        return await run_in_thread(threading.get_ident)

    here = await name()
    assert await name() == here
    assert await anyio.to_thread.run_sync(asyncio.run, name()) != here
