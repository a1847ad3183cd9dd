"""``python -m benchmarks.speed.held URL N``: one process with N tasks in flight.

Prints a JSON object: memory per task, CPU per poll, and the lateness of a heartbeat.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from foxapi_async import Limits, PhotaImage, Polling, Session

_BEAT = 0.005


def resident() -> int:
    """Return the resident memory of the process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


@attrs.define
class Heartbeat:
    """A coroutine that runs every 5 ms and records how late it is."""

    late: list[float] = attrs.field(factory=list[float])
    late_without_gc: list[float] = attrs.field(factory=list[float])
    """The same without the time of garbage collections."""
    collecting: float = 0.0
    _collected: float = 0.0
    _began: float = 0.0

    async def run(self) -> None:
        while True:
            # Wall time alone would include delays caused by other processes, so CPU time is the limit.
            before, worked, collected = time.monotonic(), time.thread_time(), self._collected
            await asyncio.sleep(_BEAT)
            late = min(time.monotonic() - before - _BEAT, time.thread_time() - worked)
            self.late.append(late)
            self.late_without_gc.append(late - (self._collected - collected))

    def on_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            seconds = time.thread_time() - self._began
            self._collected += seconds
            self.collecting = max(self.collecting, seconds)

    def clear(self) -> None:
        self.late.clear()
        self.late_without_gc.clear()
        self.collecting = 0.0

    def worst(self) -> tuple[float, float, float]:
        """Return the worst lateness with and without collections, and the longest collection, in ms."""
        late = max(self.late, default=0.0), max(self.late_without_gc, default=0.0)
        return 1000 * late[0], 1000 * late[1], 1000 * self.collecting


async def _measure(
    url: str, n: int, *, rate: float, seconds: float, ceiling: float | None
) -> dict[str, float]:
    interval = max(1.0, n / rate)
    polling = Polling(min_interval=interval, max_interval=interval, give_up_after=36_000)
    limits = Limits(outputs=n + 1000, polls_per_second=ceiling)
    beat = Heartbeat()
    async with Session("sk-bench", base_url=url, polling=polling, limits=limits) as session:
        await asyncio.gather(*(session.submit(PhotaImage(f"warm-up {i}")) for i in range(128)))
        warm = session.statistics().submitted
        gc.collect()
        before = resident()
        pulse = asyncio.create_task(beat.run())
        gc.callbacks.append(beat.on_collection)
        outcomes = session.map(_requests(n))
        reading = asyncio.ensure_future(anext(outcomes))
        began, began_at = time.process_time(), time.monotonic()
        while session.statistics().submitted < n + warm:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        submitting = time.process_time() - began
        late_submitting = beat.worst()
        memory = (_settled() - before) / n
        # Polls start one interval after the first submission.
        await asyncio.sleep(max(1.0, began_at + 1.1 * interval - time.monotonic()))
        beat.clear()
        polls, cpu = session.statistics().polls, time.process_time()
        await asyncio.sleep(seconds)
        cpu, polls = time.process_time() - cpu, session.statistics().polls - polls
        late = beat.worst()
        gc.callbacks.clear()
        pulse.cancel()
        reading.cancel()
        await asyncio.wait([pulse, reading])
        del outcomes
    return {
        "memory": memory,
        "cpu_per_submission": submitting / n,
        "cpu_per_poll": cpu / max(polls, 1),
        "polls_per_second": polls / seconds,
        **dict(zip(("late", "late_without_gc", "gc"), late, strict=True)),
        **{
            f"{name}_submitting": worst
            for name, worst in zip(("late", "late_without_gc", "gc"), late_submitting, strict=True)
        },
    }


def _requests(n: int) -> Iterator[PhotaImage]:
    return (PhotaImage(f"a fox in the snow, number {i}") for i in range(n))


def _settled() -> int:
    gc.collect()
    return resident()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("n", type=int)
    parser.add_argument("--rate", type=float, default=400.0, help="target polls per second")
    parser.add_argument("--ceiling", type=float, help="Limits.polls_per_second")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    measured = _measure(
        given.url, given.n, rate=given.rate, seconds=given.seconds, ceiling=given.ceiling
    )
    print(json.dumps(asyncio.run(measured)))


if __name__ == "__main__":
    main()
