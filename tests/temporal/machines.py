"""A job on worker processes that are killed, and on a Temporal server that is restarted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import attrs

from foxapi_async import PhotaImage
from foxapi_async.emulator import Delay, Emulator, Fault
from foxapi_async.journal.address import journal_at
from foxapi_async.temporal import Generation, GenerationResult, connect, generate_images
from foxapi_async.temporal.connection import quiet_runtime
from tests.cli.process import KEY, environment
from tests.temporal.server import TemporalServer

OUTPUTS = 8
"""Images in flight of a worker, and so its POSTs in the air."""


@attrs.define
class Machines:
    """Workers that share a journal and a folder."""

    temporal: TemporalServer
    emulator: Emulator
    folder: Path
    queue: str
    journal: str
    _workers: list[subprocess.Popen[bytes]] = attrs.field(factory=list)
    _stack: ExitStack = attrs.field(factory=ExitStack)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def start_worker(self) -> subprocess.Popen[bytes]:
        options = ["--temporal", self.temporal.address, "--journal", self.journal]
        options += ["--task-queue", self.queue, "-o", str(self.out), "--outputs", str(OUTPUTS)]
        with (self.folder / f"worker-{len(self._workers)}.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "foxapi_async.cli", "worker", *options],
                env=environment(FOXAPI_API_KEY=KEY, FOXAPI_BASE_URL=self.emulator.url),
                stdout=log,
                stderr=log,
            )
        self._workers.append(worker)
        self._stack.callback(worker.wait)
        self._stack.callback(worker.kill)
        return worker

    def said(self, worker: subprocess.Popen[bytes]) -> str:
        log = self.folder / f"worker-{self._workers.index(worker)}.log"
        return log.read_text(encoding="utf-8")

    async def run(self, jobs: int, results: dict[str, GenerationResult]) -> None:
        """Generate, and put the results there as they come."""
        client = await connect(self.temporal.address, runtime=quiet_runtime())
        run = generate_images(
            client,
            [Generation.of(PhotaImage(f"fox {number}"), f"k{number}") for number in range(jobs)],
            job=self.queue,
            task_queue=self.queue,
            size=30,
            heartbeat_timeout=2,
        )
        async with run:
            async for result in run:
                assert result.key not in results
                results[result.key] = result

    def close(self) -> None:
        self._stack.close()


@attrs.frozen
class Story:
    """What a job went through, and how it ended."""

    jobs: int
    billed: int
    sending: int
    """POSTs in the air when a worker was killed, of all workers."""
    statuses: Counter[str]
    billed_again: int
    saved: int
    exit_code: int
    last_words: str


async def tell_story(
    machines: Machines, *, jobs: int, kill_at: int, restart: Callable[[], None] | None = None
) -> Story:
    """Kill a worker at that many POSTs, restart what is given, run the job again, and drain."""
    emulator = machines.emulator
    emulator.script(Fault("submit", Delay(0.2, carried_out=True), times=None))
    victim, other = machines.start_worker(), machines.start_worker()
    results: dict[str, GenerationResult] = {}
    running = asyncio.create_task(machines.run(jobs, results))
    await until(lambda: emulator.counters.posts >= kill_at)
    victim.kill()
    victim.wait()
    counts = await asyncio.to_thread(journal_at(machines.journal).count)
    if restart is not None:
        await until(lambda: len(results) >= jobs // 3)
        await asyncio.to_thread(restart)
    await running
    billed = emulator.counters.images_billed
    again: dict[str, GenerationResult] = {}
    await machines.run(jobs, again)
    assert {key: each.status for key, each in again.items()} == {
        key: each.status for key, each in results.items()
    }
    other.terminate()
    code = await asyncio.to_thread(other.wait, 30)
    return Story(
        jobs=jobs,
        billed=billed,
        sending=sum(counts.get(status, 0) for status in ("sending", "unknown")),
        statuses=Counter(result.status for result in results.values()),
        billed_again=emulator.counters.images_billed - billed,
        saved=len(list(machines.out.glob("*.png"))),
        exit_code=code,
        last_words=machines.said(other),
    )


def check(story: Story) -> None:
    """Check what is promised."""
    unknown = story.statuses["unknown"]
    assert story.statuses["completed"] == story.saved == story.jobs - unknown, story
    assert unknown <= story.sending, story
    assert story.billed <= story.jobs, story
    assert story.billed_again == 0, story
    assert story.exit_code == 0, story
    assert "drained" in story.last_words, story


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - another process sets no event
        await anyio.sleep(0.01)


@contextmanager
def machines_on(
    temporal: TemporalServer, emulator: Emulator, folder: Path, queue: str, journal: str
) -> Iterator[Machines]:
    machines = Machines(temporal, emulator, folder, queue, journal)
    try:
        yield machines
    finally:
        machines.close()
