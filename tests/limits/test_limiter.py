"""The gate: what the pacer allows is really reached, by submissions and looks together."""

from __future__ import annotations

import anyio
import pytest

from foxapi_async.events import EventEmitter
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane, RateScheduler
from foxapi_async.statistics import Counters


def limited(rate: float) -> RateScheduler:
    """Return a pacer that has met the same limit again and again, and pauses no longer."""
    pacer, start = RateScheduler(), anyio.current_time() - 200.0
    for _ in range(4):
        for n in range(round(49 * rate)):
            pacer.sent(Lane.POLL, start + n / rate)
        start += 49.0
        pacer.sent(Lane.POLL, start)
        pacer.refused(Lane.POLL, start, 0.0, sent_at=start)
    return pacer


@pytest.mark.parametrize("rate", [2.0, 20.0, 120.0])
async def test_both_lanes_together_reach_the_rate_that_is_allowed(rate):
    pacer = limited(rate)
    gate = Limiter(pacer, EventEmitter(None), Counters())
    sent = dict.fromkeys(Lane, 0)
    allowed = pacer.snapshot(anyio.current_time()).rate
    assert allowed == pytest.approx(rate, rel=0.1)

    async def submit() -> None:
        while True:
            await gate.enter(Lane.SUBMIT)
            sent[Lane.SUBMIT] += 1

    async def look() -> None:
        while True:
            delay = gate.poll_delay(1)
            if delay > 0:
                await anyio.sleep(delay)
            else:
                gate.poll_sent()
                sent[Lane.POLL] += 1

    with anyio.move_on_after(20):
        async with anyio.create_task_group() as lanes:
            for _ in range(8):
                lanes.start_soon(submit)
            lanes.start_soon(look)
    assert sum(sent.values()) >= 0.7 * 20 * allowed
    assert sent[Lane.SUBMIT] == pytest.approx(sent[Lane.POLL], rel=0.1)


async def test_nobody_enters_during_a_pause():
    pacer = RateScheduler()
    pacer.pause(anyio.current_time(), 5.0)
    gate = Limiter(pacer, EventEmitter(None), Counters())
    before = anyio.current_time()
    assert await gate.enter(Lane.SUBMIT) >= before + 5.0


async def test_who_is_cancelled_takes_no_turn_from_the_others():
    gate = Limiter(RateScheduler(submissions_per_second=0.1), EventEmitter(None), Counters())
    began = anyio.current_time()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await gate.enter(Lane.SUBMIT)
    assert scope.cancelled_caught
    assert await gate.enter(Lane.SUBMIT) == pytest.approx(began, abs=5.0)
