"""The whole way of a caller in real time, so that it runs on every event loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from foxapi_async import (
    Limits,
    PhotaImage,
    PhotaImageEdit,
    Polling,
    Session,
    SessionClosedError,
    SubmissionUnknownError,
    TaskFailedError,
    TaskTimeoutError,
)
from foxapi_async.emulator import Delay, Drop, Emulator, Fate, Fault, rate_limit
from foxapi_async.events import Event, TaskEnded
from tests.cli.process import until

pytestmark = pytest.mark.ordinary_loop

FOX = PhotaImage("a fox in the snow")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(duration=(0.05, 0.3), picture_scale=1 / 16, seed=1) as emulator:
        yield emulator


async def test_a_task_is_submitted_polled_and_downloaded(
    emulator: Emulator, tmp_path: Path, open_session
):
    async with open_session() as session:
        handle = await session.submit(PhotaImage("a fox", num_outputs=2))
        seen = [task.status async for task in handle.updates()]
        task = await handle
        paths = await session.download(task, tmp_path)
        content = await session.read(task.outputs[0])
    assert seen[-1].is_terminal
    assert len(paths) == 2
    assert paths[0].read_bytes() == content
    assert emulator.counters.images_billed == 2


async def test_many_requests_are_mapped_within_the_limit(emulator: Emulator, open_session):
    requests = [PhotaImage(f"fox {number}") for number in range(40)]
    async with open_session(limits=Limits(outputs=8)) as session:
        outcomes = [outcome async for outcome in session.map(requests, ordered=True)]
    assert [outcome.status for outcome in outcomes] == ["completed"] * 40
    assert [outcome.request for outcome in outcomes] == requests
    assert emulator.counters.images_billed == 40
    assert emulator.counters.max_images_in_flight <= 8


async def test_one_request_is_fanned_out(emulator: Emulator, open_session):
    async with open_session() as session:
        request = PhotaImage("a fox", num_outputs=4)
        outcomes = [outcome async for outcome in session.fan_out(request)]
    assert [outcome.status for outcome in outcomes] == ["completed"] * 4
    assert emulator.counters.posts == 4


async def test_a_key_is_paid_for_once_across_sessions(
    emulator: Emulator, tmp_path: Path, open_session
):
    pairs = [(f"key {number}", PhotaImage(f"fox {number}")) for number in range(8)]
    for _ in range(2):
        async with open_session(journal=tmp_path / "journal") as session:
            outcomes = [outcome async for outcome in session.map(pairs)]
            assert {outcome.status for outcome in outcomes} == {"completed"}
    assert emulator.counters.images_billed == 8


async def test_a_file_is_uploaded_and_used(emulator: Emulator, tmp_path: Path, open_session):
    async with open_session() as session:
        [picture] = await session.download(await session.generate(FOX), tmp_path)
        uploaded = await session.upload(picture)
        edit = PhotaImageEdit("a hat", image_urls=[uploaded.url])
        assert (await session.generate(edit)).outputs
    assert emulator.counters.images_billed == 2


async def test_a_rate_limit_is_waited_for(emulator: Emulator, open_session):
    emulator.script(Fault("submit", rate_limit(1), times=2))
    async with open_session() as session:
        assert (await session.generate(FOX)).outputs
    assert emulator.counters.images_billed == 1


async def test_errors_reach_the_caller(emulator: Emulator, open_session):
    emulator.script(Fault("submit", Drop(carried_out=True)))
    emulator.script(Fault("submit", Fate(ends_as="failed")))
    async with open_session() as session:
        with pytest.raises(SubmissionUnknownError):
            await session.generate(FOX)
        with pytest.raises(TaskFailedError):
            await session.generate(FOX)
        assert (await session.generate(FOX)).outputs


async def test_a_cancelled_submission_keeps_its_task(emulator: Emulator, open_session):
    emulator.script(Fault("submit", Delay(1, carried_out=True)))
    async with open_session() as session:
        submitting = asyncio.ensure_future(session.submit(FOX))
        await until(lambda: emulator.counters.posts > 0)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        [handle] = session.in_flight
        assert (await handle).outputs
    assert emulator.counters.images_billed == 1


async def test_a_wait_ends_with_its_session(emulator: Emulator, open_session):
    emulator.script(Fault("submit", Fate(duration=60)))
    async with open_session() as session:
        handle = await session.submit(FOX)
        waiting = asyncio.ensure_future(handle.wait())
        await anyio.sleep(0.05)
    with pytest.raises(SessionClosedError):
        await waiting
    async with open_session() as session:
        assert session.attach(handle.id).id == handle.id


async def test_events_of_a_task_come_in_order(emulator: Emulator, tmp_path: Path, open_session):
    events: list[Event] = []
    async with open_session(on_event=events.append) as session:
        await session.download(await session.generate(FOX), tmp_path)
    names = [type(event).__name__ for event in events]
    assert names.index("TaskSubmitted") < names.index("TaskEnded")


async def test_many_callers_share_a_session(emulator: Emulator, open_session):
    async with open_session() as session:
        tasks = await asyncio.gather(*(session.generate(FOX) for _ in range(20)))
    assert len({task.id for task in tasks}) == 20


async def test_the_loop_is_the_one_that_was_asked_for(pytestconfig: pytest.Config):
    loop = asyncio.get_running_loop()
    assert ("uvloop" in str(type(loop))) == (pytestconfig.getoption("--loop") == "uvloop")
    if pytestconfig.getoption("--eager-tasks"):
        assert loop.get_task_factory() is asyncio.eager_task_factory


def test_a_session_runs_in_a_loop_of_the_caller(foxapi_emulator: Emulator):
    async def draw() -> None:
        async with Session() as session:
            assert (await session.generate(FOX)).outputs

    asyncio.run(draw())
    anyio.run(draw)
    assert foxapi_emulator.counters.images_billed == 2


def test_the_command_runs_with_the_variables_of_this_environment(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "foxapi_async.cli", "demo", "-o", "out", "--speed", "30"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    assert "8 of 8 images saved" in done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.skipif("FOXAPI_TEST_INSTRUMENTED" not in os.environ, reason="aiohttp is as it is")
def test_aiohttp_is_instrumented_where_the_table_says_so():
    from opentelemetry.instrumentation.aiohttp_client import (  # noqa: PLC0415
        AioHttpClientInstrumentor,
    )

    assert AioHttpClientInstrumentor().is_instrumented_by_opentelemetry


async def test_a_listener_can_wait_for_a_task_again_whose_wait_has_expired(
    emulator: Emulator, open_session
):
    emulator.script(Fault("submit", Fate(duration=1)))
    again: list[asyncio.Task[object]] = []

    def attach_again(event: Event) -> None:
        if isinstance(event, TaskEnded) and isinstance(event.error, TaskTimeoutError) and not again:
            # With eager tasks it begins to wait before the end of the first wait is over.
            again.append(asyncio.ensure_future(wait(event.task_id)))

    async def wait(task_id: str) -> object:
        return (await session.attach(task_id).wait(0.01)).status

    polling = Polling(give_up_after=0.3, min_interval=0.05)
    async with open_session(on_event=attach_again, polling=polling) as session:
        with pytest.raises(TaskTimeoutError):
            await session.generate(FOX)
        with pytest.raises(TaskTimeoutError, match="after waiting"):
            await again[0]
