"""The stages in which a process kills itself with SIGKILL.

A kill from outside comes at a random moment and would rarely hit a short stage (a rename, a partly
written line). So each stage is wrapped, and the process kills itself when it reaches the stage for the
n-th time. Nothing else is changed.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foxapi_async.api import Api
from foxapi_async.bulk.results.results_file import ResultsFile
from foxapi_async.files.partfile import PartFile
from foxapi_async.http.transport import Transport
from foxapi_async.journal import Claim, StoredJournal

STAGES = (
    "claimed",  # the key is ours, nothing is sent
    "sending",  # the intent is on disk, no byte has left
    "posting",  # between POST and answer
    "answered",  # the id is known, and not on disk
    "accepted",  # the id is on disk
    "polling",
    "downloading",  # some bytes are on disk
    "linking",  # the picture has its name, the part is still there
    "publishing",  # the picture is on disk, the journal does not know
    "saving",  # the journal is about to know
    "saved",  # the journal knows, results.jsonl does not
    "writing",  # half a line of results.jsonl
)


class KillSwitch:
    """Kills the process when a stage is reached for the n-th time."""

    def __init__(self, stage: str, nth: int) -> None:
        self._stage = stage
        self._left = nth

    def reached(self, stage: str) -> bool:
        if stage != self._stage:
            return False
        self._left -= 1
        return self._left == 0

    def kill_at(self, stage: str) -> None:
        if self.reached(stage):
            kill()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class InFlight:
    """The number of submissions whose answer is not known yet, in memory that survives a kill."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(descriptor, 8)
        self._memory = mmap.mmap(descriptor, 8)
        os.close(descriptor)

    @property
    def number(self) -> int:
        return struct.unpack("q", self._memory[:8])[0]

    @number.setter
    def number(self, value: int) -> None:
        self._memory[:8] = struct.pack("q", value)


def install(kill_switch: KillSwitch, in_flight: InFlight) -> None:
    """Wrap the stages in this process."""
    in_flight.number = 0
    _in_submissions(kill_switch, in_flight)
    _in_files(kill_switch)


def _in_submissions(kill_switch: KillSwitch, in_flight: InFlight) -> None:
    def grow(by: int) -> None:
        in_flight.number += by

    _after(StoredJournal, "claim", lambda: kill_switch.kill_at("claimed"))
    _after(Claim, "sending", lambda: kill_switch.kill_at("sending"))
    _before(Claim, "sending", lambda: grow(1))
    _before(Claim, "accepted", lambda: kill_switch.kill_at("answered"))
    _after(Claim, "accepted", lambda: (grow(-1), kill_switch.kill_at("accepted")))
    for name in ("rejected", "unknown", "postponed"):
        _after(Claim, name, lambda: grow(-1))
    _before(Api, "get_task", lambda: kill_switch.kill_at("polling"))
    _before(StoredJournal, "saved", lambda: kill_switch.kill_at("saving"))
    _after(StoredJournal, "saved", lambda: kill_switch.kill_at("saved"))

    call = Transport.call

    async def posting(self: Transport, method: str, *args: Any, **options: Any) -> Any:
        if method == "POST" and kill_switch.reached("posting"):
            asyncio.get_running_loop().call_later(0.02, kill)
        return await call(self, method, *args, **options)

    Transport.call = posting  # type: ignore[method-assign]


def _in_files(kill_switch: KillSwitch) -> None:
    write, take, publish = PartFile.write, PartFile._take, PartFile.publish
    append = ResultsFile._write

    def writing(self: PartFile, data: bytes | bytearray) -> None:
        if kill_switch.reached("downloading"):
            write(self, data[: len(data) // 2])
            kill()
        write(self, data)

    def taking(self: PartFile, target: Path) -> bool:
        taken = take(self, target)
        kill_switch.kill_at("linking")
        return taken

    def publishing(self: PartFile, name: str) -> Path:
        path = publish(self, name)
        kill_switch.kill_at("publishing")
        return path

    def appending(self: ResultsFile, content: bytes) -> None:
        if content and kill_switch.reached("writing"):
            append(self, content[: -len(content) // 3])
            kill()
        append(self, content)

    PartFile.write = writing  # type: ignore[method-assign]
    PartFile._take = taking  # type: ignore[method-assign]
    PartFile.publish = publishing  # type: ignore[method-assign]
    ResultsFile._write = appending  # type: ignore[method-assign]


def _after(owner: Any, name: str, then: Callable[[], object]) -> None:
    real = getattr(owner, name)

    async def wrapped(*args: Any, **options: Any) -> Any:
        result = await real(*args, **options)
        then()
        return result

    setattr(owner, name, wrapped)


def _before(owner: Any, name: str, first: Callable[[], object]) -> None:
    real = getattr(owner, name)

    async def wrapped(*args: Any, **options: Any) -> Any:
        first()
        return await real(*args, **options)

    setattr(owner, name, wrapped)


__all__ = ["STAGES", "InFlight", "KillSwitch", "install"]
