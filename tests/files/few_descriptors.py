"""Downloads while the process has no file descriptor left, until some are closed again.

Run it with the address of an emulator, a folder, and what is under way when the last one is taken.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

import anyio

from foxapi_async import PhotaImage, Session, Task


def take_all() -> list[int]:
    """Open descriptors until there are none."""
    taken: list[int] = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return taken


async def main(url: str, folder: Path) -> None:
    """Complete tasks, take all descriptors, start downloads, and give the descriptors back."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
    async with Session("sk-emulator", base_url=url, journal=folder / "journal.sqlite") as session:
        tasks = [o.result() async for o in session.map(PhotaImage(f"fox {n}") for n in range(12))]
        taken = take_all()
        saved: list[Path] = []

        async def save(task: Task) -> None:
            saved.extend(await session.download(task, folder, name="fox"))

        async with anyio.create_task_group() as group:
            for task in tasks:
                group.start_soon(save, task)
            await anyio.sleep(2)
            while taken:  # one after the other
                os.close(taken.pop())
                await anyio.sleep(0.01)
        assert session.journal is not None
        left = list(session.journal.unfinished())
    sys.stdout.write(f"{len(set(saved))} saved, {len(left)} not")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
