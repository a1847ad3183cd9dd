"""What every test may use."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import pytest
from hypothesis import settings

from foxapi_async import Session
from foxapi_async.emulator import Emulator
from tests.virtual_time import VirtualTimeLoop

# How long an example takes says more about the machine than about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

MOST_WORKERS = 16

OpenSession = Callable[..., Session]


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Run twice as many workers as there are processors, for tests that start processes mostly wait."""
    processors = yield
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:  # somebody knows better
        return processors
    return max(processors, min(2 * processors, MOST_WORKERS))


@pytest.fixture(autouse=True)
def log_as_it_was() -> Generator[None, None, None]:
    """Undo what a command that ran in this process has done to the log: its screen is gone."""
    logger = logging.getLogger("foxapi_async")
    before = list(logger.handlers), logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate, level = before
    logger.setLevel(level)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run async tests in virtual time, with asyncio's own debug checks unless there is much to do."""
    options: dict[str, Any] = {"debug": request.node.get_closest_marker("much") is None}
    if request.node.get_closest_marker("ordinary_loop") is None:
        options["loop_factory"] = VirtualTimeLoop
    return ("asyncio", options)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A local FoxAPI whose tasks take 5 to 20 seconds and whose pictures are tiny."""
    async with Emulator(duration=(5, 20), picture_scale=1 / 16, seed=1) as emulator:
        yield emulator


@pytest.fixture
def open_session(emulator: Emulator) -> OpenSession:
    """Make sessions on the emulator."""

    def make(**options: Any) -> Session:
        return Session("sk-emulator", base_url=emulator.url, **options)

    return make
