"""How far it is from the caller to the wire: the Python calls of one `generate` with one poll."""

from __future__ import annotations

import inspect
import statistics
import sys
from pathlib import Path
from types import FrameType

import anyio
import pytest

import foxapi_async
from foxapi_async import PhotaImage
from foxapi_async.emulator import Emulator, Fate, Fault
from tests.conftest import OpenSession

PACKAGE = Path(foxapi_async.__file__).parent

MOST_CALLS, MOST_FUNCTIONS, MOST_MODULES = 300, 145, 23

RESUMABLE = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
BEGINNING = 10
"""The offset up to which a coroutine has just been entered rather than resumed."""


class Calls(list[tuple[str, str]]):
    """The calls of functions of the package, the emulator apart: (file, function)."""

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(f"{PACKAGE}/"):
            return
        name = code.co_filename.removeprefix(f"{PACKAGE}/")
        resumed = code.co_flags & RESUMABLE and frame.f_lasti > BEGINNING
        if not resumed and not name.startswith("emulator/"):
            self.append((name, code.co_qualname))


@pytest.mark.once
async def test_one_generation_takes_few_calls_in_few_modules(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=0.3, estimate=1.0), times=None))
    with_one_poll: list[Calls] = []
    async with open_session() as session:
        for number in range(13):
            calls, before = Calls(), session.statistics().polls
            sys.setprofile(calls)
            try:
                await session.generate(PhotaImage(f"fox {number}"))
            finally:
                sys.setprofile(None)
            # The first few build what later ones use.
            if number >= 3 and session.statistics().polls == before + 1:
                with_one_poll.append(calls)
            await anyio.sleep(0.3)
    assert len(with_one_poll) >= 3
    assert statistics.median(len(calls) for calls in with_one_poll) <= MOST_CALLS
    assert statistics.median(len(set(calls)) for calls in with_one_poll) <= MOST_FUNCTIONS
    modules = [{name for name, _ in calls} for calls in with_one_poll]
    assert statistics.median(len(each) for each in modules) <= MOST_MODULES, sorted(modules[-1])
