"""Submissions and polls together reach the rate that the scheduler allows."""

from __future__ import annotations

import anyio
import pytest

from foxapi_async.events import EventEmitter
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.options import Limits
from foxapi_async.statistics import Counters


def new_limiter(**limits: float) -> Limiter:
    return Limiter(Limits(**limits), EventEmitter(None), Counters())  # type: ignore[arg-type]


def limited(rate: float) -> Limiter:
    """Return a limiter that has met the same limit several times and is not paused."""
    limiter, start = new_limiter(), anyio.current_time() - 200.0
    scheduler = limiter._scheduler
    for _ in range(4):
        for n in range(round(49 * rate)):
            scheduler.sent(Lane.POLL, start + n / rate)
        start += 49.0
        scheduler.sent(Lane.POLL, start)
        scheduler.refused(Lane.POLL, start, 0.0, sent_at=start)
    return limiter


@pytest.mark.parametrize("rate", [2.0, 20.0, 120.0])
async def test_both_lanes_together_reach_the_allowed_rate(rate):
    limiter = limited(rate)
    sent = dict.fromkeys(Lane, 0)
    allowed = limiter.rate()
    assert allowed == pytest.approx(rate, rel=0.1)

    async def submit() -> None:
        while True:
            await limiter.admit(Lane.SUBMIT)
            sent[Lane.SUBMIT] += 1

    async def poll() -> None:
        while True:
            delay = limiter.poll_delay(1)
            if delay > 0:
                await anyio.sleep(delay)
            else:
                limiter.admit_poll()
                sent[Lane.POLL] += 1

    with anyio.move_on_after(20):
        async with anyio.create_task_group() as lanes:
            for _ in range(8):
                lanes.start_soon(submit)
            lanes.start_soon(poll)
    assert sum(sent.values()) >= 0.7 * 20 * allowed
    assert sent[Lane.SUBMIT] == pytest.approx(sent[Lane.POLL], rel=0.1)


async def test_nothing_is_admitted_during_a_pause():
    limiter = new_limiter()
    limiter._scheduler.pause(anyio.current_time(), 5.0)
    before = anyio.current_time()
    assert await limiter.admit(Lane.SUBMIT) >= before + 5.0


async def test_a_cancelled_request_uses_no_slot_of_the_rate_limit():
    limiter = new_limiter(submissions_per_second=0.1)
    began = anyio.current_time()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await limiter.admit(Lane.SUBMIT)
    assert scope.cancelled_caught
    assert await limiter.admit(Lane.SUBMIT) == pytest.approx(began, abs=5.0)
