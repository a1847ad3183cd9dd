"""Work at a moment that may still be moved."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

import anyio
import pytest

from foxapi_async._concurrency import DeadlineTimer

WHO = contextvars.ContextVar("WHO", default="nobody")


class Log:
    """An alarm, and when it was acted; ``is_over`` tells of each time whether it rings then."""

    def __init__(self, *is_over: bool) -> None:
        self.alarm = DeadlineTimer()
        self.is_over = list(is_over)
        self.moments: list[float] = []
        self.then: Callable[[], None] = lambda: None
        self.began = anyio.current_time()

    def act(self) -> None:
        self.moments.append(round(anyio.current_time() - self.began, 1))
        self.then()
        if self.is_over.pop(0):
            self.alarm.wake()


async def test_it_acts_at_the_moment_and_wakes_who_waits_if_it_rings_then():
    log = Log(True)
    alarm = log.alarm
    alarm.set(log.began + 7)
    await alarm.wait(log.act)
    assert log.moments == [7.0]


async def test_who_waits_sleeps_on_if_acting_was_enough():
    log = Log(False, True)
    alarm = log.alarm
    log.then = lambda: alarm.set(log.began + 20)
    alarm.set(log.began + 7)
    await alarm.wait(log.act)
    assert log.moments == [7.0, 20.0]


async def test_the_soonest_moment_counts_also_when_it_is_set_while_one_waits():
    log = Log(True)
    alarm = log.alarm
    alarm.set(log.began + 50)
    alarm.set(log.began + 90)
    asyncio.get_running_loop().call_later(1, alarm.set, log.began + 5)
    await alarm.wait(log.act)
    assert log.moments == [5.0]


async def test_what_was_set_before_it_was_cleared_counts_no_longer():
    log = Log(True)
    alarm = log.alarm
    alarm.set(log.began + 5)
    alarm.clear()
    alarm.set(log.began + 9)
    await alarm.wait(log.act)
    assert log.moments == [9.0]


async def test_a_ring_wakes_at_once_and_without_acting():
    log = Log()
    alarm = log.alarm
    alarm.set(log.began + 50)
    asyncio.get_running_loop().call_later(3, alarm.wake)
    await alarm.wait(log.act)
    assert round(anyio.current_time() - log.began, 1) == 3.0
    assert log.moments == []


async def test_a_ring_that_comes_before_one_waits_is_not_lost():
    log = Log()
    alarm = log.alarm
    alarm.wake()
    await alarm.wait(log.act)
    assert round(anyio.current_time() - log.began, 1) == 0.0


async def test_a_moment_in_the_past_comes_at_once():
    log = Log(True)
    alarm = log.alarm
    alarm.set(log.began - 100)
    await alarm.wait(log.act)
    assert log.moments == [0.0]


async def test_a_ring_while_it_acts_wakes_once():
    log = Log(True)
    alarm = log.alarm
    log.then = alarm.wake
    alarm.set(log.began + 1)
    await alarm.wait(log.act)
    assert log.moments == [1.0]


async def test_what_acting_raises_comes_out_of_the_wait():
    def act() -> None:
        raise RuntimeError("a fault")

    alarm = DeadlineTimer()
    alarm.set(anyio.current_time() + 1)
    with pytest.raises(RuntimeError, match="a fault"):
        await alarm.wait(act)


async def test_it_acts_with_the_context_of_who_waits_and_not_of_who_set_the_moment():
    seen = []

    alarm = DeadlineTimer()

    def act() -> None:
        seen.append(WHO.get())
        alarm.wake()

    async def stranger() -> None:
        WHO.set("stranger")
        alarm.set(anyio.current_time() + 1)

    WHO.set("who waits")
    async with anyio.create_task_group() as group:
        group.start_soon(alarm.wait, act)
        await anyio.lowlevel.checkpoint()
        group.start_soon(stranger)
    assert seen == ["who waits"]


async def test_a_wait_that_is_cancelled_leaves_no_timer_behind():
    log = Log()
    alarm = log.alarm
    alarm.set(log.began + 5)
    with anyio.move_on_after(1):
        await alarm.wait(log.act)
    await anyio.sleep(10)
    assert log.moments == []
