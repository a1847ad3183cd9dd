"""The clock of the tests leaps, but never past a thread or a socket that is still at work."""

from __future__ import annotations

import asyncio
import time

import anyio
import anyio.to_thread


async def test_an_hour_of_sleep_is_over_at_once():
    began, real = anyio.current_time(), time.monotonic()
    await anyio.sleep(3600)
    assert anyio.current_time() - began >= 3600
    assert time.monotonic() - real < 60


async def test_a_worker_thread_holds_the_clock():
    with anyio.fail_after(30):
        await anyio.to_thread.run_sync(time.sleep, 0.02)
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.02)
