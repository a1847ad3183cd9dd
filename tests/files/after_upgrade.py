"""Uses a session whose modules cannot be imported any more, as after an upgrade in place.

Run it with the address of an emulator and a folder; it prints the modules that were missing.
"""

from __future__ import annotations

import asyncio
import importlib.abc
import sys
from contextlib import suppress
from pathlib import Path

from foxapi_async import PhotaImage, Session
from foxapi_async.errors import NotFoundError


class Gone(importlib.abc.MetaPathFinder):
    """Finds no module, and notes which were looked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_spec(self, name: str, *_: object) -> None:
        self.asked.append(name)
        raise ModuleNotFoundError(f"No module named {name!r}")


async def main(url: str, folder: Path) -> None:
    """Open a session, remove all modules from the disk, so to say, and use it."""
    gone = Gone()
    async with Session("sk-emulator", base_url=url, journal=folder / "journal.sqlite") as session:
        sys.meta_path.insert(0, gone)
        task = await session.generate(PhotaImage("a fox"), key="one")
        await session.download(task, folder)
        await session.read(task.outputs[0])
        await session.upload(b"\x89PNG\r\n\x1a\n")
        outcomes = [
            outcome async for outcome in session.map([PhotaImage("b"), ("c", PhotaImage("c"))])
        ]
        for outcome in outcomes:
            await session.download(outcome.result(), folder)
        async for _ in session.attach(task.id).updates():
            pass
        with suppress(NotFoundError):
            await session.retrieve("task-unknown")
    sys.stdout.write(str(gone.asked))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
