"""Fixtures for all tests."""

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

# The duration of an example depends on the machine more than on the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

MOST_WORKERS = 16

OpenSession = Callable[..., Session]


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Use two workers per processor: tests that start processes mostly wait."""
    processors = yield
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:  # the caller's choice
        return processors
    return max(processors, min(2 * processors, MOST_WORKERS))


@pytest.fixture(autouse=True)
def restore_logging() -> Generator[None, None, None]:
    """Undo changes to the logger by a CLI command that ran in this process."""
    logger = logging.getLogger("foxapi_async")
    before = list(logger.handlers), logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate, level = before
    logger.setLevel(level)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run async tests in virtual time, with asyncio's debug mode unless marked ``much``."""
    options: dict[str, Any] = {"debug": request.node.get_closest_marker("much") is None}
    if request.node.get_closest_marker("ordinary_loop") is None:
        options["loop_factory"] = VirtualTimeLoop
    return ("asyncio", options)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A local FoxAPI whose tasks take 5 to 20 seconds and whose images are small."""
    async with Emulator(duration=(5, 20), picture_scale=1 / 16, seed=1) as emulator:
        yield emulator


@pytest.fixture
def open_session(emulator: Emulator) -> OpenSession:
    """Return a factory of sessions that use the emulator."""

    def make(**options: Any) -> Session:
        return Session("sk-emulator", base_url=emulator.url, **options)

    return make
