"""A seeded simulation of a caller, a session and a server, in random order, on virtual time.

The caller submits, attaches, waits and cancels; requests are hit by faults and outages; the session is
closed and opened again; the process crashes, and another one goes on with the journal that it left.
After each step the invariants of `World.check` hold; at the end `World.drain` lets everything finish and
compares what was billed with what the caller knows.

    python -m tests.proof.simulation --seeds 100 --steps 2000   # from seed 1 on
    python -m tests.proof.simulation --first 37 --steps 500     # replay one seed

The steps depend on the seed alone. What the server answers first may also depend on the machine, because
sockets and the thread of the journal are real.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sqlite3
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import attrs

from foxapi_async import (
    FoxAPIError,
    Journal,
    Limits,
    PhotaImage,
    Polling,
    Session,
    SubmissionUnknownError,
    TaskOutcomeError,
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
    Rewrite,
    cut,
    error,
    html,
    not_json,
    rate_limit,
)
from foxapi_async.events import (
    Event,
    SubmissionFailed,
    SubmissionStarted,
    TaskEnded,
    TaskSubmitted,
)
from tests.virtual_time import VirtualTimeLoop

T = TypeVar("T")
A = TypeVar("A")

OUTPUTS: Final = 6
"""Images that a session may have in flight."""

LONGEST: Final = 7200.0
"""Virtual seconds in which everything must have ended after the last fault."""

DOUBTFUL: Final[tuple[Effect, ...]] = (
    Drop(),
    Drop(carried_out=True),
    Drop(carried_out=True, reset=False),
    Hang(),
    Hang(carried_out=True),
    cut(0.3),
    error(500),
    error(500, carried_out=True),
    error(503, carried_out=True),
    html(502, carried_out=True),
    html(200, carried_out=True),
    not_json(),
)
"""Answers to a submission that may or may not have created a task."""

CLEAR: Final[tuple[Effect, ...]] = (
    error(422),
    error(422, code="no_compatible_channel"),
    rate_limit(1),
    rate_limit(),
    Delay(2),
    Delay(2, carried_out=True),
    Fate(ends_as="failed"),
    Fate(ends_as="cancelled"),
    Fate(duration=40, estimate="missing"),
    Fate(empty_looks=2),
    Fate(hidden_for=2),
)
"""What happens to a submission without leaving a doubt."""

POLLS: Final[tuple[Effect, ...]] = (
    Drop(),
    Hang(),
    cut(0.5),
    error(404),
    error(500),
    html(502),
    html(200),
    rate_limit(1),
    Delay(3),
    Rewrite({"id": "task-unified-1-other"}),
    Rewrite({"status": "archiving", "results": None}),
)

OUTAGES: Final[tuple[Effect, ...]] = (error(503), html(502), Drop(), Hang(), rate_limit(3))


@attrs.define
class Process:
    """A process of the caller: its session, and the calls that wait for something."""

    http: aiohttp.ClientSession
    journal: Journal
    session: Session
    calls: set[asyncio.Task[None]] = attrs.field(factory=set)
    keys: set[str] = attrs.field(factory=set)
    """The keys that a POST of this process was started for."""
    accepted: set[str] = attrs.field(factory=set)
    ended: set[str] = attrs.field(factory=set)
    crashed: bool = False

    def start(self, call: Awaitable[None]) -> None:
        """Run a call of the caller beside the others."""
        task = asyncio.ensure_future(call)
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)


class World:
    """Everything there is in one run: `step` changes it, `check` judges it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._rng = random.Random(seed)
        self._folder = folder
        self.emulator = Emulator(
            duration=(2, 15), latency=(0.0, 0.4), picture_scale=1 / 40, seed=seed
        )
        self.history: deque[str] = deque(maxlen=25)
        self._journals = 0
        self._requests: dict[str, PhotaImage] = {}
        self._doubtful: set[str] = set()
        self._unknown: set[str] = set()
        self._accepted: set[str] = set()
        self._ended: set[str] = set()
        self._billed: Counter[str] = Counter()
        self._counted = 0
        self._faults: list[BaseException] = []
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        """Start the server and the first process."""
        await self.emulator.start()
        await self._start_process(self._folder / "journal-0")

    async def close(self) -> None:
        """End the process in an orderly way, and the server."""
        await self._leave(self._process)
        await self.emulator.stop()

    async def step(self) -> None:
        """Do something at random."""
        kind = self._rng.choices(list(STEPS), list(STEPS.values()))[0]
        a, b = self._rng.random(), self._rng.random()
        self.history.append(f"{self._loop.time():10.2f}  {kind} {a:.4f} {b:.4f}")
        await getattr(self, f"_{kind}")(a, b)
        self.check()

    def check(self) -> None:
        """Check what must hold at any time."""
        if self._faults:
            raise self._faults[0]
        tasks = list(self.emulator.tasks.values())
        for task in tasks[self._counted :]:
            self._billed[task.prompt] += 1
            assert self._billed[task.prompt] == 1, f"{task.prompt} was billed twice"
        self._counted = len(tasks)
        process = self._process
        own = process.keys - self._unknown
        in_flight = sum(
            task.num_outputs
            for task in tasks
            if task.prompt in own and task.status in {"pending", "processing"}
        )
        assert in_flight <= OUTPUTS, f"{in_flight} images are in flight at the server"
        listed = {handle.id for handle in process.session.in_flight}
        lost = process.accepted - process.ended - listed
        assert not lost, f"{lost} are accepted, have not ended, and are not listed"

    async def drain(self) -> None:
        """Let everything end without further faults, and compare what was billed with what is known."""
        self.history.append("drain")
        self.emulator.faults.clear()
        await self._restart(0, 0)
        known: dict[str, str] = {}

        async def settle(key: str, request: PhotaImage) -> None:
            try:
                known[key] = (await self._process.session.submit(request, key=key)).id
                await self._process.session.attach(known[key]).wait()
            except SubmissionUnknownError:
                assert key in self._doubtful, f"{key} is unknown, although nothing went wrong"
            except TaskOutcomeError:
                pass

        async with asyncio.timeout(LONGEST):
            await asyncio.gather(*(settle(*item) for item in self._requests.items()))
        self.check()
        for key in self._requests:
            assert self._billed[key] == 1 or key not in known
        tasks = self.emulator.tasks
        assert all(tasks[id_].prompt == key for key, id_ in known.items())
        lost = self._accepted - set(known.values())
        assert not lost, f"{lost} were accepted, and their keys do not lead to them"
        assert self._process.journal.unfinished() == []

    def summary(self) -> str:
        """Return what happened, in words."""
        counters = self.emulator.counters
        return (
            f"{len(self._requests)} keys, {counters.posts} POSTs, {counters.tasks} tasks, "
            f"{counters.polls} polls, {counters.unanswered} requests without an answer, "
            f"{len(self._unknown)} unknown, {self._journals} crashes"
        )

    # Steps. Both arguments are random numbers from 0 to 1.

    async def _submit(self, a: float, b: float) -> None:
        key = f"fox {len(self._requests)}"
        self._requests[key] = PhotaImage(key, num_outputs=1 + int(3 * a))
        self._process.start(self._call(self._submitting, key, b))

    async def _submit_again(self, a: float, b: float) -> None:
        if self._requests:
            self._process.start(
                self._call(self._submitting, self._pick(list(self._requests), a), b)
            )

    async def _generate(self, a: float, b: float) -> None:
        key = f"fox {len(self._requests)}"
        request = self._requests[key] = PhotaImage(key, num_outputs=1 + int(2 * a))
        session = self._process.session

        async def generate(_: object, timeout: float) -> None:
            await session.generate(request, key=key, timeout=timeout)

        self._process.start(self._call(generate, key, 20 * b))

    async def _map(self, a: float, b: float) -> None:
        old = list(self._requests.items())[-2:]
        new = [
            (f"fox {len(self._requests) + n}", PhotaImage(f"fox {len(self._requests) + n}"))
            for n in range(1 + int(5 * a))
        ]
        self._requests.update(new)
        session = self._process.session

        async def read(_: object, share: float) -> None:
            read = 0
            async for outcome in session.map([*old, *new]):
                read += 1
                if outcome.task_id is not None:
                    assert outcome.key is not None
                    self._compare(outcome.key, outcome.task_id)
                if share < 0.3 and read > 2:
                    break

        self._process.start(self._call(read, None, b))

    async def _wait(self, a: float, b: float) -> None:
        handles = self._process.session.in_flight
        if handles:
            handle = self._pick(list(handles), a)

            async def wait(_: object, seconds: float) -> None:
                assert (await handle.wait(seconds)).id == handle.id

            self._process.start(self._call(wait, None, 0.1 + 10 * b))

    async def _attach(self, a: float, b: float) -> None:
        ids = sorted(self._accepted)
        if ids:
            session, id_ = self._process.session, self._pick(ids, a)

            async def follow(_: object, seconds: float) -> None:
                async with asyncio.timeout(seconds):
                    async for task in session.attach(id_).updates():
                        assert task.id == id_

            self._process.start(self._call(follow, None, 0.1 + 20 * b))

    async def _cancel(self, a: float, _: float) -> None:
        calls = list(self._process.calls)
        if calls:
            self._pick(calls, a).cancel()

    async def _pause(self, a: float, b: float) -> None:
        await asyncio.sleep(a * (0.02 if b < 0.4 else 0.5 if b < 0.7 else 3))

    async def _long_pause(self, a: float, _: float) -> None:
        await asyncio.sleep(5 + 40 * a)

    async def _fault(self, a: float, b: float) -> None:
        if b < 0.4:
            self._script(self._pick(DOUBTFUL, a), lambda _: True)
        elif b < 0.6:
            self.emulator.script(Fault("submit", self._pick(CLEAR, a)))
        else:
            self.emulator.script(Fault("poll", self._pick(POLLS, a), times=1 + int(3 * b)))

    async def _outage(self, a: float, b: float) -> None:
        effect, until = self._pick(OUTAGES, a), self._loop.time() + 60 * b**2

        def lasts(_: Call) -> bool:
            return self._loop.time() < until

        self._script(effect, lasts, times=None)
        self.emulator.script(
            *(
                Fault(route, effect, times=None, when=lasts)
                for route in ("poll", "models", "credits")
            )
        )

    async def _restart(self, _a: float, _b: float) -> None:
        path = self._process.journal.path
        await self._leave(self._process)
        await self._start_process(path)

    async def _crash(self, _a: float, _b: float) -> None:
        """End the process as SIGKILL would: what is committed stays, and nothing more is sent."""
        old = self._process
        self._journals += 1
        path = self._folder / f"journal-{self._journals}"
        # No other task runs before the connections are closed, so the copy is what a killed process
        # leaves. The owner of its claims is dead there, because it never locked a file beside the copy.
        with (
            closing(sqlite3.connect(old.journal.path)) as now,
            closing(sqlite3.connect(path)) as copy,
        ):
            now.backup(copy)
            sending = copy.execute("SELECT key FROM entries WHERE status = 'sending'").fetchall()
        old.crashed = True
        closed = old.http.close()
        for call in old.calls:
            call.cancel()
        self._doubtful |= {key.decode() for (key,) in sending}
        await closed
        await self._leave(old)
        await self._start_process(path)

    # What the steps need

    def _script(self, effect: Effect, when: Callable[[Call], bool], times: int | None = 1) -> None:
        """Script a fault of submissions that leaves a doubt, and note which keys it hits."""

        def hits(call: Call) -> bool:
            if not when(call):
                return False
            self._doubtful.add(call.prompt)
            return True

        self.emulator.script(Fault("submit", effect, times=times, when=hits))

    async def _start_process(self, path: Path) -> None:
        http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        journal = Journal(path)
        session = Session(
            "sk-emulator",
            base_url=self.emulator.url,
            http=http,
            journal=journal,
            limits=Limits(outputs=OUTPUTS),
            polling=Polling(poll_cost=1.0, give_up_after=3600),
            timeout=Timeout(request=6),
            on_event=lambda event: self._note(process, event),
        )
        self._process = process = Process(http, journal, session)
        await session.__aenter__()
        # What was accepted is known to each later process.
        listed = {entry.task_id for entry in journal.unfinished()}
        lost = self._accepted - self._ended - listed
        assert not lost, f"{lost} were accepted, have not ended, and are not in the journal"

    async def _leave(self, process: Process) -> None:
        await process.session.__aexit__(None, None, None)
        for call in process.calls:
            call.cancel()
        if process.calls:
            await asyncio.wait(process.calls)
        await process.http.close()

    def _note(self, process: Process, event: Event) -> None:
        if process.crashed:  # what it learns after the copy was made is lost
            return
        match event:
            case SubmissionStarted(key=str(key)):
                process.keys.add(key)
            case TaskSubmitted(task=task):
                process.accepted.add(task.id)
                self._accepted.add(task.id)
            case SubmissionFailed(key=str(key), error=SubmissionUnknownError()):
                self._unknown.add(key)
                process.keys.add(key)
            case TaskEnded(task_id=task_id):
                process.ended.add(task_id)
                if event.task.status.is_terminal:
                    self._ended.add(task_id)
            case _:
                pass

    async def _submitting(self, key: str, seconds: float) -> None:
        handle = await self._process.session.submit(self._requests[key], key=key)
        self._compare(key, handle.id)
        if seconds < 0.5:
            await handle.wait(20 * seconds)

    def _compare(self, key: str, task_id: str) -> None:
        assert self.emulator.tasks[task_id].prompt == key, "the id of another task"

    async def _call(
        self, function: Callable[[A, float], Awaitable[None]], argument: A, number: float
    ) -> None:
        try:
            await function(argument, number)
        except (FoxAPIError, TimeoutError, asyncio.CancelledError):
            pass
        except BaseException as fault:  # noqa: BLE001 - raised by the next check
            self._faults.append(fault)

    def _pick(self, items: Sequence[T], share: float) -> T:
        return items[int(share * len(items))]


