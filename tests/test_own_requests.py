"""Requests of the caller's own class, whose code may raise whenever it is asked for something."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from foxapi_async import ConfigurationError, Journal, Limits, PhotaImage, Request
from foxapi_async.emulator import Emulator
from tests.conftest import OpenSession

FOX = PhotaImage("a fox in the snow")
PARTS = ("model", "kind", "path", "num_outputs", "payload")

T = TypeVar("T")
Case = tuple[str, int, bool, str | None]


class Moody(Request):
    """One part of it can be asked for only so often."""

    def __init__(self, part: str, times: int) -> None:
        self._part = part
        self._left = times

    @property
    def model(self) -> str:
        return self._told("model", "phota-image")

    @property
    def kind(self) -> str:
        return self._told("kind", "image")

    @property
    def path(self) -> str:
        return self._told("path", "/v1/images/generations")

    @property
    def num_outputs(self) -> int:
        return self._told("num_outputs", 1)

    def payload(self) -> dict[str, Any]:
        return self._told("payload", {"model": "phota-image", "prompt": "a fox"})

    def _with_outputs(self, num_outputs: int) -> Self:
        raise NotImplementedError

    def _told(self, part: str, value: T) -> T:
        if part == self._part:
            if self._left == 0:
                raise LookupError("no words left")
            self._left -= 1
        return value


@pytest.mark.parametrize(
    "case", tuple(product(PARTS, range(7), [False, True], [None, "k"])), ids=str
)
async def test_a_request_that_does_not_tell_what_it_is_is_not_sent_or_comes_home(
    case: Case,
    emulator: Emulator,
    open_session: OpenSession,
    tmp_path: Path,
):
    part, times, with_journal, key = case
    journal = Journal(tmp_path / "journal") if with_journal else None
    requests = [("a", FOX), (key, Moody(part, times)), ("c", FOX)]
    async with open_session(journal=journal, limits=Limits(outputs=4)) as session:
        outcomes = {outcome.index: outcome async for outcome in session.map(requests)}
        assert [outcomes[index].status for index in (0, 2)] == ["completed", "completed"]
        if emulator.counters.images_billed == 3:
            assert outcomes[1].status == "completed"
        else:
            assert outcomes[1].status == "not_submitted"
            assert isinstance(outcomes[1].error, ConfigurationError)
            assert "before it was sent: LookupError('no words left')" in str(outcomes[1].error)
        counted = session.statistics()
        assert (counted.images_in_flight, counted.images_billed) == (
            0,
            emulator.counters.images_billed,
        )


async def test_a_request_that_does_not_tell_what_it_is_when_picked_up_takes_no_room(
    emulator: Emulator, open_session: OpenSession, tmp_path: Path
):
    journal = Journal(tmp_path / "journal")
    async with open_session(journal=journal) as session:
        await session.submit(Moody("payload", 99), key="k")
    async with open_session(journal=journal, limits=Limits(outputs=1)) as session:
        assert (await session.generate(Moody("payload", 1), key="k")).outputs
        with pytest.raises(ConfigurationError, match="no words left"):
            await session.generate(Moody("num_outputs", 0), key="k")
        await session.generate(FOX)
    assert emulator.counters.images_billed == 2
