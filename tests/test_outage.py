"""Outages: submissions pause, cost a few POSTs whatever the length, and go on soon after the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import anyio
import pytest

from foxapi_async import (
    APIConnectionError,
    APITimeoutError,
    Event,
    FoxAPIError,
    Limits,
    Outcome,
    PhotaImage,
    Retry,
    ServerError,
    SubmissionUnknownError,
)
from foxapi_async.emulator import (
    Call,
    Drop,
    Effect,
    Emulator,
    Fate,
    Fault,
    Hang,
    error,
    html,
)
from foxapi_async.events import SubmissionsPaused, SubmissionsResumed
from tests.conftest import OpenSession

FOX = PhotaImage("a fox in the snow")

BROKEN: dict[str, Effect] = {
    "503": html(503),
    "500 of the API": error(500),
    "dropped": Drop(),
    "silent": Hang(),
}
WARM_UP = 75.0
OUTPUTS = 10


class Outage:
    """Faults of an emulator during a span of the loop's time."""

    def __init__(self, effect: Effect, seconds: float, *, gets_fail: bool) -> None:
        now = asyncio.get_running_loop().time()
        self.begin = now + WARM_UP
        self.end = self.begin + seconds
        routes = ("submit", "poll", "credits", "models") if gets_fail else ("submit",)
        self.faults = [
            Fault(route, effect, times=None, when=lambda _: self.is_on()) for route in routes
        ]

    def is_on(self) -> bool:
        return self.begin <= asyncio.get_running_loop().time() < self.end


async def run_through(
    outage: Outage, emulator: Emulator, open_session: OpenSession
) -> tuple[Sequence[Outcome], dict[float, int]]:
    """Map tasks of 20 s on average, at most ten at once, until 45 s after the session should be back."""
    emulator.script(*outage.faults)
    for spread in range(5):  # tasks of equal length would end in step
        fate = Fate(duration=12.0 + 4.0 * spread, estimate=20.0)
        mine = partial(_is_in_group, spread)
        emulator.script(Fault("submit", fate, times=None, when=mine))
    loop = asyncio.get_running_loop()
    length = outage.end - outage.begin
    stop = outage.end + max(30.0, length) + 45.0
    sent: dict[float, int] = {}

    def requests():
        number = 0
        while loop.time() < stop:
            number += 1
            yield PhotaImage(f"fox {number}")

    outcomes = []
    async with open_session(limits=Limits(outputs=OUTPUTS)) as session:
        async for outcome in session.map(requests()):
            outcomes.append(outcome)
            sent[loop.time()] = session.statistics().submitted
    return outcomes, sent


def _is_in_group(group: int, call: Call) -> bool:
    return int(call.prompt.partition(" ")[2]) % 5 == group


def rate(sent: dict[float, int], begin: float, end: float) -> float:
    counts = [count for moment, count in sent.items() if begin <= moment <= end]
    return (max(counts) - min(counts)) / (end - begin) if counts else 0.0


@pytest.mark.once
@pytest.mark.much
@pytest.mark.parametrize(
    ("kind", "seconds", "gets_fail"),
    [
        ("503", 180.0, True),
        ("500 of the API", 5.0, False),
        ("dropped", 180.0, False),
        ("silent", 20.0, False),
        ("silent", 60.0, True),
    ],
)
async def test_an_outage_costs_a_few_posts_and_the_session_recovers(
    kind: str, gets_fail: bool, seconds: float, emulator: Emulator, open_session: OpenSession
):
    outage = Outage(BROKEN[kind], seconds, gets_fail=gets_fail)
    outcomes, sent = await run_through(outage, emulator, open_session)
    usual = rate(sent, outage.begin - 40, outage.begin)
    back = outage.end + (30.0 if gets_fail else max(seconds, 30.0))
    assert rate(sent, back, back + 40) >= 0.8 * usual
    unknown = [outcome for outcome in outcomes if outcome.status == "unknown"]
    assert len(unknown) <= 5 + 2
    assert {outcome.status for outcome in outcomes} <= {"completed", "unknown"}


