"""The fixture for users: it serves sync tests and async ones, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foxapi_async import PhotaImage, Session
from foxapi_async.emulator import Emulator


async def draw() -> int:
    async with Session() as session:
        return len((await session.generate(PhotaImage("a fox", num_outputs=2))).outputs)


def test_it_serves_a_sync_test(foxapi_emulator: Emulator):
    assert asyncio.run(draw()) == 2
    assert foxapi_emulator.counters.images_billed == 2


@pytest.mark.ordinary_loop
async def test_it_serves_an_async_test(foxapi_emulator: Emulator):
    assert await draw() == 2
    assert foxapi_emulator.counters.images_billed == 2


def test_the_environment_is_as_before_afterwards():
    assert "127.0.0.1" not in os.environ.get("FOXAPI_BASE_URL", "")


def test_a_project_finds_it_by_itself_and_may_choose_its_options(tmp_path: Path):
    (tmp_path / "test_app.py").write_text(
        """
import asyncio, pytest
from foxapi_async import PhotaImage, Session

@pytest.fixture
def foxapi_emulator_options():
    return {"duration": 0, "shape": "output", "picture_scale": 1 / 16}

async def draw():
    async with Session() as session:
        return await session.generate(PhotaImage("a fox"))

def test_draw(foxapi_emulator):
    assert "output" in asyncio.run(draw()).raw
"""
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=tmp_path,
        check=False,
    )
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_the_module_for_tests_has_the_emulator_and_the_fixtures():
    from foxapi_async import emulator, pytest_plugin, testing  # noqa: PLC0415

    for name in testing.__all__:
        source = pytest_plugin if name.startswith("foxapi_") else emulator
        assert getattr(testing, name) is getattr(source, name)
    assert set(testing.__all__) >= {"Emulator", "Fault", "foxapi_emulator"}
    with pytest.raises(AttributeError, match="no attribute 'Emulater'"):
        testing.Emulater  # type: ignore[attr-defined]  # noqa: B018
