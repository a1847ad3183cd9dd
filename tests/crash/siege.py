"""A job that is besieged: run by processes that are killed and started again, until it is done."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
from PIL import Image

from foxapi_async.bulk import Job
from foxapi_async.emulator import Emulator
from foxapi_async.journal import Journal, JournalStatus
from tests.crash.stages import STAGES, Airborne

ROOT = Path(__file__).parent.parent.parent

WIDTH = 6
"""Images in flight of one worker."""


class Supervisor:
    """Starts workers and hears how they end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._started: asyncio.Queue[int] = asyncio.Queue()
        self._ends: dict[int, asyncio.Future[tuple[int, str]]] = {}

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            word, pid, *rest = line.decode().split(" ", 3)
            if word == "started":
                self._ends[int(pid)] = asyncio.get_running_loop().create_future()
                self._started.put_nowait(int(pid))
            else:
                self._ends[int(pid)].set_result((int(rest[0]), json.loads(rest[1])))

    async def start(self, order: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self._started.get()

    async def end(self, pid: int) -> tuple[int, str]:
        """Wait for the end of a worker; return its exit code (negative: its signal) and its words."""
        return await asyncio.shield(self._ends[pid])


@asynccontextmanager
async def open_nursery() -> AsyncIterator[Supervisor]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.nursery"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    nursery = Supervisor(process)
    listening = asyncio.create_task(nursery.listen())
    try:
        yield nursery
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
        if process.returncode is None:
            process.kill()
            await process.wait()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


@attrs.define
class Siege:
    """One job in one folder, and what is counted while its workers are killed."""

    folder: Path
    emulator: Emulator
    nursery: Supervisor
    dice: random.Random
    requests: int = 0
    kills: Counter[str] = attrs.field(factory=Counter[str])
    airborne_at_kills: int = 0

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs.jsonl"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def add_requests(self, number: int) -> None:
        """Append lines to the job, as people do; the keys of those before must stay the same."""
        lines = (
            {"prompt": f"hill {each}", "num_outputs": 2 if each % 9 == 0 else 1}
            for each in range(self.requests, self.requests + number)
        )
        self.requests += number
        with self.jobs.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def order(self, worker: int = 0, **options: Any) -> dict[str, Any]:
        return {
            "url": self.emulator.url,
            "jobs": str(self.jobs),
            "out": str(self.out),
            "width": WIDTH,
            "airborne": str(self.folder / f"airborne{worker}"),
            **options,
        }

    async def run(self, **options: Any) -> str:
        """Run a worker to its end, which must be a good one; return what it said."""
        pid = await self.nursery.start(self.order(**options))
        code, said = await self.nursery.end(pid)
        assert code == 0, (code, said)
        return said

    async def kill_in(self, stage: str, nth: int | None = None) -> bool:
        """Run a worker until it kills itself in a stage; whether it did before the job was done."""
        nth = self.dice.randint(1, 6) if nth is None else nth
        pid = await self.nursery.start(self.order(stage=stage, nth=nth))
        return await self._hear(stage, pid)

    async def kill_at_random(self) -> bool:
        """Run a worker and kill it after a while; whether that was before the job was done."""
        pid = await self.nursery.start(self.order())
        end = asyncio.ensure_future(self.nursery.end(pid))
        done, _ = await asyncio.wait([end], timeout=self.dice.uniform(0.05, 0.5))
        if not done:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return await self._hear("random", pid)

    async def _hear(self, stage: str, pid: int) -> bool:
        code, said = await self.nursery.end(pid)
        if code == 0:
            assert said == "done", said
            return False
        assert code == -signal.SIGKILL, (code, said)
        self.kills[stage] += 1
        self.airborne_at_kills += Airborne(self.folder / "airborne0").number
        return True

    async def kill_in_every_stage(self, times: int, at_random: int) -> None:
        """Kill so many workers in each stage, and so many at random moments, in any order."""
        plan = [*STAGES * times, *["random"] * at_random]
        self.dice.shuffle(plan)
        for stage in plan:
            while not await (self.kill_at_random() if stage == "random" else self.kill_in(stage)):
                self.add_requests(20)

    def check(self) -> None:
        """Compare what the server billed, what the journal says, and what is on disk."""
        billed = Counter(task.prompt for task in self.emulator.tasks.values())
        prompts = {
            line.key: line.request.payload()["prompt"] for line in Job.read(self.jobs).lines()
        }
        entries = {entry.key: entry for entry in Journal(self.out / "journal.sqlite").entries()}
        assert set(entries) == set(prompts)
        unknown = {key for key, entry in entries.items() if entry.status is JournalStatus.UNKNOWN}
        for key, prompt in prompts.items():
            assert billed[prompt] <= 1 if key in unknown else billed[prompt] == 1, (
                key,
                billed[prompt],
            )
        assert len(unknown) <= self.airborne_at_kills
        results = self.results()
        assert set(results) == set(prompts)
        sums: set[str] = set()
        for key, entry in entries.items():
            result = results[key]
            if key in unknown:
                assert result["status"] == "unknown"
                continue
            assert (entry.status, result["status"]) == (JournalStatus.SAVED, "completed")
            assert entry.task_id == result["task_id"]
            assert entry.task_id in self.emulator.tasks
            assert len(result["files"]) == entry.num_outputs
            for file in result["files"]:
                content = (self.out / Path(file["path"]).name).read_bytes()
                assert len(content) == file["size"]
                assert hashlib.sha256(content).hexdigest() == file["sha256"]
                sums.add(file["sha256"])
                with Image.open(self.out / Path(file["path"]).name) as picture:
                    picture.load()
        pictures = [path for path in self.out.iterdir() if path.suffix == ".png"]
        assert len(pictures) == len(sums), "a picture that no result names, or two of one name"

    def results(self) -> dict[str, dict[str, Any]]:
        """Return the line of each request; what is decided has exactly one."""
        found: dict[str, dict[str, Any]] = {}
        for line in (self.out / "results.jsonl").read_text().splitlines():
            result = json.loads(line)
            assert result["key"] not in found, "two lines for one request"
            found[result["key"]] = result
        return found


@asynccontextmanager
async def besieged(folder: Path, requests: int, seed: int) -> AsyncIterator[Siege]:
    """Set up a job of so many requests, a server, and what starts workers."""
    emulator = Emulator(
        duration=(0.02, 0.2), latency=(0.005, 0.05), picture_scale=1 / 40, seed=seed
    )
    async with emulator, open_nursery() as nursery:
        siege = Siege(folder, emulator, nursery, random.Random(seed))
        siege.add_requests(requests)
        yield siege
