"""What passes the limiter, and when: lanes, pauses, probes and cancellation."""

from __future__ import annotations

import anyio
import pytest

from foxapi_async.events import EventEmitter
from foxapi_async.http.responses import Answer, ResponseClass
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.options import Limits
from foxapi_async.statistics import Counters


def new_limiter(**limits: float) -> Limiter:
    return Limiter(Limits(**limits), EventEmitter(None), Counters())  # type: ignore[arg-type]


def refusal(retry_after: float | None = None) -> Answer[None]:
    return Answer(
        ResponseClass.RATE_LIMITED, status=429, rate_limited=True, retry_after=retry_after
    )


ACCEPTED = Answer[None](ResponseClass.OK, status=200)


async def test_a_429_to_a_submission_does_not_stop_polls():
    limiter = new_limiter()
    limiter.record_answer(Lane.SUBMIT, refusal(30.0), await limiter.admit(Lane.SUBMIT))
    assert limiter.poll_delay() == 0.0
    began = anyio.current_time()
    assert await limiter.admit(Lane.OTHER) == began
    assert await limiter.admit(Lane.SUBMIT) == pytest.approx(began + 30.0)


async def test_a_429_to_a_poll_does_not_stop_submissions():
    limiter = new_limiter()
    limiter.record_answer(Lane.POLL, refusal(30.0), limiter.admit_poll())
    began = anyio.current_time()
    assert await limiter.admit(Lane.SUBMIT) == began
    assert limiter.poll_delay() == 30.0


async def test_a_503_with_retry_after_pauses_its_lane_for_at_most_a_minute():
    limiter = new_limiter()
    unavailable = Answer[None](ResponseClass.UNCLEAR, status=503, retry_after=500.0)
    limiter.record_answer(Lane.POLL, unavailable, limiter.admit_poll())
    assert limiter.poll_delay() == 60.0
    began = anyio.current_time()
    assert await limiter.admit(Lane.SUBMIT) == began


async def test_a_served_probe_wakes_the_submissions_that_wait():
    limiter = new_limiter()
    for _ in range(12):
        sent_at = await limiter.admit(Lane.SUBMIT)
        limiter.record_answer(Lane.SUBMIT, refusal(), sent_at)
    probe = await limiter.admit(Lane.SUBMIT)
    async with anyio.create_task_group() as group:
        group.start_soon(limiter.admit, Lane.SUBMIT)
        await anyio.sleep(0.5)
        limiter.record_answer(Lane.SUBMIT, ACCEPTED, probe)
        began = anyio.current_time()
    assert anyio.current_time() - began < 1.5


async def test_another_request_is_not_starved_by_polls():
    limiter, left = new_limiter(), list[str]()
    limiter.record_answer(Lane.POLL, refusal(), limiter.admit_poll())
    await anyio.sleep(1.0)

    async def poll() -> None:
        while True:
            if (delay := limiter.poll_delay()) > 0:
                await anyio.sleep(delay)
            else:
                limiter.record_answer(Lane.POLL, ACCEPTED, limiter.admit_poll())
                left.append("poll")

    async def other() -> None:
        while True:
            limiter.record_answer(Lane.OTHER, ACCEPTED, await limiter.admit(Lane.OTHER))
            left.append("other")

    with anyio.move_on_after(20.0):
        async with anyio.create_task_group() as group:
            group.start_soon(poll)
            group.start_soon(other)
    assert left.count("poll") >= 0.4 * len(left)
    assert left.count("other") >= 0.4 * len(left)


async def test_a_cancelled_request_uses_no_slot_of_the_rate_limit():
    limiter = new_limiter(submissions_per_second=0.1)
    began = anyio.current_time()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await limiter.admit(Lane.SUBMIT)
    assert scope.cancelled_caught
    assert await limiter.admit(Lane.SUBMIT) == pytest.approx(began, abs=5.0)