STEPS: Final = {
    "submit": 24,
    "submit_again": 10,
    "generate": 6,
    "map": 3,
    "wait": 8,
    "attach": 4,
    "cancel": 8,
    "pause": 26,
    "long_pause": 2,
    "fault": 14,
    "outage": 1,
    "restart": 1,
    "crash": 1.5,
}
"""The steps and how often each is drawn."""


async def simulate(seed: int, steps: int, folder: Path) -> World:
    """Run one seed; an error has the seed and the last steps in a note."""
    loop = asyncio.get_running_loop()
    world = World(seed, folder)
    await world.open()
    try:
        for _ in range(steps):
            await world.step()
        await world.drain()
        await world.close()
    except BaseException as fault:
        last = "\n  ".join(world.history)
        fault.add_note(
            f"seed {seed}; replay it: python -m tests.proof.simulation --first {seed} --steps {steps}\n"
            f"  {last}"
        )
        with suppress(Exception):
            async with asyncio.timeout(LONGEST):
                await world.close()
        raise
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks are left: {left}"
    timers = [each for each in loop._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
    assert not timers, f"timers are left: {timers}"
    return world


def run(seed: int, steps: int) -> World:
    """Run one seed in an event loop and a folder of its own."""
    # In memory if possible: what a journal does to a disk is tested elsewhere, and costs half the time.
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        return runner.run(simulate(seed, steps, Path(folder)))


def main() -> None:
    """Run many seeds, or replay one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--steps", type=int, default=500, help="of each seed")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for seed in range(given.first, given.first + given.seeds):
        world = run(seed, given.steps)
        print(f"seed {seed}: {world.summary()}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
