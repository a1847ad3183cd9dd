"""The virtual clock skips idle time, but not that of busy threads and sockets; callbacks take none."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.virtual_time import CheckedLoop, VirtualTimeLoop


async def test_an_hour_of_sleep_takes_no_real_time():
    began, real = anyio.current_time(), time.monotonic()
    await anyio.sleep(3600)
    assert anyio.current_time() - began >= 3600
    assert time.monotonic() - real < 60


async def test_the_clock_stands_still_while_a_callback_runs():
    began = anyio.current_time()
    time.sleep(0.02)  # noqa: ASYNC251 - a slow callback
    assert anyio.current_time() == began


async def test_the_clock_does_not_skip_while_a_worker_thread_is_busy():
    with anyio.fail_after(30):
        await anyio.to_thread.run_sync(time.sleep, 0.02)
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.02)


@pytest.mark.parametrize("loop_class", [CheckedLoop, VirtualTimeLoop])
def test_callbacks_from_another_thread_and_coroutines_as_callbacks_are_refused(loop_class: Any):
    async def coroutine() -> None:
        pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for schedule in (loop.call_soon, functools.partial(loop.call_later, 1)):
            with pytest.raises(RuntimeError, match="Non-thread-safe operation"):
                await asyncio.to_thread(schedule, print)
            with pytest.raises(TypeError, match="coroutines cannot be used"):
                schedule(coroutine)

    with asyncio.Runner(loop_factory=loop_class) as runner:
        runner.run(main())
