"""Requests of the caller's own class, whose code may raise or return a payload that is not JSON."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from foxapi_async import (
    ConfigurationError,
    InvalidRequestError,
    Journal,
    Limits,
    PhotaImage,
    Request,
)
from foxapi_async.emulator import Emulator
from tests.conftest import OpenSession

FOX = PhotaImage("a fox in the snow")
PARTS = ("model", "kind", "path", "num_outputs", "payload")

T = TypeVar("T")
Case = tuple[str, int, bool, str | None]


class Moody(Request):
    """A request one part of which raises after a number of uses."""

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


@pytest.mark.once
@pytest.mark.much
@pytest.mark.parametrize(
    "case", tuple(product(PARTS, range(7), [False, True], [None, "k"])), ids=str
)
async def test_a_request_that_raises_is_not_sent_or_completes(
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


async def test_a_request_that_raises_when_resumed_takes_no_slot(
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


class Unencodable(Request):
    """A request with a value in its payload that is not JSON."""

    model, kind, path, num_outputs = "phota-image", "image", "/v1/images/generations", 1

    def __init__(self, value: object) -> None:
        self._value = value

    def payload(self) -> dict[str, Any]:
        return {"model": self.model, "prompt": "a fox", "seed": self._value}

    def _with_outputs(self, num_outputs: int) -> Self:
        raise NotImplementedError


def circular() -> list[object]:
    outermost: list[object] = []
    outermost.append(outermost)
    return outermost


@pytest.mark.parametrize("with_journal", [False, True])
@pytest.mark.parametrize(
    "value",
    [float("nan"), float("-inf"), object(), circular()],
    ids=["NaN", "-Infinity", "object", "circular"],
)
async def test_a_payload_that_is_not_json_is_refused_before_it_is_sent(
    value: object,
    with_journal: bool,
    emulator: Emulator,
    open_session: OpenSession,
    tmp_path: Path,
):
    journal = Journal(tmp_path / "journal") if with_journal else None
    request = Unencodable(value)
    async with open_session(journal=journal) as session:
        with pytest.raises(InvalidRequestError, match=r"field 'seed'.*finite numbers") as refused:
            await session.submit(request)
        assert (refused.value.field, refused.value.value) == ("seed", value)
        (outcome,) = [outcome async for outcome in session.map([("k", request)])]
        assert outcome.status == "not_submitted"
        assert isinstance(outcome.error, InvalidRequestError)
        counted = session.statistics()
        assert (counted.images_in_flight, counted.submitted) == (0, 0)
    assert emulator.counters.images_billed == 0


class Misshapen(Request):
    """A request one part of which has a wrong type or range."""

    model, kind, path, num_outputs = "phota-image", "image", "/v1/images/generations", 1

    def __init__(self, part: str, value: object) -> None:
        setattr(self, part, value)

    def payload(self) -> dict[str, Any]:
        return {"model": "phota-image", "prompt": "a fox"}

    def _with_outputs(self, num_outputs: int) -> Self:
        raise NotImplementedError


@pytest.mark.parametrize("with_journal", [False, True])
@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", None),
        ("kind", ["image"]),
        ("kind", 7),
        ("path", b"/v1"),
        ("num_outputs", -3),
        ("num_outputs", "2"),
    ],
)
async def test_a_part_of_a_wrong_type_is_refused_before_it_is_sent(
    part: str,
    value: object,
    *,
    with_journal: bool,
    emulator: Emulator,
    open_session: OpenSession,
    tmp_path: Path,
):
    journal = tmp_path / "journal.sqlite" if with_journal else None
    async with open_session(journal=journal) as session:
        with pytest.raises(InvalidRequestError, match=f"{part} of the request is") as refused:
            await session.submit(Misshapen(part, value))
        [outcome] = [outcome async for outcome in session.map([Misshapen(part, value)])]
    assert part in str(refused.value.field)
    assert outcome.status == "not_submitted"
    assert emulator.counters.images_billed == 0


class Illegible(Misshapen):
    """A request whose payload has a text that servers cannot take."""

    def payload(self) -> dict[str, Any]:
        return {"model": "m", "style": ["🦊", {"name": self.text}]}


@pytest.mark.parametrize("text", ["a\0", "\ud83e", "\udd8a\ud83e"])
@pytest.mark.parametrize("with_journal", [False, True])
async def test_a_text_that_cannot_be_sent_is_refused_before_it_is_sent(
    text: str, *, with_journal: bool, emulator: Emulator, open_session: OpenSession, tmp_path: Path
):
    journal = tmp_path / "journal.sqlite" if with_journal else None
    async with open_session(journal=journal) as session:
        with pytest.raises(InvalidRequestError, match=r"payload\(\)\['style'\]\[1\]\['name'\]"):
            await session.submit(Illegible("text", text))
        [outcome] = [outcome async for outcome in session.map([Illegible("text", text)])]
    assert outcome.status == "not_submitted"
    assert emulator.counters.images_billed == 0
