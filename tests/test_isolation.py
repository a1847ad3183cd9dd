"""Failures in one caller, input, listener or finalizer do not affect other callers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from foxapi_async import FoxAPIError, Limits, PhotaImage, Session, SessionClosedError
from foxapi_async._concurrency import Signal
from foxapi_async.emulator import Delay, Emulator, Fate, Fault
from foxapi_async.events import Event, TaskSubmitted
from tests.conftest import OpenSession

FOX = PhotaImage("a fox in the snow")
TENANT = contextvars.ContextVar("TENANT", default="unset")


async def test_a_signal_wakes_all_waiters_each_time_it_is_set():
    signal, woken = Signal(), []

    async def listen(name: str) -> None:
        for _ in range(2):
            await signal.wait()
            woken.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen, "a")
        tasks.start_soon(listen, "b")
        for _ in range(2):
            await anyio.sleep(1)
            signal.set()
    assert sorted(woken) == ["a", "a", "b", "b"]


async def test_a_cancelled_input_ends_only_its_own_map(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(
        Fault("submit", Delay(20, carried_out=True), when=lambda call: call.prompt == "slow")
    )
    never = asyncio.ensure_future(asyncio.sleep(9))
    never.cancel()

    async def requests() -> AsyncIterator[PhotaImage]:
        yield FOX
        await never

    async with open_session() as session:
        slow = asyncio.ensure_future(session.submit(PhotaImage("slow")))
        await anyio.sleep(1)
        outcomes = session.map(requests())
        assert (await anext(outcomes)).status == "completed"
        with pytest.raises(FoxAPIError, match="cancelled"):
            await anext(outcomes)
        assert (await (await slow)).outputs
        assert (await session.generate(FOX)).outputs


async def test_a_listener_that_raises_cancelled_error_loses_no_task(
    emulator: Emulator, open_session: OpenSession
):
    def listen(event: Event) -> None:
        if isinstance(event, TaskSubmitted):
            raise asyncio.CancelledError

    async with open_session(on_event=listen) as session:
        assert (await session.generate(FOX)).outputs
    assert emulator.counters.images_billed == 1


async def test_cancelling_the_tasks_of_a_session_wakes_all_waiters(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=60), times=None))
    async with open_session() as session:
        handle = await session.submit(FOX)
        waiting = asyncio.ensure_future(handle.wait())
        await anyio.sleep(1)
        for task in asyncio.all_tasks():
            if "foxapi" in task.get_name().lower():
                task.cancel()
        with pytest.raises(SessionClosedError) as caught:
            await waiting
        assert caught.value.task_id == handle.id
        with pytest.raises(SessionClosedError):
            await session.submit(FOX)


@pytest.mark.parametrize("turns", range(16))
async def test_a_map_started_while_the_session_fails_ends_too(
    emulator: Emulator, open_session: OpenSession, turns: int
):
    emulator.script(Fault("submit", Fate(duration=60), times=None))
    async with open_session() as session:
        await session.submit(FOX)
        outcomes = session.map([FOX])
        [poller] = [task for task in asyncio.all_tasks() if "Poller.run" in awaited_by(task)]
        poller.cancel()
        for _ in range(turns):  # iterations of the event loop
            await asyncio.sleep(0)
        status = None
        with contextlib.suppress(SessionClosedError):
            status = (await anext(outcomes)).status
    assert status in {None, "not_submitted", "unfinished"}
    billed = 1 + (status == "unfinished")  # its POST may have been sent before the session failed
    assert emulator.counters.images_billed == billed


def awaited_by(task: asyncio.Task[object]) -> list[str]:
    names, coroutine = [], task.get_coro()
    while inspect.iscoroutine(coroutine):
        names.append(coroutine.__qualname__)
        coroutine = coroutine.cr_await
    return names


async def test_an_iterator_collected_in_another_thread_stops_its_map(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(outputs=2)) as session:
        holder = [session.map([FOX] * 100)]
        await anext(holder[0])
        thread = threading.Thread(target=holder.clear)
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        await anyio.sleep(500)
        posts = emulator.counters.posts
        await anyio.sleep(500)
        assert emulator.counters.posts == posts < 100


async def test_two_readers_of_one_iterator_share_its_outcomes(open_session: OpenSession):
    async with open_session(limits=Limits(outputs=3)) as session:
        outcomes = session.map([FOX] * 20)
        seen: list[int] = []

        async def read() -> None:
            seen.extend([outcome.index async for outcome in outcomes])

        async with anyio.create_task_group() as readers:
            readers.start_soon(read)
            readers.start_soon(read)
    assert sorted(seen) == list(range(20))


async def test_an_iterator_of_a_closed_session_raises_each_time(open_session: OpenSession):
    async with open_session() as session:
        outcomes = session.map([FOX])
    for _ in range(2):
        with pytest.raises(SessionClosedError):
            await anext(outcomes)


async def test_cancelling_aenter_leaves_no_tasks_running(emulator: Emulator, tmp_path: object):
    before = asyncio.all_tasks()
    for turns in range(8):
        session = Session("sk-emulator", base_url=emulator.url, journal=f"{tmp_path}/{turns}")
        entering = asyncio.ensure_future(session.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
    assert asyncio.all_tasks() == before


async def test_a_short_key_does_not_redact_task_ids():
    async with (
        Emulator(api_key="task", duration=1, picture_scale=1 / 16) as emulator,
        Session("task", base_url=emulator.url) as session,
    ):
        assert (await session.generate(FOX)).id in emulator.tasks


async def test_a_submission_of_map_runs_in_the_context_in_which_its_request_was_read(
    open_session: OpenSession,
):
    seen = []

    def listen(event: Event) -> None:
        if isinstance(event, TaskSubmitted):
            seen.append((event.request.payload()["prompt"], TENANT.get()))

    def requests() -> Iterator[PhotaImage]:
        for number in range(6):
            TENANT.set(f"tenant {number}")
            yield PhotaImage(f"tenant {number}")

    async with open_session(on_event=listen, limits=Limits(outputs=2)) as session:
        async for _ in session.map(requests()):
            pass
    assert len(seen) == 6
    assert all(prompt == tenant for prompt, tenant in seen)