async def test_a_single_submit_waits_at_most_the_patience(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(*(Fault(route, html(503), times=None) for route in ("submit", "credits")))
    emulator.script(Fault("models", html(503), times=None))
    loop = asyncio.get_running_loop()
    async with open_session(retry=Retry(patience=60.0)) as session:
        for _ in range(2):
            with pytest.raises(SubmissionUnknownError):
                await session.submit(FOX)
        began = loop.time()
        with pytest.raises(APIConnectionError, match="patience=60") as caught:
            await session.submit(FOX)
        assert loop.time() - began == pytest.approx(60, abs=1)
        assert not caught.value.sent
        assert isinstance(caught.value.__cause__, SubmissionUnknownError | FoxAPIError)
        statistics = session.statistics()
    assert (statistics.unknown, statistics.not_submitted) == (2, 1)
    assert emulator.counters.posts == 2


async def test_generate_waits_as_long_as_its_timeout_allows(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", html(503), times=None))
    async with open_session() as session:
        for _ in range(2):
            with pytest.raises(SubmissionUnknownError):
                await session.generate(FOX, timeout=5)
        with pytest.raises(APITimeoutError, match="nothing was billed") as caught:
            await session.generate(FOX, timeout=1.5)
    assert isinstance(caught.value.__cause__, ServerError)
    assert emulator.counters.posts == 2


async def test_when_the_patience_is_over_the_rest_of_a_map_operation_is_not_submitted(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Drop(), times=None))
    async with open_session(retry=Retry(patience=120.0)) as session:
        requests = [PhotaImage(f"fox {number}") for number in range(100)]
        outcomes = [outcome async for outcome in session.map(requests)]
    statuses = [outcome.status for outcome in outcomes]
    assert set(statuses) == {"unknown", "not_submitted"}
    assert statuses.count("unknown") == emulator.counters.posts <= 2 + 5


@pytest.mark.parametrize("patience", [60.0, 900.0])
async def test_few_slots_do_not_make_the_patience_longer(
    patience: float, emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", html(503), times=None))
    loop = asyncio.get_running_loop()
    limits = Limits(outputs=1)
    async with open_session(retry=Retry(patience=patience), limits=limits) as session:
        began = loop.time()
        outcomes = [outcome async for outcome in session.map([FOX] * 30)]
    assert loop.time() - began == pytest.approx(patience, abs=3)
    statuses = [outcome.status for outcome in outcomes]
    assert statuses.count("unknown") == emulator.counters.posts <= 2 + 5
    assert statuses.count("not_submitted") == 30 - emulator.counters.posts


async def test_the_pause_and_its_end_are_told_once(
    emulator: Emulator, open_session: OpenSession, caplog: pytest.LogCaptureFixture
):
    emulator.script(Fault("submit", html(503), times=3))
    events: list[Event] = []
    async with open_session(on_event=events.append) as session:
        async for _ in session.map([FOX] * 8):
            pass
    told = [each for each in events if isinstance(each, SubmissionsPaused | SubmissionsResumed)]
    assert [type(each) for each in told] == [SubmissionsPaused, SubmissionsResumed]
    assert isinstance(told[0], SubmissionsPaused)
    assert isinstance(told[0].reason, ServerError)
    lines = [r.getMessage() for r in caplog.records if "submissions" in r.getMessage()]
    assert [
        line for line in lines if "paused since" in line and "503" in line and "next try" in line
    ]
    assert len([line for line in lines if "pause of submissions is over" in line]) == 1


async def test_a_lost_connection_is_waited_for_once_the_service_has_answered(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(outputs=2)) as session:
        await session.generate(FOX)
        url = emulator.url
        await emulator.stop()

        async def restart() -> None:
            await anyio.sleep(100)
            await emulator.start()

        async with anyio.create_task_group() as group:
            group.start_soon(restart)
            outcomes = [outcome async for outcome in session.map([FOX] * 5)]
        assert emulator.url == url
    assert [outcome.status for outcome in outcomes] == ["completed"] * 5


async def test_a_service_that_was_never_reached_is_not_waited_for(
    emulator: Emulator, open_session: OpenSession
):
    await emulator.stop()
    loop = asyncio.get_running_loop()
    async with open_session() as session:
        began = loop.time()
        with pytest.raises(APIConnectionError, match="no connection"):
            await session.submit(FOX)
        assert loop.time() - began < 30
        outcomes = [outcome async for outcome in session.map([FOX] * 100)]
    assert {outcome.status for outcome in outcomes} == {"not_submitted"}
    assert "25 consecutive" in str(outcomes[-1].error)


async def test_random_failures_do_not_stop_a_map_operation(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", html(502), times=None, chance=0.2))
    async with open_session() as session:
        outcomes = [outcome async for outcome in session.map([FOX] * 40)]
    assert {outcome.status for outcome in outcomes} == {"completed", "unknown"}
    assert len(outcomes) == 40


async def test_posts_that_wait_for_the_rate_do_not_leave_in_an_outage(
    emulator: Emulator, open_session: OpenSession
):
    loop = asyncio.get_running_loop()
    begin = loop.time() + 8.0
    emulator.script(Fault("submit", html(503), times=None, when=lambda _: loop.time() >= begin))
    limits = Limits(outputs=40, submissions_per_second=2.0)
    async with open_session(limits=limits, retry=Retry(patience=30.0)) as session:
        outcomes = [outcome async for outcome in session.map([FOX] * 40)]
    statuses = [outcome.status for outcome in outcomes]
    assert set(statuses) == {"completed", "unknown", "not_submitted"}
    assert statuses.count("unknown") <= 2 + 5


async def test_refusals_between_the_failures_do_not_hide_an_outage(
    emulator: Emulator, open_session: OpenSession
):
    for group, answer in enumerate([html(502), error(422), html(502), error(422), Drop()]):
        emulator.script(Fault("submit", answer, times=None, when=partial(_is_in_group, group)))
    requests = [PhotaImage(f"fox {number}") for number in range(100)]
    async with open_session(retry=Retry(patience=60.0)) as session:
        outcomes = [outcome async for outcome in session.map(requests)]
    unknown = [outcome for outcome in outcomes if outcome.status == "unknown"]
    assert 0 < len(unknown) <= 5 + 2
