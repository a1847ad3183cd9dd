"""An emulator in the event loop of the facade, whose clock skips to the next timer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio.from_thread
import pytest
from anyio.from_thread import BlockingPortal

from foxapi_async.emulator import Emulator
from foxapi_async.sync import Session, loop_thread
from tests.virtual_time import VirtualTimeLoop

OpenSyncSession = Callable[..., Session]


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockingPortal]:
    """The loop of all sessions of the test, in virtual time; it ends with the test."""
    options = {"loop_factory": VirtualTimeLoop}
    with anyio.from_thread.start_blocking_portal("asyncio", options) as portal:

        @contextmanager
        def shared(*_: object, **__: object) -> Iterator[BlockingPortal]:
            yield portal

        monkeypatch.setattr(loop_thread, "start_blocking_portal", shared)
        yield portal


@pytest.fixture
def emulator(portal: BlockingPortal) -> Iterator[Emulator]:
    emulator = Emulator(duration=(5, 20), picture_scale=1 / 16, seed=1)
    portal.call(emulator.start)
    yield emulator
    portal.call(emulator.stop)


@pytest.fixture
def open_session(emulator: Emulator) -> OpenSyncSession:
    def make(**options: Any) -> Session:
        return Session("sk-emulator", base_url=emulator.url, **options)

    return make
