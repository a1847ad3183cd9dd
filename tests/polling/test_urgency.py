"""Which task the poller polls first when it may not poll all of them."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from yarl import URL

from foxapi_async.api import Api
from foxapi_async.events import EventEmitter
from foxapi_async.http.responses import Answer
from foxapi_async.http.retry_rules import ResponseClass
from foxapi_async.http.transport import Transport
from foxapi_async.limits.limiter import Limiter
from foxapi_async.models import Task
from foxapi_async.options import Limits, Polling, Retry, Timeout
from foxapi_async.polling import poller as poller_module
from foxapi_async.polling.poller import Poller
from foxapi_async.polling.schedule import Schedule
from foxapi_async.polling.tracked_task import TrackedTask
from foxapi_async.registry import TaskRegistry
from foxapi_async.statistics import Counters

UNLIKELY = [f"unlikely-{i}" for i in range(20)]


def transport() -> Transport:
    """Return a transport that is never used: the test answers polls itself."""
    url = URL("http://127.0.0.1:9")
    return Transport(url, "sk-key", timeout=Timeout(), headers={}, http=None)


@pytest.mark.parametrize(
    ("polls_per_second", "at_once", "place"),
    [(2.0, 64, slice(1, 4)), (None, 64, slice(20, 21)), (None, 2, slice(2, 5))],
    ids=["a rate", "no limit", "few at once"],
)
async def test_the_task_that_has_most_likely_ended_is_polled_first_if_polls_are_scarce(
    polls_per_second: float | None,
    at_once: int,
    place: slice,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(poller_module, "_CONCURRENT_POLLS", at_once)
    order: list[str] = []

    class SlowApi(Api):
        async def get_task(self, task_id: str, *, sync_upstream: bool = False) -> Answer[Task]:
            order.append(task_id)
            await anyio.sleep(0.5)
            return Answer(ResponseClass.OK, value=Task(task_id), status=200)

    counters, events, polling = Counters(), EventEmitter(None), Polling()
    limiter = Limiter(Limits(polls_per_second=polls_per_second), events, counters)
    registry = TaskRegistry(
        schedule=Schedule(),
        polling=polling,
        limiter=limiter,
        journal=None,
        events=events,
        counters=counters,
    )
    api = SlowApi(transport(), limiter, Retry(), counters)
    poller = Poller(registry, api, limiter, polling)
    now = anyio.current_time()

    def track(task_id: str, group: str, age: float, estimate: float, first_poll: float) -> None:
        tracked = TrackedTask(
            task_id,
            Task(task_id),
            started=now - age,
            deadline=now + 1e5,
            group=group,
            estimate=estimate,
        )
        registry.tasks[task_id] = tracked
        registry.queue.add(tracked, now, first_poll=first_poll)

    for task_id in UNLIKELY:
        track(task_id, "long", 1, 3000.0, now)
    track("likely", "short", 60, 20.0, now + 0.001)
    running = asyncio.ensure_future(poller.run())
    await anyio.sleep(15)
    running.cancel()
    await asyncio.wait([running])
    assert "likely" in order[place]
