"""Cancellation leaks nothing, and the id of a billed task is never lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import anyio
import pytest
from aiohttp import ClientSession, web

from foxapi_async import (
    APITimeoutError,
    Limits,
    PhotaImage,
    Session,
    SessionClosedError,
    SubmissionUnknownError,
    TaskTimeoutError,
    Timeout,
)
from foxapi_async.emulator import Delay, Emulator, Fate, Fault, Hang
from tests.conftest import OpenSession

FOX = PhotaImage("a fox in the snow")


async def cancel_natively(call: Callable[[], Awaitable[object]], after: float) -> None:
    async with asyncio.timeout(after):
        await call()


async def cancel_by_wait_for(call: Callable[[], Awaitable[object]], after: float) -> None:
    await asyncio.wait_for(call(), after)


async def cancel_by_scope(call: Callable[[], Awaitable[object]], after: float) -> None:
    with anyio.fail_after(after):
        await call()


async def cancel_twice(call: Callable[[], Awaitable[object]], after: float) -> None:
    task = asyncio.ensure_future(call())
    await anyio.sleep(after)
    for _ in range(3):
        task.cancel()
        await anyio.sleep(0.1)
    try:
        await task
    except asyncio.CancelledError:
        raise TimeoutError from None


WAYS = [cancel_natively, cancel_by_wait_for, cancel_by_scope, cancel_twice]


@pytest.mark.parametrize("cancel", WAYS)
@pytest.mark.parametrize("method", ["submit", "generate"])
async def test_a_post_in_progress_is_finished_despite_cancellation(
    cancel: Callable[..., Awaitable[None]],
    method: str,
    emulator: Emulator,
    open_session: OpenSession,
):
    emulator.script(Fault("submit", [Delay(3, carried_out=True), Fate(duration=60)]))
    async with open_session() as session:
        with pytest.raises(TimeoutError):
            await cancel(lambda: getattr(session, method)(FOX), 1)
        [handle] = session.in_flight
        assert handle.request == FOX
        assert [handle.id] == list(emulator.tasks)
        assert (await handle).outputs
        assert session.statistics().images_in_flight == 0
    assert (emulator.counters.posts, emulator.counters.images_billed) == (1, 1)


@pytest.mark.parametrize("cancel", WAYS)
async def test_a_post_that_times_out_after_its_caller_was_cancelled_counts_as_unknown(
    cancel: Callable[..., Awaitable[None]],
    emulator: Emulator,
    open_session: OpenSession,
    caplog: pytest.LogCaptureFixture,
):
    emulator.script(Fault("submit", Hang(carried_out=True)))
    async with open_session(timeout=Timeout(request=4)) as session:
        with pytest.raises(TimeoutError):
            await cancel(lambda: session.submit(FOX), 1)
        assert session.statistics().unknown == 1
        assert session.statistics().images_in_flight == 0
    assert "may have created" in caplog.text


async def test_the_timeout_of_generate_raises_with_the_id_of_the_running_task(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=60)))
    async with open_session() as session:
        began = anyio.current_time()
        with pytest.raises(TaskTimeoutError) as caught:
            await session.generate(FOX, timeout=10)
        assert 10 <= anyio.current_time() - began < 11
        assert caught.value.task_id is not None
        assert (await session.attach(caught.value.task_id)).outputs


async def test_the_timeout_of_generate_waits_for_a_post_in_progress(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Delay(3, carried_out=True)))
    async with open_session() as session:
        with pytest.raises(TaskTimeoutError) as caught:
            await session.generate(FOX, timeout=1)
        assert caught.value.task_id in emulator.tasks


async def test_the_timeout_of_generate_reports_an_unknown_submission(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Hang(carried_out=True)))
    async with open_session(timeout=Timeout(request=3)) as session:
        with pytest.raises(SubmissionUnknownError):
            await session.generate(FOX, timeout=1)


async def test_the_timeout_of_generate_ends_the_wait_for_a_slot_and_sends_nothing(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=60)))
    async with open_session(limits=Limits(outputs=1)) as session:
        await session.submit(FOX)
        with pytest.raises(APITimeoutError) as caught:
            await session.generate(FOX, timeout=2)
        assert caught.value.sent is False
    assert emulator.counters.posts == 1


async def test_cancelling_while_waiting_for_a_slot_keeps_the_queue_in_order(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=30)))
    order: list[str] = []
    async with open_session(limits=Limits(outputs=2)) as session:

        async def take(name: str, outputs: int) -> None:
            await session.submit(PhotaImage(name, num_outputs=outputs))
            order.append(name)

        await session.submit(FOX)
        async with anyio.create_task_group() as tasks:
            cancelled = asyncio.ensure_future(take("cancelled", 2))
            await anyio.sleep(1)
            tasks.start_soon(take, "light", 1)
            await anyio.sleep(1)
            assert order == []  # the submission that waits for two slots is not overtaken
            cancelled.cancel()
        assert order == ["light"]
        with pytest.raises(asyncio.CancelledError):
            await cancelled
    assert emulator.counters.posts == 2


async def test_cancelling_before_the_post_is_sent_releases_everything(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(submissions_per_second=0.1)) as session:
        await session.submit(FOX)
        with pytest.raises(TimeoutError):
            await cancel_natively(lambda: session.submit(FOX), 3)
        statistics = session.statistics()
        assert (statistics.submitted, statistics.images_in_flight) == (1, 1)
    assert emulator.counters.posts == 1


async def test_cancelling_one_waiter_cancels_neither_the_task_nor_other_waiters(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session() as session:
        handle = await session.submit(FOX)
        other = asyncio.ensure_future(handle.wait())
        with pytest.raises(TimeoutError):
            await cancel_natively(handle.wait, 1)
        assert (await other).outputs
        assert (await handle).outputs


@pytest.mark.parametrize("moment", [0, 0.01, 0.5, 1.0, 1.5, 2.5, 4.0])
@pytest.mark.parametrize("cancel", WAYS)
async def test_a_session_is_usable_and_idle_after_a_cancellation_at_any_moment(
    cancel: Callable[..., Awaitable[None]],
    moment: float,
    emulator: Emulator,
    open_session: OpenSession,
):
    emulator.script(
        Fault("submit", [Delay(1), Delay(1, carried_out=True), Fate(duration=5)], times=None)
    )
    async with open_session(limits=Limits(outputs=1)) as session:
        with pytest.raises(TimeoutError):
            await cancel(lambda: session.generate(FOX), moment)
        for handle in session.in_flight:
            await handle
        assert session.statistics().images_in_flight == 0
        assert (await session.generate(FOX)).outputs
        assert session.statistics().images_billed == emulator.counters.images_billed
    assert emulator.counters.max_images_in_flight == 1


async def test_leaving_the_block_waits_for_a_post_in_progress_and_logs_its_task(
    emulator: Emulator, open_session: OpenSession, caplog: pytest.LogCaptureFixture
):
    emulator.script(Fault("submit", Delay(3, carried_out=True)))
    async with open_session() as session:
        submission = asyncio.ensure_future(session.submit(FOX))
        await anyio.sleep(1)
    handle = await submission
    assert [handle.id] == list(emulator.tasks)
    assert [r for r in caplog.records if r.levelno == logging.WARNING and handle.id in r.message]
    with pytest.raises(SessionClosedError) as caught:
        await handle
    assert caught.value.task_id == handle.id


async def test_leaving_the_block_is_not_interrupted_by_a_cancellation(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Delay(3, carried_out=True)))
    submissions: list[asyncio.Future[object]] = []

    async def block() -> None:
        async with open_session() as session:
            submissions.append(asyncio.ensure_future(session.submit(FOX)))
            await anyio.sleep(1)

    with pytest.raises(TimeoutError):
        await cancel_natively(block, 2)
    await submissions[0]
    assert emulator.counters.images_billed == 1


async def test_submissions_that_wait_for_a_slot_end_with_the_session(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(outputs=1)) as session:
        await session.submit(FOX)
        waiting = asyncio.ensure_future(session.submit(FOX))
        await anyio.sleep(1)
    with pytest.raises(SessionClosedError) as caught:
        await waiting
    assert caught.value.task_id is None
    assert emulator.counters.posts == 1


async def test_a_disconnecting_web_client_loses_no_task_id(emulator: Emulator):
    emulator.script(Fault("submit", Delay(3, carried_out=True)))
    key: web.AppKey[Session] = web.AppKey("session", Session)

    async def draw(request: web.Request) -> web.Response:
        task = await request.app[key].generate(FOX)
        return web.json_response({"id": task.id})

    app = web.Application()
    app.router.add_get("/", draw)
    async with Session("sk-emulator", base_url=emulator.url) as session:
        app[key] = session
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with ClientSession() as browser:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await browser.get(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await anyio.sleep(5)
        [handle] = session.in_flight
        assert [handle.id] == list(emulator.tasks)
        await runner.cleanup()
