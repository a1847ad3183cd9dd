"""Ctrl-C, and what else a signal handler raises, loses no task: a POST under way is finished first."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foxapi_async import Journal, Limits, PhotaImage, sync
from foxapi_async.emulator import Call, Delay, Drop, Emulator, Fault
from tests.sync.conftest import OpenSyncSession

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="POSIX signals")

FOX = PhotaImage("a fox")
MAIN = threading.main_thread().ident or 0


def interrupting(number: int = signal.SIGINT, *, at: int = 1) -> Callable[[Call], bool]:
    """Return a condition that interrupts the main thread at the n-th request, and holds."""
    seen = []

    def when(_: Call) -> bool:
        seen.append(1)
        if len(seen) == at:
            signal.pthread_kill(MAIN, number)
        return True

    return when


def at_post(number: int = signal.SIGINT, *, at: int = 1, effect: Any = Delay(0.3)) -> Fault:  # noqa: B008
    return Fault("submit", effect, when=interrupting(number, at=at), times=None)


CALLS: dict[str, Callable[[sync.Session], object]] = {
    "submit": lambda session: session.submit(FOX, key="fox"),
    "generate": lambda session: session.generate(FOX, key="fox"),
    "map": lambda session: list(session.map([("fox", FOX)])),
    "fan_out": lambda session: list(session.fan_out(FOX)),
}


def known_tasks(session: sync.Session) -> int:
    """Return the tasks in flight and those that have completed: the clock of the loop does not wait."""
    return len(session.in_flight) + session.statistics().completed


@pytest.mark.parametrize("name", CALLS)
def test_a_post_under_way_is_finished_and_its_id_known_before_the_interrupt_goes_on(
    name: str, open_session: OpenSyncSession, emulator: Emulator, tmp_path: Path, caplog
):
    emulator.script(at_post())
    with open_session(journal=tmp_path / "journal.db") as session:
        with caplog.at_level(logging.INFO, "foxapi_async"), pytest.raises(KeyboardInterrupt):
            CALLS[name](session)
        assert emulator.counters.tasks == 1
        # The task may have ended meanwhile: the clock of the loop does not wait.
        [entry] = Journal(tmp_path / "journal.db").entries()
        assert entry.task_id is not None
        assert f"task {entry.task_id} was created" in caplog.text
        assert session.attach(entry.task_id).wait().id == entry.task_id  # the session goes on


def test_an_interrupt_ends_a_wait_at_once_and_not_the_task(
    open_session: OpenSyncSession, emulator: Emulator
):
    emulator.script(Fault("poll", Delay(0.1), when=interrupting(), times=None))
    with open_session() as session:
        handle = session.submit(FOX)
        with pytest.raises(KeyboardInterrupt):
            handle.wait()
        assert handle.wait().id == handle.id


def test_an_interrupt_before_the_post_sends_nothing(
    open_session: OpenSyncSession, emulator: Emulator
):
    with open_session(limits=Limits(outputs=1)) as session:
        handle = session.submit(PhotaImage("the first"))
        emulator.script(Fault("poll", Delay(0.1), when=interrupting(), times=None))
        with pytest.raises(KeyboardInterrupt):
            session.generate(FOX)  # waits for the slot of the first
        handle.wait()
        assert emulator.counters.posts == 1


def test_further_interrupts_do_not_cut_the_post_off(
    open_session: OpenSyncSession, emulator: Emulator
):
    stop = threading.Event()

    def press() -> None:
        while not stop.wait(0.002):
            signal.pthread_kill(MAIN, signal.SIGINT)

    presses = threading.Thread(target=press)

    def when(_: Call) -> bool:
        presses.start()
        return True

    emulator.script(Fault("submit", Delay(0.3), when=when))
    with open_session() as session:
        # Some of them are raised right after the call; all that counts is the state after it.
        with contextlib.suppress(KeyboardInterrupt):
            try:
                session.submit(FOX)
            finally:
                stop.set()
                presses.join()
        assert known_tasks(session) == emulator.counters.tasks == 1


def test_an_interrupt_while_the_answer_is_lost_leaves_the_key_unknown(
    open_session: OpenSyncSession, emulator: Emulator, tmp_path: Path
):
    emulator.script(at_post(effect=[Delay(0.3), Drop(carried_out=True)]))
    with (
        open_session(journal=tmp_path / "journal.db") as session,
        pytest.raises(KeyboardInterrupt),
    ):
        session.submit(FOX, key="fox")
    [entry] = Journal(tmp_path / "journal.db").entries("unknown")
    assert entry.key == "fox"
    assert emulator.counters.posts == 1


def test_an_interrupt_of_map_stops_submitting(open_session: OpenSyncSession, emulator: Emulator):
    emulator.script(at_post(at=3))
    read = []

    def foxes() -> Iterator[PhotaImage]:
        for number in range(100):
            read.append(number)
            yield PhotaImage(f"fox {number}")

    with open_session(limits=Limits(outputs=4)) as session:
        outcomes = session.map(foxes())
        with pytest.raises(KeyboardInterrupt):
            list(outcomes)
        billed = emulator.counters.tasks
        assert billed < 10
        assert list(outcomes) == []
        for handle in session.in_flight:
            handle.wait()
        assert session.statistics().completed == emulator.counters.tasks == billed


def test_an_interrupt_in_the_input_of_map_goes_on_too(
    open_session: OpenSyncSession, emulator: Emulator
):
    def foxes() -> Iterator[PhotaImage]:
        yield FOX
        yield FOX
        signal.raise_signal(signal.SIGINT)
        yield FOX

    with open_session() as session:
        with pytest.raises(KeyboardInterrupt):
            list(session.map(foxes()))
        assert known_tasks(session) == emulator.counters.tasks


def test_closing_is_not_cut_off_by_an_interrupt(
    open_session: OpenSyncSession, emulator: Emulator, caplog
):
    """A thread has a POST under way while the main thread leaves the block."""
    arrived = threading.Event()

    def when(_: Call) -> bool:
        arrived.set()
        return True

    emulator.script(Fault("submit", Delay(0.3), when=when))
    session = open_session().open()
    ended: list[BaseException] = []

    def submit() -> None:
        try:
            ended.append(session.submit(FOX))  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001
            ended.append(error)

    thread = threading.Thread(target=submit)
    thread.start()
    arrived.wait()
    threading.Timer(0.01, signal.pthread_kill, (MAIN, signal.SIGINT)).start()
    with caplog.at_level(logging.WARNING, "foxapi_async"), contextlib.suppress(KeyboardInterrupt):
        session.close()
        threading.Event().wait(5)  # should the interrupt come later
    thread.join()
    assert session.statistics().submitted == emulator.counters.tasks == 1
    assert "tasks in flight" in caplog.text


def test_a_signal_handler_may_raise_anything_or_close_the_session(
    open_session: OpenSyncSession, emulator: Emulator
):
    class TimeLimitError(Exception):
        """What Celery's soft time limit raises."""

    def handler(number: int, frame: object) -> None:
        raise TimeLimitError

    emulator.script(at_post(signal.SIGUSR1))
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with open_session() as session:
            with pytest.raises(TimeLimitError):
                session.generate(FOX)
            assert known_tasks(session) == emulator.counters.tasks == 1
        emulator.faults.clear()
        emulator.script(at_post(signal.SIGUSR1))
        session = open_session().open()
        signal.signal(signal.SIGUSR1, lambda *_: session.close())
        with pytest.raises(Exception, match="session ended"):
            session.generate(FOX)
        assert session.statistics().submitted == 1
    finally:
        signal.signal(signal.SIGUSR1, before)
