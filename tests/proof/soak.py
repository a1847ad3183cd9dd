"""One session under load and faults, in real time, until something grows: ``python -m tests.proof.soak``.

    python -m tests.proof.soak --seconds 600    # before a release
    python -m tests.proof.soak --seconds 30     # in CI

The server is in a process of its own. The session submits, polls, downloads, uploads, attaches and
cancels; requests fail at random, and the service is down for a second now and then. Memory, descriptors,
asyncio tasks and the lag of the event loop are measured four times a second; `growth` judges them. At
the end everything must be closed, and no key may have been billed twice. The exit code is 0 or 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from foxapi_async import (
    FoxAPIError,
    Limits,
    Outcome,
    PhotaImage,
    Polling,
    Retry,
    Session,
    Timeout,
)
from foxapi_async.emulator import (
    Call,
    Delay,
    Drop,
    Effect,
    Emulator,
    Fate,
    Fault,
    Hang,
    cut,
    error,
    html,
    not_json,
    rate_limit,
)
from tests.proof.growth import Sample, complaints

OUTPUTS: Final = 24
PERIOD: Final = 0.25
"""Seconds between two samples."""
PICTURE: Final = b"\x89PNG\r\n\x1a\n" + bytes(20_000)

SUBMIT: Final[tuple[Effect, ...]] = (
    Drop(),
    Drop(carried_out=True),
    Hang(carried_out=True),
    cut(0.3),
    error(500),
    error(422),
    html(502, carried_out=True),
    not_json(),
    rate_limit(0),
    Delay(0.5),
    Fate(ends_as="failed"),
    Fate(empty_looks=1),
)
OTHERS: Final[tuple[Effect, ...]] = (
    Drop(),
    Hang(),
    cut(0.5),
    error(500),
    html(502),
    html(200),
    rate_limit(0),
    Delay(0.3),
)


def faults() -> Iterator[Fault]:
    """Yield faults for one request of fifteen, and an outage of a second in each ten."""

    def down(_: Call) -> bool:
        return time.monotonic() % 10 < 1

    for route in ("submit", "poll", "models", "credits"):
        yield Fault(route, error(503), times=None, when=down)
    for effect in SUBMIT:
        yield Fault("submit", effect, times=None, chance=0.06 / len(SUBMIT))
    for route in ("poll", "download", "upload"):
        for effect in OTHERS:
            yield Fault(route, effect, times=None, chance=0.06 / len(OTHERS))


async def serve() -> None:
    """Run the server until its standard input ends, then print how often each prompt was billed."""
    emulator = Emulator(
        duration=(0.1, 0.8), latency=(0.0, 0.03), picture_scale=1 / 40, faults=tuple(faults())
    )
    async with emulator:
        print(emulator.url, flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)
        billed = Counter(task.prompt for task in emulator.tasks.values())
    print(json.dumps(billed))  # noqa: T201


@asynccontextmanager
async def open_server(billed: Counter[str]) -> AsyncIterator[str]:
    """Run the server in another process; fill in how often it billed each prompt."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.proof.soak", "--serve"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
        process.stdin.close()
        billed.update(json.loads(await process.stdout.readline()))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


class Load:
    """What the session is kept busy with."""

    def __init__(self, session: Session, folder: Path, until: float) -> None:
        self._session = session
        self._folder = folder
        self._until = until
        self._rng = random.Random(1)
        self._saving = asyncio.Semaphore(16)
        self.statuses: Counter[str] = Counter()
        self.saved = 0

    async def run(self) -> None:
        """Keep the session busy until the time is over."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._other_calls())
            async for outcome in self._session.map(self._requests()):
                self.statuses[outcome.status] += 1
                if outcome.status == "completed":
                    await self._saving.acquire()
                    group.create_task(self._save(outcome))

    async def _requests(self) -> AsyncIterator[tuple[str, PhotaImage]]:
        number = 0
        while time.monotonic() < self._until:
            yield f"key {number}", PhotaImage(f"fox {number}", num_outputs=1 + (number % 7 == 0))
            number += 1

    async def _save(self, outcome: Outcome) -> None:
        try:
            paths = await self._session.download(outcome.result(), self._folder)
        except FoxAPIError:
            return
        finally:
            self._saving.release()
        self.saved += len(paths)
        for path in paths:
            path.unlink()

    async def _other_calls(self) -> None:
        """Upload, attach and give up, while the map goes on."""
        number = 0
        while time.monotonic() < self._until:
            number += 1
            with suppress(FoxAPIError, TimeoutError):
                if number % 3 == 0:
                    await self._session.upload(PICTURE)
                elif number % 3 == 1:
                    request = PhotaImage(f"owl {number}")
                    await self._session.generate(request, timeout=self._rng.random())
                elif handles := self._session.in_flight:
                    async with asyncio.timeout(self._rng.random()):
                        async for _ in self._session.attach(handles[-1].id).updates():
                            pass
            await asyncio.sleep(0.1)


async def watch(samples: list[Sample]) -> None:
    """Measure until cancelled."""
    begun = time.monotonic()
    while True:
        lag, due = 0.0, time.monotonic() + PERIOD
        while (now := time.monotonic()) < due:
            await asyncio.sleep(0.02)
            lag = max(lag, time.monotonic() - now - 0.02)
        samples.append(
            Sample(due - begun, memory(), descriptors(), len(asyncio.all_tasks()), 1000 * lag)
        )


def memory() -> float:
    """Return the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def soak(seconds: float) -> list[str]:
    """Run the load for so many seconds; return what is wrong."""
    samples: list[Sample] = []
    billed: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with open_server(billed) as url:
            before = descriptors(), len(asyncio.all_tasks())
            watching = asyncio.create_task(watch(samples))
            session = Session(
                "sk-emulator",
                base_url=url,
                journal=folder / "journal",
                limits=Limits(outputs=OUTPUTS, submissions_per_second=40),
                polling=Polling(poll_cost=0.02, min_interval=0.1),
                retry=Retry(first=0.05),
                timeout=Timeout(request=3, stall=3),
            )
            async with session:
                load = Load(session, folder / "pictures", time.monotonic() + seconds)
                await load.run()
                counted = session.statistics()
            watching.cancel()
            await asyncio.wait([watching])
            await asyncio.sleep(0.5)
            after = descriptors(), len(asyncio.all_tasks())
        left = list((folder / "pictures").iterdir())
    if after[0] > before[0]:
        wrong.append(f"{after[0] - before[0]} descriptors are still open")
    if after[1] > before[1]:
        wrong.append(f"{after[1] - before[1]} tasks are still running")
    if left:
        wrong.append(f"files are left: {[path.name for path in left[:5]]}")
    wrong += [f"{prompt} was billed {times} times" for prompt, times in billed.items() if times > 1]
    wrong += complaints(samples)
    _report(samples, load, counted)
    return wrong


def _report(samples: list[Sample], load: Load, counted: Any) -> None:
    watched = samples[len(samples) // 3 :]
    medians = {
        name: round(statistics.median(getattr(sample, name) for sample in watched), 1)
        for name in ("memory", "descriptors", "tasks", "lag")
    }
    print(f"{dict(load.statuses)}, {load.saved} files, {counted.polls} polls", flush=True)  # noqa: T201
    print(f"medians after the warm-up: {medians}", flush=True)  # noqa: T201


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if given.serve:
        asyncio.run(serve())
        return 0
    wrong = asyncio.run(soak(given.seconds))
    for each in wrong:
        print(f"wrong: {each}", flush=True)  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
