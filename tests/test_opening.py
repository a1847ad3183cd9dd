"""`open` and `aclose` in place of `async with`, as in the cells of a notebook."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings

import anyio
import pytest

from foxapi_async import ConfigurationError, Journal, PhotaImage, Session, SessionClosedError
from foxapi_async.emulator import Emulator
from tests.conftest import OpenSession

FOX = PhotaImage("a fox")


async def test_a_session_survives_the_task_that_opened_it(open_session: OpenSession):
    session = open_session()

    async def cell() -> None:
        assert await session.open() is session

    await asyncio.create_task(cell())
    task = await asyncio.create_task(session.generate(FOX))
    assert (await asyncio.create_task(session.retrieve(task.id))).id == task.id
    await asyncio.create_task(session.aclose())
    with pytest.raises(SessionClosedError):
        await session.generate(FOX)


async def test_closing_twice_or_at_once_or_before_opening_is_harmless(open_session: OpenSession):
    session = open_session()
    await session.aclose()
    await session.open()
    handle = await session.submit(FOX)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(session.aclose)
    await session.aclose()
    with pytest.raises(SessionClosedError):
        await handle.wait()


async def test_a_second_close_waits_for_the_first(open_session: OpenSession, tmp_path):
    session = await open_session(journal=tmp_path / "journal.db").open()
    await session.submit(FOX, key="fox")
    first = asyncio.create_task(session.aclose())
    await asyncio.sleep(0)
    await session.aclose()
    assert session._engine is not None
    assert session._engine.has_finished
    await first


async def test_opening_twice_is_refused_also_after_the_end(open_session: OpenSession):
    session = await open_session().open()
    with pytest.raises(ConfigurationError, match="opened once"):
        await session.open()
    await session.aclose()
    with pytest.raises(ConfigurationError, match="create a new Session"):
        await session.open()


async def test_a_session_is_not_usable_while_it_is_being_opened(
    open_session: OpenSession, tmp_path
):
    session = open_session(journal=tmp_path / "journal.db")
    opening = asyncio.create_task(session.open())
    await asyncio.sleep(0)
    with pytest.raises(ConfigurationError, match=r"session\.open\(\)"):
        await session.submit(FOX)
    await opening
    await session.aclose()


async def test_a_session_that_could_not_be_opened_leaves_nothing_behind(
    open_session: OpenSession, tmp_path
):
    session = open_session(journal=tmp_path / "no folder" / "journal.db")
    with pytest.raises(ConfigurationError):
        await session.open()
    await session.aclose()
    with pytest.raises(ConfigurationError, match="not open"):
        await session.submit(FOX)


async def test_the_end_of_a_block_and_a_close_within_it_agree(open_session: OpenSession):
    async with open_session() as session:
        await session.generate(FOX)
        await session.aclose()


async def test_closing_from_another_event_loop_is_refused(open_session: OpenSession):
    session = await open_session().open()
    with pytest.raises(ConfigurationError, match="another event loop"):
        await anyio.to_thread.run_sync(lambda: asyncio.run(session.aclose()))
    await session.aclose()
    await anyio.to_thread.run_sync(lambda: asyncio.run(session.aclose()))  # nothing is left to do


async def test_a_session_that_was_never_closed_warns_as_aiohttp_does(
    open_session: OpenSession, caplog: pytest.LogCaptureFixture
):
    session = await open_session().open()
    engine = session._engine
    assert engine is not None
    with pytest.warns(ResourceWarning, match=r"unclosed session <Session http"):  # noqa: PT031
        del session
        gc.collect()
    assert "call `await session.aclose()`" in caplog.text
    await engine.aclose()


async def test_a_session_that_was_closed_or_never_opened_warns_of_nothing(
    open_session: OpenSession,
):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session = await open_session().open()
        await session.aclose()
        del session
        open_session()
        with pytest.raises(ConfigurationError):
            Session("")
        gc.collect()


CELLS = """
import asyncio, sys
from foxapi_async import ConfigurationError, PhotaImage, Session, SessionClosedError
session = Session(journal=sys.argv[1])

async def main():
    await session.open()
    print((await session.generate(PhotaImage("a fox"))).status.value)
    print((await session.submit(PhotaImage("a wolf"), key="wolf")).id)

asyncio.run(main())
for call in (session.generate(PhotaImage("a fox")), session.aclose()):
    try:
        asyncio.run(call)
    except (ConfigurationError, SessionClosedError) as error:
        print(type(error).__name__)
"""


@pytest.mark.ordinary_loop
def test_the_ids_in_flight_are_known_if_the_event_loop_ends_before_the_session(
    foxapi_emulator: Emulator, tmp_path
):
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", CELLS, str(tmp_path / "journal.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    status, task_id, *refusals = done.stdout.split()
    assert status == "completed"
    assert refusals == ["SessionClosedError", "ConfigurationError"]
    assert done.returncode == 0
    assert f"waits for them again: {task_id}\n" in done.stderr
    assert "ResourceWarning: unclosed session" in done.stderr
    (entry,) = Journal(tmp_path / "journal.db").unfinished()
    assert entry.task_id == task_id
