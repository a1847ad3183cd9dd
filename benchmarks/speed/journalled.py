"""``python -m benchmarks.speed.journalled WORK URL N [--journal FILE]``: one session in a process.

``burst`` submits N requests as fast as possible, ``stream`` does so through ``map``, and ``paced``
completes N tasks at 100 submissions per second. Prints a JSON object: CPU and wall seconds without
imports and warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from foxapi_async import Limits, PhotaImage, Session

RATE = 100.0
"""Submissions per second of ``paced``."""


async def burst(session: Session, keys: list[str]) -> int:
    handles = await asyncio.gather(*(session.submit(PhotaImage("a fox"), key=key) for key in keys))
    return len(handles)


async def paced(session: Session, keys: list[str]) -> int:
    requests = ((key, PhotaImage("a fox")) for key in keys)
    return len([outcome async for outcome in session.map(requests) if outcome.task is not None])


async def stream(session: Session, keys: list[str]) -> int:
    before = session.statistics().submitted
    outcomes = session.map((key, PhotaImage("a fox")) for key in keys)
    first = asyncio.ensure_future(anext(outcomes))
    while (done := session.statistics().submitted - before) < len(keys):  # noqa: ASYNC110 - an event listener would add to the measured cost
        await asyncio.sleep(0.005)
    first.cancel()
    return done


WORKS: dict[str, Callable[[Session, list[str]], Awaitable[int]]] = {
    "burst": burst,
    "stream": stream,
    "paced": paced,
}


async def run(work: str, url: str, n: int, journal: str | None) -> dict[str, float]:
    limits = Limits(outputs=n + 1, submissions_per_second=RATE if work == "paced" else None)
    session = Session("sk-emulator", base_url=url, limits=limits, journal=journal)
    keys = [f"night job, line {number}" for number in range(n)]
    async with session:
        await session.submit(PhotaImage("warm-up"), key="warm-up")
        began, cpu = time.monotonic(), time.process_time()
        done = await WORKS[work](session, keys)
        return {
            "done": done,
            "cpu": time.process_time() - cpu,
            "wall": time.monotonic() - began,
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("url")
    parser.add_argument("n", type=int)
    parser.add_argument("--journal")
    given = parser.parse_args()
    print(json.dumps(asyncio.run(run(given.work, given.url, given.n, given.journal))))


if __name__ == "__main__":
    main()
