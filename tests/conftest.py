"""Fixtures and options for all tests."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from foxapi_async import Session
from foxapi_async.emulator import Emulator
from tests.postgres_server import PostgresServer, binaries, running_server
from tests.s3 import bucket, s3_server  # noqa: F401 - fixtures
from tests.virtual_time import CheckedLoop, VirtualTimeLoop

# The duration of an example depends on the machine more than on the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

MOST_WORKERS = 16

OpenSession = Callable[..., Session]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options with which `tests/environments` runs the tests on other event loops."""
    parser.addoption(
        "--loop",
        choices=["virtual", "ordinary", "uvloop"],
        default="virtual",
        help="event loop of async tests; all but 'virtual' leave out tests that need virtual time",
    )
    parser.addoption(
        "--eager-tasks",
        action="store_true",
        help="create tasks with asyncio.eager_task_factory (Python 3.12 or newer)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that need virtual time if the loop runs in real time."""
    if config.getoption("--loop") == "virtual":
        return
    left_out = [item for item in items if _needs_virtual_time(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not _needs_virtual_time(item)]


def _needs_virtual_time(item: pytest.Item) -> bool:
    function = getattr(item, "function", None)
    return inspect.iscoroutinefunction(function) and not item.get_closest_marker("ordinary_loop")


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


@pytest.fixture(autouse=True)
def no_coverage_of_kills_and_benchmarks(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Generator[None, None, None]:
    """Measure no coverage in tests marked `once` and in their processes: it would only slow them."""
    coverage = sys.modules.get("coverage")
    measuring = coverage.Coverage.current() if coverage is not None else None
    if measuring is None or request.node.get_closest_marker("once") is None:
        yield
        return
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)
    measuring.stop()
    yield
    measuring.start()


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run async tests on the chosen loop; in asyncio's debug mode only if the interpreter asks for it."""
    debug = False if request.node.get_closest_marker("much") else None
    new_loop = _loop_class(request)
    eager = request.config.getoption("--eager-tasks")

    def loop_factory() -> asyncio.AbstractEventLoop:
        loop = new_loop()
        if eager:
            loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    return ("asyncio", {"debug": debug, "loop_factory": loop_factory})


def _loop_class(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    if request.config.getoption("--loop") == "uvloop":
        import uvloop  # noqa: PLC0415 - installed in one of the environments only

        return uvloop.Loop
    if request.node.get_closest_marker("ordinary_loop") is None:
        return VirtualTimeLoop
    return CheckedLoop


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


@pytest.fixture(scope="session")
def postgres() -> Generator[PostgresServer, None, None]:
    """A PostgreSQL server that several tests share; each uses a journal of its own name."""
    pytest.importorskip("psycopg")
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with running_server() as server:
        yield server


@pytest.fixture
def unique_name() -> str:
    """A name for a journal that no other test has."""
    return uuid.uuid4().hex


@pytest.fixture(params=["sqlite", "postgres"])
def journal_address(request: pytest.FixtureRequest, tmp_path: Path, unique_name: str) -> str:
    """The address of a journal of each kind, as `Session` takes it."""
    if request.param == "sqlite":
        return str(tmp_path / "jobs.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return f"{server.dsn}#{unique_name}"
