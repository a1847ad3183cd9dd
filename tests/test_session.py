"""The public behaviour of a session, from opening it to closing it."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from pathlib import Path

import aiohttp
import anyio
import anyio.lowlevel
import pytest

from foxapi_async import (
    ConfigurationError,
    FoxAPIError,
    InvalidRequestError,
    Limits,
    NotFoundError,
    PhotaImage,
    Polling,
    Session,
    SessionClosedError,
    TaskStatus,
)
from foxapi_async.emulator import Answer, Drop, Emulator, Fate, Fault, error, html, not_json
from foxapi_async.events import (
    Event,
    SubmissionFailed,
    SubmissionStarted,
    TaskEnded,
    TaskSubmitted,
    TaskUpdated,
)
from tests.conftest import OpenSession

FOX = PhotaImage("a fox in the snow")


async def test_generate_returns_a_completed_task(emulator: Emulator, open_session: OpenSession):
    async with open_session() as session:
        task = await session.generate(PhotaImage("a fox", num_outputs=3))
    assert task.status is TaskStatus.COMPLETED
    assert [output.index for output in task.outputs] == [0, 1, 2]
    assert emulator.counters.images_billed == 3


async def test_the_key_and_the_address_come_from_the_environment(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FOXAPI_API_KEY", "sk-emulator\n")
    monkeypatch.setenv("FOXAPI_BASE_URL", emulator.url + "/")
    async with Session() as session:
        await session.submit(FOX)
    assert emulator.counters.wrong_keys == 0


def test_a_session_requires_a_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("FOXAPI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="FOXAPI_API_KEY"):
        Session()


async def test_an_exception_of_the_block_propagates_unchanged(open_session: OpenSession):
    mine = ValueError("mine")

    async def block() -> None:
        async with open_session() as session:
            await session.submit(FOX)
            raise mine

    with pytest.raises(ValueError, match="mine") as caught:
        await block()
    assert caught.value is mine
    assert caught.value.__cause__ is None


async def test_no_task_of_the_session_runs_after_the_block(
    emulator: Emulator, open_session: OpenSession
):
    before = asyncio.all_tasks()
    async with open_session() as session:
        handles = [await session.submit(FOX) for _ in range(3)]
        waiting = [asyncio.ensure_future(handle.wait()) for handle in handles]
        await anyio.sleep(1)
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, SessionClosedError) for error in ended)
    assert {error.task_id for error in ended} == set(emulator.tasks)  # type: ignore[union-attr]
    left = {task for task in asyncio.all_tasks() - before if "foxapi" in repr(task)}
    left = {task for task in left if "emulator" not in repr(task)}
    assert left == set()


async def test_leaving_with_tasks_in_flight_logs_their_ids(
    emulator: Emulator, open_session: OpenSession, caplog: pytest.LogCaptureFixture
):
    emulator.script(Fault("submit", Fate(duration=1000), times=None))
    async with open_session(limits=Limits(outputs=100)) as session:
        ids = {(await session.submit(FOX)).id for _ in range(60)}
    warned = " ".join(r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert {id_ for id_ in ids if id_ in warned} == ids


async def test_a_closed_session_raises_session_closed(open_session: OpenSession):
    async with open_session() as session:
        pass
    with pytest.raises(SessionClosedError):
        await session.submit(FOX)
    with pytest.raises(SessionClosedError):
        session.attach("task-1")
    with pytest.raises(SessionClosedError):
        session.map([FOX])
    assert session.in_flight == ()
    assert session.statistics().submitted == 0


async def test_a_session_that_was_not_entered_raises_a_configuration_error(
    open_session: OpenSession,
):
    session = open_session()
    with pytest.raises(ConfigurationError, match="async with"):
        await session.generate(FOX)
    with pytest.raises(ConfigurationError, match="async with"):
        session.statistics()


async def test_a_session_can_be_entered_only_once(open_session: OpenSession):
    async with open_session() as session:
        with pytest.raises(ConfigurationError, match="once"):
            await session.__aenter__()


async def test_use_from_another_event_loop_is_refused_before_anything_is_sent(
    emulator: Emulator, open_session: OpenSession
):
    refused: list[Exception] = []

    async def use(session: Session) -> None:
        for call in (session.submit, session.generate):
            try:
                await call(FOX)
            except ConfigurationError as error:
                refused.append(error)
        for call in (session.attach, session.retrieve):
            try:
                await call("task-1")
            except ConfigurationError as error:
                refused.append(error)

    async with open_session() as session:
        thread = threading.Thread(target=lambda: asyncio.run(use(session)))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        with pytest.raises(ConfigurationError):
            await asyncio.to_thread(session.map, [FOX])
    assert len(refused) == 4
    assert emulator.counters.requests == 0


async def test_a_handle_cannot_be_awaited_in_another_event_loop(open_session: OpenSession):
    async with open_session() as session:
        handle = await session.submit(FOX)

        async def wait() -> None:
            await handle

        with pytest.raises(ConfigurationError):
            await asyncio.to_thread(asyncio.run, wait())


async def test_the_callers_aiohttp_session_is_used_and_not_closed(
    emulator: Emulator, open_session: OpenSession
):
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        async with open_session(http=http) as session:
            await session.generate(FOX)
        assert not http.closed
    async with open_session(http=http) as session:
        with pytest.raises(ConfigurationError, match="closed"):
            await session.submit(FOX)
    assert emulator.counters.posts == 1


async def test_headers_of_the_callers_aiohttp_session_are_not_sent_to_file_hosts(
    open_session: OpenSession, tmp_path: Path
):
    async with (
        Emulator(duration=0, files_port=0, picture_scale=1 / 16) as emulator,
        aiohttp.ClientSession(headers={"Authorization": "Bearer mine"}) as http,
        Session("sk-emulator", base_url=emulator.url, http=http) as session,
    ):
        task = await session.generate(FOX)
        assert len(await session.download(task, tmp_path)) == 1
        assert (emulator.counters.keys_leaked, emulator.counters.wrong_keys) == (0, 0)


@pytest.mark.parametrize("seconds", ["5", -1, float("nan"), True])
async def test_the_callers_estimate_is_validated(seconds: float, open_session: OpenSession):
    async with open_session() as session:
        with pytest.raises(InvalidRequestError, match="estimated_time"):
            session.attach("task-1", estimated_time=seconds)


async def test_extra_headers_are_sent(emulator: Emulator, open_session: OpenSession):
    async with open_session(headers={"X-Team": "night shift"}) as session:
        await session.submit(FOX)
    assert emulator.calls[-1].headers["X-Team"] == "night shift"


@pytest.mark.parametrize("name", ["submit", "generate"])
async def test_a_value_that_is_not_a_request_is_refused(name: str, open_session: OpenSession):
    async with open_session() as session:
        with pytest.raises(InvalidRequestError, match="PhotaImage"):
            await getattr(session, name)("a fox")
        with pytest.raises(InvalidRequestError):
            session.fan_out("a fox")  # type: ignore[arg-type]


async def test_retrieve_polls_once(emulator: Emulator, open_session: OpenSession):
    async with open_session() as session:
        handle = await session.submit(FOX)
        before = emulator.counters.polls
        task = await session.retrieve(handle.id)
        assert task.id == handle.id
        assert emulator.counters.polls == before + 1


async def test_retrieve_retries_a_failed_poll(emulator: Emulator, open_session: OpenSession):
    async with open_session() as session:
        handle = await session.submit(FOX)
        for effect in (Drop(), html(200), error(500)):
            emulator.script(Fault("poll", effect, when=lambda call: call.query.get("x") is None))
            assert (await session.retrieve(handle.id)).id == handle.id


async def test_retrieve_of_an_unknown_task_raises_not_found(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session() as session:
        with pytest.raises(NotFoundError) as caught:
            await session.retrieve("task-unknown")
        assert caught.value.task_id == "task-unknown"
    assert emulator.counters.polls == 1


@pytest.mark.parametrize("task_id", ["", ".", "..", "a/b", "a b", "a?b", "a#b", "x" * 257, None, 7])
async def test_an_invalid_task_id_is_refused_before_it_becomes_a_path(
    task_id: str, emulator: Emulator, open_session: OpenSession
):
    async with open_session() as session:
        with pytest.raises(InvalidRequestError):
            await session.retrieve(task_id)
        with pytest.raises(InvalidRequestError):
            session.attach(task_id)
    assert emulator.counters.requests == 0


async def test_another_session_can_attach_a_task(emulator: Emulator, open_session: OpenSession):
    async with open_session() as session:
        handle = await session.submit(FOX)
    async with open_session() as session:
        attached = session.attach(handle.id)
        assert attached.request is None
        assert attached.latest.status is TaskStatus.PENDING
        assert attached in session.in_flight
        task = await attached
        assert task.id == handle.id
        assert session.attach(handle.id) is not None
    assert emulator.counters.posts == 1


async def test_attaching_a_task_in_flight_returns_an_equal_handle(open_session: OpenSession):
    async with open_session() as session:
        handle = await session.submit(FOX)
        again = session.attach(handle.id)
        assert again == handle
        assert hash(again) == hash(handle)
        assert again.request == FOX


async def test_a_handle_shows_its_key_id_and_state(open_session: OpenSession):
    async with open_session() as session:
        handle = await session.submit(FOX, key="mine")
        assert (handle.key, handle.done) == ("mine", False)
        assert handle.id in repr(handle)
        assert handle != handle.id
        await handle
        assert handle.done
        assert "1 in flight" not in repr(session)


async def test_updates_start_with_the_current_state_and_end_with_the_final_state(
    emulator: Emulator, open_session: OpenSession
):
    polls = [{"status": "processing", "progress": progress} for progress in (10, 40, 40, 80)]
    emulator.script(Fault("submit", Fate(looks=polls, duration=1)))
    async with open_session() as session:
        handle = await session.submit(FOX)
        seen = [(task.status.value, task.progress) async for task in handle.updates()]
        assert seen == [
            ("pending", 0),
            ("processing", 10),
            ("processing", 40),
            ("processing", 80),
            ("completed", 100),
        ]
        assert [task.status.value async for task in handle.updates()] == ["completed"]


@pytest.mark.parametrize("word", ["failed", "cancelled", "canceled"])
async def test_updates_of_a_failed_task_end_with_its_final_state_and_do_not_raise(
    word: str, emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(ends_as=word, duration=2)))
    async with open_session() as session:
        handle = await session.submit(FOX)
        tasks = [task async for task in handle.updates()]
        assert tasks[-1].status.is_terminal


async def test_updates_raise_when_polling_gives_up(emulator: Emulator, open_session: OpenSession):
    emulator.script(Fault("submit", Fate(duration=1000)))
    async with open_session(polling=Polling(give_up_after=5)) as session:
        handle = await session.submit(FOX)
        with pytest.raises(FoxAPIError, match=handle.id):
            [task async for task in handle.updates()]


async def test_leaving_updates_early_does_not_affect_the_task(open_session: OpenSession):
    async with open_session() as session:
        handle = await session.submit(FOX)
        async for _ in handle.updates():
            break
        gc.collect()
        await anyio.lowlevel.checkpoint()
        assert (await handle).outputs


async def test_events_report_each_step_of_a_submission(
    emulator: Emulator, open_session: OpenSession
):
    events: list[Event] = []
    emulator.script(Fault("submit", error(400)))
    async with open_session(on_event=events.append) as session:
        with pytest.raises(FoxAPIError):
            await session.submit(FOX)
        task = await session.generate(FOX, key="mine")
    kinds = [type(event) for event in events]
    assert kinds[:4] == [SubmissionStarted, SubmissionFailed, SubmissionStarted, TaskSubmitted]
    assert kinds[-2:] == [TaskUpdated, TaskEnded]
    ended = events[-1]
    assert isinstance(ended, TaskEnded)
    assert (ended.task_id, ended.task, ended.error, ended.request) == (task.id, task, None, FOX)
    assert ended.seconds > 0


async def test_a_listener_that_raises_does_not_affect_the_task(
    open_session: OpenSession, caplog: pytest.LogCaptureFixture
):
    def listen(event: Event) -> None:
        raise RuntimeError("listener failed")

    async with open_session(on_event=listen) as session:
        assert (await session.generate(FOX)).outputs
    assert "listener failed" in caplog.text


async def test_an_unreadable_answer_to_one_poll_affects_no_other_task(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("poll", Answer(200, b"[" * 100_000)), Fault("poll", not_json(), times=3))
    async with open_session() as session:
        handles = [await session.submit(FOX) for _ in range(5)]
        for handle in handles:
            assert (await handle).outputs


@pytest.mark.parametrize("timeout", [float("nan"), "5", -1, -0.001, True, b"5", [5], float("-inf")])
async def test_a_timeout_that_is_not_a_number_of_seconds_is_refused(
    timeout, emulator, open_session
):
    async with open_session() as session:
        with pytest.raises(InvalidRequestError, match="timeout is ") as refused:
            await session.generate(PhotaImage("a fox"), timeout=timeout)
        assert refused.value.field == "timeout"
        assert emulator.counters.images_billed == 0
        handle = await session.submit(PhotaImage("a fox"))
        for _ in range(2):  # before and after the end
            with pytest.raises(InvalidRequestError, match="timeout is "):
                await handle.wait(timeout=timeout)
            await handle.wait()


async def test_a_timeout_may_be_of_any_numeric_type(open_session):
    class Seconds:
        def __float__(self) -> float:
            return 3600.0

    async with open_session() as session:
        for timeout in (Seconds(), float("inf"), 10**400, 3600, None):
            handle = await session.submit(PhotaImage("a fox"))
            assert (await handle.wait(timeout)).outputs
            assert (await session.generate(PhotaImage("a fox"), timeout=timeout)).outputs
