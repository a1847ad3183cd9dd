"""The facade does what the async session does, in the thread of its caller."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import foxapi_async
from foxapi_async import (
    ConfigurationError,
    InvalidRequestError,
    Limits,
    PhotaImage,
    SessionClosedError,
    Task,
    TaskFailedError,
    TaskStatus,
    TaskTimeoutError,
    sync,
)
from foxapi_async.emulator import Emulator, Fate, Fault
from foxapi_async.events import TaskEnded
from tests.sync.conftest import OpenSyncSession

FOX = PhotaImage("a fox")


def test_a_script_generates_and_saves(open_session: OpenSyncSession, tmp_path: Path):
    with open_session() as session:
        task = session.generate(FOX)
        [path] = session.download(task, tmp_path)
        assert path.read_bytes() == session.read(task.outputs[0])
        assert session.retrieve(task.id).status is TaskStatus.COMPLETED
        assert session.upload(path).url.startswith("http")
        assert session.balance().raw
        assert session.prices()
        assert session.statistics().completed == 1
    assert session.statistics().completed == 1


def test_a_handle_waits_and_follows(open_session: OpenSyncSession):
    with open_session() as session:
        handle = session.submit(FOX, key="fox")
        assert (handle.request, handle.key, handle.done) == (FOX, "fox", False)
        assert session.in_flight == (handle,)
        with pytest.raises(TaskTimeoutError, match=re.escape(handle.id)):
            handle.wait(timeout=0.1)
        changes = list(handle.updates())
        assert [change.status.is_terminal for change in changes] == [False] * (len(changes) - 1) + [
            True
        ]
        assert handle.wait() == changes[-1] == handle.latest
        assert session.attach(handle.id).wait().id == handle.id
        assert session.in_flight == ()
    assert handle.wait().id == handle.id  # as with the async handle, after the end of the session


def test_errors_are_those_of_the_async_session(open_session: OpenSyncSession, emulator: Emulator):
    emulator.script(Fault("submit", Fate(ends_as="failed")))
    with open_session(limits=Limits(outputs=2)) as session:
        handle = session.submit(FOX)
        for _ in range(2):
            with pytest.raises(TaskFailedError, match=re.escape(handle.id)):
                handle.wait()
        with pytest.raises(InvalidRequestError, match="split"):
            session.generate(PhotaImage("foxes", num_outputs=4))
        with pytest.raises(InvalidRequestError):
            session.submit("a fox")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError):
            session.attach("../x")


def test_updates_can_be_closed(open_session: OpenSyncSession):
    with open_session() as session:
        updates = session.submit(FOX).updates()
        assert isinstance(next(updates), Task)
        updates.close()
        assert list(updates) == []


def test_a_session_is_opened_once_and_closed_any_number_of_times(open_session: OpenSyncSession):
    session = open_session()
    with pytest.raises(ConfigurationError, match=r"session\.open\(\)"):
        session.generate(FOX)
    session.close()
    assert session.open() is session
    with pytest.raises(ConfigurationError, match="opened once"):
        session.open()
    handle = session.submit(FOX)
    session.close()
    session.close()
    assert session.in_flight == ()
    for call in (lambda: session.generate(FOX), handle.wait, lambda: session.map([FOX])):
        with pytest.raises(SessionClosedError):
            call()


def test_what_cannot_be_opened_leaves_no_thread(tmp_path: Path):
    before = threading.active_count()
    session = sync.Session("sk-emulator", journal=tmp_path / "no folder" / "journal.db")
    with pytest.raises(ConfigurationError):
        session.open()
    assert threading.active_count() == before


def test_a_dropped_session_warns(open_session: OpenSyncSession):
    session = open_session().open()
    loop_thread = session._loop_thread
    assert loop_thread is not None
    with pytest.warns(ResourceWarning, match="unclosed session"):  # noqa: PT031
        del session
        gc.collect()
    loop_thread.close()


def test_a_call_from_the_listener_is_refused_as_it_would_wait_for_itself(
    open_session: OpenSyncSession,
):
    refused: list[ConfigurationError] = []

    def on_event(event: foxapi_async.Event) -> None:
        if isinstance(event, TaskEnded):
            with pytest.raises(ConfigurationError, match="wait for itself") as caught:
                session.generate(FOX)
            refused.append(caught.value)

    with open_session(on_event=on_event) as session:
        session.generate(FOX)
    assert len(refused) == 1


def test_an_event_loop_may_run_in_the_calling_thread(open_session: OpenSyncSession):
    async def cell() -> TaskStatus:
        with open_session() as session:
            return session.generate(FOX).status

    assert asyncio.run(cell()) is TaskStatus.COMPLETED


def test_many_threads_share_a_session(open_session: OpenSyncSession, emulator: Emulator):
    with open_session(limits=Limits(outputs=8)) as session, ThreadPoolExecutor(16) as pool:
        tasks = list(pool.map(lambda n: session.generate(PhotaImage(f"fox {n}")), range(16)))
        handle = session.submit(FOX)
        assert len({task.id for task in tasks}) == 16
        ends = list(pool.map(lambda _: handle.wait(), range(8)))
    assert {task.id for task in ends} == {handle.id}
    assert emulator.counters.tasks == 17


def test_closing_ends_the_calls_of_other_threads(open_session: OpenSyncSession):
    session = open_session(limits=Limits(outputs=1)).open()
    started = threading.Event()

    def call(number: int) -> BaseException | None:
        if number == 3:
            started.set()
        try:
            session.generate(PhotaImage(f"fox {number}"))
            session.generate(PhotaImage(f"fox {number} again"), timeout=1e9)
        except SessionClosedError as error:
            return error
        return None

    with ThreadPoolExecutor(4) as pool:
        ends = [pool.submit(call, number) for number in range(4)]
        started.wait()
        with ThreadPoolExecutor(2) as closers:
            list(closers.map(lambda _: session.close(), range(2)))
        assert [end.result(30) for end in ends if end.result(30) is None] in ([], [None] * 4)


def test_the_end_of_a_block_logs_what_is_in_flight(
    open_session: OpenSyncSession, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING, "foxapi_async"), open_session() as session:
        handle = session.submit(FOX)
    assert handle.id in caplog.text


def test_an_exception_of_the_block_is_raised_unchanged(open_session: OpenSyncSession):
    class OwnError(Exception):
        pass

    with pytest.raises(OwnError), open_session():
        raise OwnError


# The names and parameters of the async ones


def public(cls: type) -> dict[str, object]:
    return {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}


RENAMED = {"aclose": "close"}


def test_the_session_has_the_names_of_the_async_one():
    assert {RENAMED.get(name, name) for name in public(foxapi_async.Session)} == set(
        public(sync.Session)
    )


def test_the_handle_has_the_names_of_the_async_one():
    assert set(public(foxapi_async.TaskHandle)) == set(public(sync.TaskHandle))


@pytest.mark.parametrize("name", sorted(set(public(sync.Session)) - {"close"}))
def test_a_method_takes_what_the_async_one_takes(name: str):
    ours = inspect.getattr_static(sync.Session, name)
    theirs = inspect.getattr_static(foxapi_async.Session, name)
    assert isinstance(ours, property) == isinstance(theirs, property)
    if isinstance(ours, property):
        return
    mine, other = (inspect.signature(call).parameters for call in (ours, theirs))
    assert [(each.name, each.kind, each.default) for each in mine.values()] == [
        (each.name, each.kind, each.default) for each in other.values()
    ]
    assert f"foxapi_async.Session.{name}" in (ours.__doc__ or "") or name in {"open", "statistics"}


def test_the_constructor_takes_what_the_async_one_takes():
    mine, other = (
        inspect.signature(cls).parameters for cls in (sync.Session, foxapi_async.Session)
    )
    assert [*mine] == [name for name in other if name != "http"]
    assert all(mine[name].default == other[name].default for name in mine)
