"""Which task the poller looks at first when it may not look at all of them."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from foxapi_async.events import EventEmitter
from foxapi_async.http.responses import Answer
from foxapi_async.http.retry_rules import ResponseClass
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import RateScheduler
from foxapi_async.models import Task
from foxapi_async.options import Polling
from foxapi_async.polling.poller import Poller
from foxapi_async.polling.schedule import Schedule
from foxapi_async.polling.tracked_task import TrackedTask
from foxapi_async.statistics import Counters

UNLIKELY = [f"unlikely-{i}" for i in range(20)]


@pytest.mark.parametrize(
    ("polls_per_second", "at_once", "place"),
    [(2.0, 64, slice(1, 4)), (None, 64, slice(20, 21)), (None, 2, slice(2, 5))],
    ids=["a rate", "no limit", "few at once"],
)
async def test_the_one_that_has_most_likely_ended_goes_first_if_looks_are_scarce(
    polls_per_second: float | None,
    at_once: int,
    place: slice,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("foxapi_async.polling.poller._LOOKS_AT_ONCE", at_once)
    order: list[str] = []

    async def look(task_id: str, _: bool) -> Answer[Task]:
        order.append(task_id)
        await anyio.sleep(0.5)
        return Answer(ResponseClass.OK, value=Task(task_id), status=200)

    tally, announce = Counters(), EventEmitter(None)
    pacer = RateScheduler(submissions_per_second=None, polls_per_second=polls_per_second)
    poller = Poller(
        look,
        gate=Limiter(pacer, announce, tally),
        schedule=Schedule(),
        polling=Polling(),
        announce=announce,
        tally=tally,
        on_end=lambda _: None,
    )
    now = anyio.current_time()
    for id_ in UNLIKELY:
        watch = TrackedTask(
            Task(id_), born=now - 1, deadline=now + 1e5, group="long", estimate=3000.0
        )
        poller.track(watch, first_look=now)
    likely = TrackedTask(
        Task("likely"), born=now - 60, deadline=now + 1e5, group="short", estimate=20.0
    )
    poller.track(likely, first_look=now + 0.001)
    polling = asyncio.ensure_future(poller.run())
    await anyio.sleep(15)
    polling.cancel()
    await asyncio.wait([polling])
    assert "likely" in order[place]
