"""``python -m benchmarks.speed.fetching NAME URL SIZE COUNT AT_ONCE FOLDER``.

Downloads files to disk. Prints a JSON object: megabytes per second, and CPU seconds. The caller
removes the files.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import aiohttp

from foxapi_async import Limits, Output, Session, Task

_End = Callable[[int, Path], None]


async def _ours(url: str, size: int, count: int, at_once: int, folder: Path) -> None:
    async with Session("sk-bench", base_url=url, limits=Limits(downloads=at_once)) as session:

        async def fetch(i: int) -> None:
            output = Output(0, f"{url}/file/{size}.png", {}, f"task-{i}", "image")
            await session.download(Task(f"task-{i}", outputs=(output,)), folder)

        await asyncio.gather(*(fetch(i) for i in range(count)))


async def _loop(
    url: str, size: int, count: int, at_once: int, folder: Path, *, end: _End | None = None
) -> None:
    numbers = iter(range(count))
    async with aiohttp.ClientSession() as http:

        async def work() -> None:
            for i in numbers:
                async with http.get(f"{url}/file/{size}.png") as reply:
                    reply.raise_for_status()
                    with (folder / f"{i}.png").open("wb") as file:
                        async for chunk in reply.content.iter_any():
                            file.write(chunk)
                        if end is not None:
                            file.flush()
                            await asyncio.to_thread(end, file.fileno(), folder / f"{i}.png")

        await asyncio.gather(*(work() for _ in range(at_once)))


def _sync(file: int, _path: Path) -> None:
    os.fsync(file)


def _sync_and_name(file: int, path: Path) -> None:
    os.fsync(file)
    path.rename(path.with_name(f"final-{path.name}"))
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


WORK = {
    "ours": _ours,
    "loop": _loop,
    "loop-fsync": partial(_loop, end=_sync),
    "loop-durable": partial(_loop, end=_sync_and_name),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=WORK)
    parser.add_argument("url")
    parser.add_argument("size", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("at_once", type=int)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    work = WORK[given.name]
    warm_up, target = (Path(tempfile.mkdtemp(dir=given.folder)) for _ in range(2))
    asyncio.run(work(given.url, 1000, given.at_once, given.at_once, warm_up))
    # Otherwise pending writes of other processes would be flushed during the measurement.
    os.sync()
    began, cpu = time.monotonic(), time.process_time()
    asyncio.run(work(given.url, given.size, given.count, given.at_once, target))
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    assert sum(path.stat().st_size for path in target.iterdir()) == given.size * given.count
    # Free the page cache for the next run: reused memory is faster in a virtual machine.
    for path in target.iterdir():
        os.truncate(path, 0)
    rate = given.size * given.count / seconds / 1e6
    print(json.dumps({"rate": rate, "cpu": cpu}))


if __name__ == "__main__":
    main()
