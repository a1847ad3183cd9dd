"""A callback at a deadline that can be moved."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

import anyio
import pytest

from foxapi_async._concurrency import DeadlineTimer

CALLER = contextvars.ContextVar("CALLER", default="unset")


class LoggedTimer:
    """A timer and a log of its callbacks; ``wakes`` holds for each callback whether it calls wake()."""

    def __init__(self, *wakes: bool) -> None:
        self.timer = DeadlineTimer()
        self.wakes = list(wakes)
        self.moments: list[float] = []
        self.then: Callable[[], None] = lambda: None
        self.began = anyio.current_time()

    def act(self) -> None:
        self.moments.append(round(anyio.current_time() - self.began, 1))
        self.then()
        if self.wakes.pop(0):
            self.timer.wake()


async def test_the_callback_runs_at_the_deadline_and_can_wake_the_waiter():
    log = LoggedTimer(True)
    timer = log.timer
    timer.set(log.began + 7)
    await timer.wait(log.act)
    assert log.moments == [7.0]


async def test_the_waiter_keeps_waiting_if_the_callback_does_not_wake_it():
    log = LoggedTimer(False, True)
    timer = log.timer
    log.then = lambda: timer.set(log.began + 20)
    timer.set(log.began + 7)
    await timer.wait(log.act)
    assert log.moments == [7.0, 20.0]


async def test_a_callback_that_sets_several_deadlines_starts_one_timer(monkeypatch):
    log = LoggedTimer(False, True)
    timer, loop = log.timer, asyncio.get_running_loop()
    started: list[int] = []
    call_at = loop.call_at

    def counted(when, *args, **options):
        started.append(round(when - log.began))
        return call_at(when, *args, **options)

    log.then = lambda: [timer.set(log.began + seconds) for seconds in (90, 20)]
    timer.set(log.began + 7)
    monkeypatch.setattr(loop, "call_at", counted)
    await timer.wait(log.act)
    assert log.moments == [7.0, 20.0]
    assert started == [7, 20]


async def test_the_earliest_deadline_wins_even_if_set_during_a_wait():
    log = LoggedTimer(True)
    timer = log.timer
    timer.set(log.began + 50)
    timer.set(log.began + 90)
    asyncio.get_running_loop().call_later(1, timer.set, log.began + 5)
    await timer.wait(log.act)
    assert log.moments == [5.0]


async def test_clear_removes_the_deadline():
    log = LoggedTimer(True)
    timer = log.timer
    timer.set(log.began + 5)
    timer.clear()
    timer.set(log.began + 9)
    await timer.wait(log.act)
    assert log.moments == [9.0]


async def test_wake_ends_the_wait_without_the_callback():
    log = LoggedTimer()
    timer = log.timer
    timer.set(log.began + 50)
    asyncio.get_running_loop().call_later(3, timer.wake)
    await timer.wait(log.act)
    assert round(anyio.current_time() - log.began, 1) == 3.0
    assert log.moments == []


async def test_wake_before_a_wait_is_not_lost():
    log = LoggedTimer()
    timer = log.timer
    timer.wake()
    await timer.wait(log.act)
    assert round(anyio.current_time() - log.began, 1) == 0.0


async def test_a_deadline_in_the_past_fires_at_once():
    log = LoggedTimer(True)
    timer = log.timer
    timer.set(log.began - 100)
    await timer.wait(log.act)
    assert log.moments == [0.0]


async def test_wake_during_the_callback_wakes_once():
    log = LoggedTimer(True)
    timer = log.timer
    log.then = timer.wake
    timer.set(log.began + 1)
    await timer.wait(log.act)
    assert log.moments == [1.0]


async def test_an_exception_of_the_callback_is_raised_by_the_wait():
    def act() -> None:
        raise RuntimeError("a fault")

    timer = DeadlineTimer()
    timer.set(anyio.current_time() + 1)
    with pytest.raises(RuntimeError, match="a fault"):
        await timer.wait(act)


async def test_the_callback_runs_in_the_context_of_the_waiter():
    seen = []

    timer = DeadlineTimer()

    def act() -> None:
        seen.append(CALLER.get())
        timer.wake()

    async def setter() -> None:
        CALLER.set("setter")
        timer.set(anyio.current_time() + 1)

    CALLER.set("waiter")
    async with anyio.create_task_group() as group:
        group.start_soon(timer.wait, act)
        await anyio.lowlevel.checkpoint()
        group.start_soon(setter)
    assert seen == ["waiter"]


async def test_a_cancelled_wait_cancels_its_timer():
    log = LoggedTimer()
    timer = log.timer
    timer.set(log.began + 5)
    with anyio.move_on_after(1):
        await timer.wait(log.act)
    await anyio.sleep(10)
    assert log.moments == []
