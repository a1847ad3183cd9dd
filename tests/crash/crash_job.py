"""A job that is run by processes which are killed and started again, until it is done."""

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
from tests.crash.stages import STAGES, InFlight

ROOT = Path(__file__).parent.parent.parent

WIDTH = 6
"""Images in flight of one worker."""


class ForkServer:
    """Starts workers and reports how they end."""

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
        """Wait for the end of a worker; return its exit code (negative: its signal) and its text."""
        return await asyncio.shield(self._ends[pid])


@asynccontextmanager
async def open_fork_server() -> AsyncIterator[ForkServer]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.fork_server"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    server = ForkServer(process)
    listening = asyncio.create_task(server.listen())
    try:
        yield server
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
class CrashJob:
    """A job in a folder, with counts of the kills of its workers."""

    folder: Path
    emulator: Emulator
    server: ForkServer
    rng: random.Random
    requests: int = 0
    kills: Counter[str] = attrs.field(factory=Counter[str])
    in_flight_at_kills: int = 0

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs.jsonl"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def add_requests(self, number: int) -> None:
        """Append lines to the job; the keys of earlier lines must not change."""
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
            "in_flight": str(self.folder / f"in_flight{worker}"),
            **options,
        }

    async def run(self, **options: Any) -> str:
        """Run a worker, which must succeed; return what it reports."""
        pid = await self.server.start(self.order(**options))
        code, said = await self.server.end(pid)
        assert code == 0, (code, said)
        return said

    async def kill_in(self, stage: str, nth: int | None = None) -> bool:
        """Run a worker that kills itself in a stage; return whether it did before the job was done."""
        nth = self.rng.randint(1, 6) if nth is None else nth
        pid = await self.server.start(self.order(stage=stage, nth=nth))
        return await self._wait_for(stage, pid)

    async def kill_at_random(self) -> bool:
        """Run a worker and kill it later; return whether that was before the job was done."""
        pid = await self.server.start(self.order())
        end = asyncio.ensure_future(self.server.end(pid))
        done, _ = await asyncio.wait([end], timeout=self.rng.uniform(0.05, 0.5))
        if not done:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return await self._wait_for("random", pid)

    async def _wait_for(self, stage: str, pid: int) -> bool:
        code, said = await self.server.end(pid)
        if code == 0:
            assert said == "done", said
            return False
        assert code == -signal.SIGKILL, (code, said)
        self.kills[stage] += 1
        self.in_flight_at_kills += InFlight(self.folder / "in_flight0").number
        return True

    async def kill_in_every_stage(self, times: int, at_random: int) -> None:
        """Kill ``times`` workers in each stage and ``at_random`` at random moments, in random order."""
        plan = [*STAGES * times, *["random"] * at_random]
        self.rng.shuffle(plan)
        for stage in plan:
            while not await (self.kill_at_random() if stage == "random" else self.kill_in(stage)):
                self.add_requests(20)

    def check(self) -> None:
        """Compare what the server billed with the journal and the files."""
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
        assert len(unknown) <= self.in_flight_at_kills
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
        """Return the line of each request; each has exactly one."""
        found: dict[str, dict[str, Any]] = {}
        for line in (self.out / "results.jsonl").read_text().splitlines():
            result = json.loads(line)
            assert result["key"] not in found, "two lines for one request"
            found[result["key"]] = result
        return found


@asynccontextmanager
async def open_crash_job(folder: Path, requests: int, seed: int) -> AsyncIterator[CrashJob]:
    """Set up a job with ``requests`` requests, an emulator and a fork server."""
    emulator = Emulator(
        duration=(0.02, 0.2), latency=(0.005, 0.05), picture_scale=1 / 40, seed=seed
    )
    async with emulator, open_fork_server() as server:
        crash_job = CrashJob(folder, emulator, server, random.Random(seed))
        crash_job.add_requests(requests)
        yield crash_job
