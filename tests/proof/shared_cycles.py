"""Cycles of worker processes on one PostgreSQL journal; see `shared_journal`."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

import foxapi_async.journal.postgres.backend  # noqa: F401 - so that the workers need not import it
from foxapi_async import Limits, PhotaImage, Polling, Retry, Session
from foxapi_async.emulator import Emulator
from foxapi_async.journal import Entry, JournalStatus, journal_at
from tests.crash.stages import InFlight, KillSwitch, install
from tests.postgres_server import PostgresServer, running_server

STAGES: Final = ("claimed", "sending", "posting", "answered", "accepted", "polling")
WORKERS: Final = 3
SHARE: Final = 20
"""Jobs that only one worker has."""
SHARED: Final = 6
"""Jobs that all workers have."""
WIDTH: Final = 8
FAILURES: Final = ("none", "restart", "crash", "backend", "connections")
"""What happens to the server during a cycle."""


@attrs.frozen
class Order:
    """What one worker process does."""

    url: str
    journal: str
    keys: tuple[str, ...]
    in_flight: str
    stage: str = ""
    nth: int = 1


async def run(order: Order) -> None:
    session = Session(
        "sk-emulator",
        base_url=order.url,
        journal=order.journal,
        limits=Limits(outputs=WIDTH),
        polling=Polling(poll_cost=0.01, min_interval=0.03),
        retry=Retry(first=0.05),
    )
    async with session:
        jobs = [(key, PhotaImage(key)) for key in order.keys]
        statuses = Counter([outcome.status async for outcome in session.map(jobs)])
    assert set(statuses) <= {"completed", "unknown"}, statuses


def work(order: Order) -> None:
    install(KillSwitch(order.stage, order.nth), InFlight(Path(order.in_flight)))
    asyncio.run(run(order))


@attrs.define
class Proof:
    """A server, an emulator and the workers of all cycles."""

    folder: Path
    server: PostgresServer
    emulator: Emulator
    rng: random.Random
    processes: Any = attrs.field(factory=lambda: multiprocessing.get_context("forkserver"))
    kills: Counter[str] = attrs.field(factory=Counter[str])
    failures: Counter[str] = attrs.field(factory=Counter[str])
    in_air: int = 0
    """POSTs that were under way in workers when they were killed."""
    unknown: int = 0
    jobs: int = 0

    async def cycle(self, number: int) -> None:
        journal = f"{self.server.dsn}#cycle {number}"
        shared = [f"{number}/all/{each}" for each in range(SHARED)]
        shares = [
            [f"{number}/{worker}/{each}" for each in range(SHARE)] + shared
            for worker in range(WORKERS)
        ]
        for share in shares:
            self.rng.shuffle(share)
        keys = sorted({key for share in shares for key in share})
        in_air = self.in_air
        async with asyncio.TaskGroup() as group:
            for worker, share in enumerate(shares):
                stage = STAGES[(number + worker) % len(STAGES)] if worker < 2 else ""
                group.create_task(self._run_share(journal, share, stage))
            group.create_task(self._fail())
        self._check(journal, keys, self.in_air - in_air)
        billed = len(self.emulator.tasks)
        await self._run_share(journal, keys, "")
        assert len(self.emulator.tasks) == billed, "the second run has billed something"
        found = self._check(journal, keys, self.in_air - in_air)
        ended = {JournalStatus.COMPLETED, JournalStatus.UNKNOWN}
        assert {entry.status for entry in found} <= ended
        self.unknown += sum(entry.status is JournalStatus.UNKNOWN for entry in found)
        self.jobs += len(keys)

    async def _run_share(self, journal: str, share: list[str], stage: str) -> None:
        """Run workers until one of them has done the share; the first one kills itself in the stage."""
        with tempfile.NamedTemporaryFile(dir=self.folder) as file:
            while True:
                order = Order(
                    self.emulator.url,
                    journal,
                    tuple(share),
                    file.name,
                    stage,
                    self.rng.randint(1, WIDTH + 3),
                )
                process = self.processes.Process(target=work, args=(order,))
                process.start()
                try:
                    await _end(process)
                except asyncio.CancelledError:  # a check has failed
                    process.kill()
                    raise
                if process.exitcode == 0:
                    return
                assert process.exitcode == -signal.SIGKILL, process.exitcode
                self.kills[stage] += 1
                self.in_air += InFlight(Path(file.name)).number
                stage = ""

    async def _fail(self) -> None:
        failure = self.rng.choice(FAILURES)
        self.failures[failure] += 1
        tasks = len(self.emulator.tasks) + self.rng.randint(1, 2 * SHARE)
        while len(self.emulator.tasks) < tasks:  # noqa: ASYNC110 - the emulator has no event for it
            await asyncio.sleep(0.002)
        match failure:
            case "restart":
                await asyncio.to_thread(self.server.restart)
            case "crash":
                await asyncio.to_thread(self.server.restart, signal.SIGQUIT)
            case "backend":  # the server ends all others, too, and recovers
                for (pid,) in await asyncio.to_thread(self.server.execute, _BACKENDS):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            case "connections":
                for _ in range(3):
                    await asyncio.to_thread(self.server.cut_connections)
                    await asyncio.sleep(self.rng.uniform(0, 0.2))

    def _check(self, journal: str, keys: list[str], in_air: int) -> list[Entry]:
        """Compare what was billed with the journal."""
        tasks = {task.id: task.prompt for task in self.emulator.tasks.values()}
        billed = Counter(prompt for prompt in tasks.values() if prompt in set(keys))
        entries = {entry.key: entry for entry in journal_at(journal).entries()}
        assert set(entries) == set(keys), "a job has no entry"
        assert set(billed.values()) <= {1}, f"billed twice: {billed.most_common(3)}"
        unknown = {key for key, entry in entries.items() if entry.status is JournalStatus.UNKNOWN}
        assert len(unknown) <= in_air, f"{len(unknown)} unknown, {in_air} POSTs under way at kills"
        for key in set(keys) - unknown:
            entry = entries[key]
            assert entry.task_id is not None, (key, entry.status)
            assert tasks.get(entry.task_id) == key, (key, entry.task_id)
        return [*entries.values()]


async def _end(process: Any) -> None:
    # Not join() in a thread: start() asks all processes, and two that read one status get it once.
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()


_BACKENDS: Final = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'foxapi-async' LIMIT 1"
)


async def prove(cycles: int, seed: int) -> str:
    """Run cycles; return what happened in them."""
    with tempfile.TemporaryDirectory() as folder, running_server() as server:
        async with Emulator(
            duration=(0.02, 0.2), latency=(0.005, 0.05), picture_scale=1 / 40, seed=seed
        ) as emulator:
            proof = Proof(Path(folder), server, emulator, random.Random(seed))
            proof.processes.set_forkserver_preload([__name__])
            for number in range(cycles):
                try:
                    await proof.cycle(number)
                except BaseException as error:
                    error.add_note(f"in cycle {number} of seed {seed}: {dict(proof.failures)}")
                    raise
        return (
            f"{cycles} cycles of seed {seed}: {proof.jobs} jobs, {len(emulator.tasks)} billed, "
            f"{proof.kills.total()} kills {dict(proof.kills)}, {proof.in_air} POSTs under way at the "
            f"kills, {proof.unknown} unknown, server {dict(proof.failures)}"
        )
