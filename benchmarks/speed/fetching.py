"""``python -m benchmarks.speed.fetching ours|loop URL SIZE COUNT``: downloads files to disk.

Prints a JSON object: megabytes per second, and CPU seconds. Eight files are fetched at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import tempfile
import time
from pathlib import Path

import aiohttp

from foxapi_async import Limits, Output, Session, Task

_AT_ONCE = 8


async def _ours(url: str, size: int, count: int, folder: Path) -> None:
    async with Session("sk-bench", base_url=url, limits=Limits(downloads=_AT_ONCE)) as session:

        async def fetch(i: int) -> None:
            output = Output(0, f"{url}/file/{size}.png", {}, f"task-{i}", "image")
            await session.download(Task(f"task-{i}", outputs=(output,)), folder)

        await asyncio.gather(*(fetch(i) for i in range(count)))


async def _loop(url: str, size: int, count: int, folder: Path) -> None:
    numbers = iter(range(count))
    async with aiohttp.ClientSession() as http:

        async def work() -> None:
            for i in numbers:
                async with http.get(f"{url}/file/{size}.png") as reply:
                    reply.raise_for_status()
                    with (folder / f"{i}.png").open("wb") as file:
                        async for chunk in reply.content.iter_any():
                            file.write(chunk)

        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("ours", "loop"))
    parser.add_argument("url")
    parser.add_argument("size", type=int)
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    work = _ours if given.name == "ours" else _loop
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(work(given.url, 1000, _AT_ONCE, Path(folder)))
        target = Path(folder) / "measured"
        target.mkdir()
        began, cpu = time.monotonic(), time.process_time()
        asyncio.run(work(given.url, given.size, given.count, target))
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        assert sum(path.stat().st_size for path in target.iterdir()) == given.size * given.count
    rate = given.size * given.count / seconds / 1e6
    print(json.dumps({"rate": rate, "cpu": cpu}))


if __name__ == "__main__":
    main()
