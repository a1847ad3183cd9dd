"""The cost of the small parts: ``python -m benchmarks.micro [--quick] [--rounds N]``."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence

import anyio

from benchmarks.polling.policies import Ours
from benchmarks.polling.simulate import simulate
from benchmarks.polling.worlds import World
from benchmarks.speed import dialects, table
from benchmarks.speed.orders import Order
from benchmarks.speed.processes import Server, run
from foxapi_async import SessionClosedError, Task
from foxapi_async.events import EventEmitter
from foxapi_async.handle import TaskHandle
from foxapi_async.http.codec import decode, read_task
from foxapi_async.http.responses import Reply, classify
from foxapi_async.limits.limiter import Limiter
from foxapi_async.options import Limits, Polling
from foxapi_async.polling.schedule import Schedule
from foxapi_async.polling.tracked_task import TrackedTask
from foxapi_async.registry import TaskRegistry
from foxapi_async.statistics import Counters

QUESTION = "The small parts, one by one"

_ID = "task-unified-1760000000-00000001"
_BODIES = {
    "running": dialects.encode(dialects.poll_answer(Order(_ID, "foxapi", 0.0, 9.0), ended=False)),
    "completed": dialects.encode(dialects.poll_answer(Order(_ID, "foxapi", 0.0, 9.0), ended=True)),
}


def _by_hand(body: bytes) -> object:
    task = json.loads(body)
    if task["status"] == "completed":
        return [result["url"] for result in task["results"]]
    return task["status"], task["progress"]


def _ours(body: bytes) -> object:
    task = read_task(decode(body), asked=_ID)
    return [output.url for output in task.outputs] or (task.status, task.progress)


def _answer(body: bytes) -> object:
    return classify(Reply(200, body), lambda body: read_task(body, asked=_ID), "GET").value


def _next_poll() -> Callable[[], object]:
    schedule, polling = Schedule(), Polling()
    tracked = TrackedTask(_ID, Task(_ID), started=0.0, deadline=600.0, estimate=20.0)
    return lambda: tracked.next_poll(schedule, polling, 3.0, 0.5)


def _planning(tasks: int) -> float:
    """Return CPU seconds per task of all planning and learning for tasks submitted at once."""
    jobs = World("exact", 20.0, 0.1).jobs(tasks, seed=1)
    began = time.process_time()
    simulate(jobs, Ours(Schedule()), in_flight=tasks, seed=1, replan=True)
    return (time.process_time() - began) / tasks


def _seconds(function: Callable[[], object], times: int) -> float:
    gc.collect()
    began = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - began) / times


async def _waits(times: int) -> tuple[float, float]:
    """Return CPU seconds of one wait on a handle, and of one on a bare event."""

    registry = _new_registry()
    tasks = [registry.attach(f"task-{number}", None) for number in range(times)]
    began = time.process_time()
    async with anyio.create_task_group() as group:
        for tracked in tasks:
            group.start_soon(_wait_for_end, TaskHandle(tracked, registry))
        await asyncio.sleep(0.01)
        registry.close(tasks)
    ours = time.process_time() - began
    events = [anyio.Event() for _ in range(times)]
    began = time.process_time()
    async with anyio.create_task_group() as group:
        for event in events:
            group.start_soon(event.wait)
        await asyncio.sleep(0.01)
        for event in events:
            event.set()
    return ours / times, (time.process_time() - began) / times


async def _wait_for_end(handle: TaskHandle) -> None:
    with contextlib.suppress(SessionClosedError):
        await handle


def _new_registry() -> TaskRegistry:
    polling, events, counters = Polling(), EventEmitter(None), Counters()
    return TaskRegistry(
        schedule=Schedule(),
        polling=polling,
        limiter=Limiter(Limits(), events, counters),
        journal=None,
        events=events,
        counters=counters,
    )


def _submissions(server: Server, n: int) -> tuple[float, float]:
    """Return CPU seconds of one POST through `map`, and of one from a hand-written loop."""
    costs = []
    for name in ("ours", "posts"):
        server.plan([1e6], estimate=1e6)
        costs.append(run("benchmarks.speed.posts", name, server.url, n)["cpu"] / n)
    return costs[0], costs[1]


def main(given: Sequence[str] | None = None) -> int:
    options = table.arguments(QUESTION, given, rounds=5)
    table.introduce(QUESTION)
    times, n = (200, 100) if options.quick else (20_000, 3_000)
    rounds: list[dict[str, tuple[float, float | None]]] = []
    with Server() as server:
        for _ in range(options.rounds):
            measured: dict[str, tuple[float, float | None]] = {}
            for name, body in _BODIES.items():
                by_hand = _seconds(lambda body=body: _by_hand(body), times)  # type: ignore[misc]
                measured[f"read a {name} task | json.loads and items"] = (
                    _seconds(lambda body=body: _ours(body), times),  # type: ignore[misc]
                    by_hand,
                )
                measured[f"classify an answer, {name} | the same"] = (
                    _seconds(lambda body=body: _answer(body), times),  # type: ignore[misc]
                    by_hand,
                )
            measured["decide when to poll next | -"] = (_seconds(_next_poll(), times), None)
            measured["plan all polls of one of 200 tasks of 20 s | -"] = (_planning(200), None)
            measured["wait on a handle | on an event"] = asyncio.run(_waits(min(times, 2_000)))
            measured["submit in map | POST in a loop of 64"] = _submissions(server, n)
            rounds.append(measured)
    rows = []
    for name in rounds[0]:
        ours = [each[name][0] for each in rounds]
        others = [other for each in rounds if (other := each[name][1]) is not None]
        ratio = table.middle(a / b for a, b in zip(ours, others, strict=True)) if others else None
        part, _, baseline = name.partition(" | ")
        other = 1e6 * table.middle(others) if others else None
        rows.append([part, 1e6 * table.middle(ours), other, ratio, baseline])
    table.show(("part", "ours us", "by hand us", "ratio", "by hand"), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
