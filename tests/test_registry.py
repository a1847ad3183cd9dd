"""What the registry of a session does, and in which order, over a real socket and a real disk."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from foxapi_async import (
    Event,
    FoxAPIError,
    Journal,
    PhotaImage,
    SessionClosedError,
    SubmissionUnknownError,
    TaskStatus,
    registry,
)
from foxapi_async.emulator import Emulator, Fate, Fault
from foxapi_async.events import SubmissionStarted, TaskEnded, TaskSubmitted, TaskUpdated
from foxapi_async.journal.sqlite import connection
from foxapi_async.polling.poll_queue import PollQueue
from tests.conftest import OpenSession

FOX = PhotaImage("a fox in the snow")

QUICK = Fate(duration=0, looks=[{"status": "processing", "progress": 44}])


class Listener:
    """Keeps all events, and does something when a POST starts."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.on_start: Callable[[], object] = lambda: None

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, SubmissionStarted):
            self.on_start()


@contextlib.contextmanager
def second_user(journal: Path) -> Iterator[sqlite3.Connection]:
    """Open a journal beside the session; with its write lock held the disk seems slow."""
    with contextlib.closing(sqlite3.connect(journal, isolation_level=None)) as other:
        yield other


@pytest.mark.ordinary_loop
async def test_events_of_a_task_are_in_order_when_the_journal_is_slow(
    emulator: Emulator, open_session: OpenSession, tmp_path: Path
):
    path = tmp_path / "journal.sqlite"
    listener = Listener()
    emulator.script(Fault("submit", QUICK, times=None))
    async with open_session(journal=path, on_event=listener) as session:
        with second_user(path) as other:
            listener.on_start = lambda: other.execute("BEGIN IMMEDIATE")
            submitting = asyncio.ensure_future(session.generate(FOX, key="fox"))
            while not session.in_flight:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.01)
            polls = session.statistics().polls
            await asyncio.sleep(1)  # more than the first poll would take
            other.execute("ROLLBACK")
            assert polls == session.statistics().polls == 0
        await submitting
    events = listener.events
    kinds = [type(event) for event in events if isinstance(event, TaskSubmitted | TaskUpdated)]
    assert kinds[0] is TaskSubmitted
    assert isinstance(events[-1], TaskEnded)
    updates = [event.task.progress for event in events if isinstance(event, TaskUpdated)]
    assert updates == [44, 100]


@pytest.mark.ordinary_loop
async def test_an_id_that_cannot_be_journalled_is_told_and_the_task_is_tracked(
    emulator: Emulator,
    open_session: OpenSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(connection, "LOCK_TIMEOUT", 0.05)
    path = tmp_path / "journal.sqlite"
    listener = Listener()
    emulator.script(Fault("submit", Fate(duration=0), times=None))
    async with open_session(journal=path, on_event=listener) as session:
        with second_user(path) as other:
            listener.on_start = lambda: other.execute("BEGIN IMMEDIATE")
            with pytest.raises(FoxAPIError) as failed:
                await session.submit(FOX, key="fox")
            listener.on_start = lambda: None
            [submitted] = [event for event in listener.events if isinstance(event, TaskSubmitted)]
            assert failed.value.task_id == submitted.task.id
            other.execute("ROLLBACK")
        for handle in session.in_flight:
            assert handle.id == submitted.task.id
            await handle
        statistics = session.statistics()
        assert (statistics.submitted, statistics.completed, statistics.unknown) == (1, 1, 0)
        assert statistics.images_in_flight == 0
        await session.generate(PhotaImage("the next one"))  # the limiter is not stuck


async def test_a_fault_of_the_poller_is_the_cause_of_what_waiters_get(
    emulator: Emulator, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
):
    emulator.script(Fault("submit", Fate(duration=60), times=None))
    async with open_session() as session:
        handle = await session.submit(FOX)
        waiting = asyncio.ensure_future(handle.wait())
        await anyio.sleep(1)

        def fail(*_: object) -> bool:
            raise ZeroDivisionError("a fault of ours")

        monkeypatch.setattr(PollQueue, "has_expired", fail)
        with pytest.raises(SessionClosedError) as closed:
            await waiting
        assert closed.value.task_id == handle.id
        assert isinstance(closed.value.__cause__, ZeroDivisionError)
        with pytest.raises(SessionClosedError) as refused:
            await session.submit(FOX)
        assert refused.value.__cause__ is closed.value.__cause__


async def test_updates_survive_a_cancelled_anext(emulator: Emulator, open_session: OpenSession):
    emulator.script(Fault("submit", Fate(duration=40), times=None))
    async with open_session() as session:
        updates = (await session.submit(FOX)).updates()
        seen, heartbeats = [], 0
        while True:
            try:
                seen.append(await asyncio.wait_for(anext(updates), 1))
            except TimeoutError:
                heartbeats += 1
            except StopAsyncIteration:
                break
        assert heartbeats > 5
        assert seen[0].status is TaskStatus.PENDING
        assert seen[-1].status is TaskStatus.COMPLETED


async def test_updates_keep_the_newest_change_that_nobody_has_read(
    emulator: Emulator, open_session: OpenSession
):
    looks = [{"status": "processing", "progress": n} for n in range(0, 50, 10)]
    emulator.script(Fault("submit", Fate(looks=looks), times=None))
    async with open_session() as session:
        handle = await session.submit(FOX)
        async with contextlib.aclosing(handle.updates()) as updates:
            first = await anext(updates)
            await handle
            assert [first.status, *[task.status async for task in updates]] == [
                TaskStatus.PENDING,
                TaskStatus.COMPLETED,
            ]


async def test_a_task_ends_for_its_waiters_although_its_journal_is_closed(
    emulator: Emulator,
    open_session: OpenSession,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    journal = Journal(tmp_path / "journal.sqlite")
    async with open_session(journal=journal) as session:
        handle = await session.submit(FOX)
        await journal.aclose()
        assert (await handle.wait(timeout=60)).status is TaskStatus.COMPLETED
        assert session.statistics().images_in_flight == 0
        assert session.in_flight == ()
    assert f"the end of task {handle.id} was not recorded" in caplog.text


async def test_a_fault_after_the_post_leaves_the_outcome_unknown(
    emulator: Emulator, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    async with open_session() as session:
        monkeypatch.setattr(registry, "TrackedTask", fail)
        with pytest.raises(SubmissionUnknownError):
            await session.submit(FOX)
    assert emulator.counters.images_billed == 1
    assert session.statistics().unknown == 1
