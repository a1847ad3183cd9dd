"""``python -m benchmarks.speed.client NAME URL N``: one client in its own process.

Prints a JSON object: completed tasks, and CPU and wall seconds without imports and warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

from benchmarks.speed.clients import CLIENTS, Setting


async def _run(name: str, setting: Setting, n: int, *, warm_up: bool) -> dict[str, float]:
    async with CLIENTS[name](setting) as run_tasks:
        if warm_up:
            await run_tasks(1)
        began, cpu = time.monotonic(), time.process_time()
        delivered = await run_tasks(n)
        return {
            "delivered": delivered,
            "cpu": time.process_time() - cpu,
            "wall": time.monotonic() - began,
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CLIENTS)
    parser.add_argument("url")
    parser.add_argument("n", type=int)
    parser.add_argument("--interval", type=float)
    parser.add_argument("--ages", type=Path, help="a file with the polls to repeat")
    parser.add_argument("--cold", action="store_true", help="skip the warm-up task")
    given = parser.parse_args()
    ages = [] if given.ages is None else json.loads(given.ages.read_text())
    setting = Setting(given.url, given.interval, ages)
    print(json.dumps(asyncio.run(_run(given.name, setting, given.n, warm_up=not given.cold))))


if __name__ == "__main__":
    main()
