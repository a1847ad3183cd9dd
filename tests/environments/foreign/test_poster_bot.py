"""The tests of that app: pytest-asyncio runs the async ones, our plugin gives the emulator."""

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio
from poster_bot import draw, draw_all

from foxapi_async import PhotaImage, Session, TaskFailedError
from foxapi_async.emulator import Emulator, Fate, Fault


@pytest_asyncio.fixture
async def session(foxapi_emulator: Emulator):
    async with Session() as session:
        yield session


async def test_a_poster_is_drawn(foxapi_emulator: Emulator, tmp_path: Path):
    [path] = await draw("a fox", tmp_path)
    assert path.read_bytes()
    assert foxapi_emulator.counters.images_billed == 1


async def test_posters_are_drawn_once_for_each_key(foxapi_emulator: Emulator, tmp_path: Path):
    for _ in range(2):
        paths = await draw_all(["a fox", "an owl", "a hare"], tmp_path)
        assert {path.stem for path in paths} == {"a fox", "an owl", "a hare"}
    assert foxapi_emulator.counters.images_billed == 3


async def test_an_async_fixture_may_hold_the_session(session: Session, foxapi_emulator: Emulator):
    foxapi_emulator.script(Fault("submit", Fate(ends_as="failed")))
    with pytest.raises(TaskFailedError):
        await session.generate(PhotaImage("a fox"))


def test_a_sync_test_may_run_a_loop_of_its_own(foxapi_emulator: Emulator, tmp_path: Path):
    assert len(asyncio.run(draw("a fox", tmp_path))) == 1
