"""Limits that all sessions of a journal keep together."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import (
    BudgetExceededError,
    ConfigurationError,
    FoxAPIError,
    Limits,
    Outcome,
    PhotaImage,
    PostgresJournal,
    Session,
    SubmissionUnknownError,
)
from foxapi_async.emulator import Emulator, Fate, Fault, error, html, rate_limit
from foxapi_async.journal.shared_limits import (
    NOBODY,
    ExchangeLimits,
    Waiting,
    grant,
    next_tester,
)
from foxapi_async.models import TaskStatus
from tests.conftest import OpenSession
from tests.journals import another

FOX = PhotaImage("a fox in the snow")


@pytest.fixture(params=["postgres"])
def journal_address(postgres, unique_name) -> str:
    return f"{postgres.dsn}#{unique_name}"


def shared(outputs: int, total: int | None = None) -> Limits:
    return Limits(outputs=outputs, total_outputs=total, scope="journal")


async def collect(session: Session, name: str, number: int, outcomes: list[Outcome]) -> None:
    requests = [(f"{name} {n}", PhotaImage(f"{name} {n}")) for n in range(number)]
    async for outcome in session.map(requests):
        outcomes.append(outcome)  # noqa: PERF401 - the outcomes so far count


@given(st.lists(st.integers(1, 9)), st.integers(0, 20))
def test_places_are_granted_first_come_first_served(outputs: list[int], room: int):
    waiting = [Waiting(n, b"%d" % n, "a", each) for n, each in enumerate(outputs)]
    granted = grant(reversed(waiting), room)
    assert granted == waiting[: len(granted)]
    assert sum(each.outputs for each in granted) <= room
    if len(granted) < len(waiting):
        assert sum(outputs[: len(granted) + 1]) > room


@pytest.mark.parametrize(
    ("tester", "is_paused", "can_test", "is_alive", "then"),
    [
        (None, False, True, False, None),
        (None, True, True, False, "me"),
        (None, True, False, False, NOBODY),
        ("me", True, True, True, "me"),
        ("me", True, False, True, NOBODY),
        ("me", False, True, True, None),
        ("other", False, True, True, "other"),
        ("other", True, True, True, "other"),
        ("other", False, True, False, "me"),
        ("other", False, False, False, NOBODY),
        (NOBODY, False, True, False, "me"),
        (NOBODY, False, False, False, NOBODY),
    ],
)
def test_the_session_that_tests_the_service_has_a_submission(
    tester: str | None, is_paused: bool, can_test: bool, is_alive: bool, then: str | None
):
    asked = ExchangeLimits(outputs=1, is_paused=is_paused, can_test=can_test)
    assert next_tester(asked, "me", tester, is_alive=is_alive) == then


async def place(journal: PostgresJournal, key: str, outputs: int = 1) -> bool:
    """Ask for a place within one image in flight."""
    wanted = [(key.encode(), outputs)]
    answer = await journal.exchange_limits(ExchangeLimits(outputs=1, wanted=wanted))
    return key.encode() in answer.granted


def die(journal: PostgresJournal) -> None:
    """End the connection of a journal as the end of its process does."""
    assert journal._claims is not None
    journal._claims.writer._database._connection.close()


async def test_a_post_in_the_air_keeps_its_place_when_its_session_dies(journal: PostgresJournal):
    other = another(journal)
    async with journal, other:
        claim = await journal.claim("k", FOX)
        claim.needs_place = True
        assert await place(journal, "k")
        await claim.sending()
        die(journal)
        assert not await place(other, "x")
        with pytest.raises(SubmissionUnknownError):
            await other.claim("k", FOX)
        assert not await place(other, "x")
        # Its answer arrives after all, and then the end of its task.
        await claim.accepted("t1")
        assert not await place(other, "x")
        other.ended("t1", TaskStatus.COMPLETED)
        assert await place(other, "x")


async def test_a_submission_that_has_lost_its_place_is_not_sent(journal: PostgresJournal):
    other = another(journal)
    async with journal, other:
        claim = await journal.claim("k", FOX)
        claim.needs_place = True
        assert await place(journal, "k")
        die(journal)
        assert await place(other, "x")
        with pytest.raises(FoxAPIError, match="nothing was sent"):
            await claim.sending()
        assert claim.is_lost
        await claim.not_sent("it is lost")


async def test_two_sessions_never_exceed_the_limit_of_both(
    emulator: Emulator, open_session: OpenSession, journal: PostgresJournal
):
    emulator.script(Fault("submit", Fate(duration=2), times=None))
    outcomes: list[Outcome] = []
    async with (
        open_session(journal=journal, limits=shared(4)) as one,
        open_session(journal=another(journal), limits=shared(4)) as two,
        anyio.create_task_group() as group,
    ):
        group.start_soon(collect, one, "one", 12, outcomes)
        group.start_soon(collect, two, "two", 12, outcomes)
    assert [outcome.status for outcome in outcomes] == ["completed"] * 24
    assert emulator.counters.max_images_in_flight <= 4
    assert emulator.counters.images_billed == 24


async def test_the_total_holds_for_all_sessions_and_over_the_life_of_the_journal(
    emulator: Emulator, open_session: OpenSession, journal: PostgresJournal
):
    outcomes: list[Outcome] = []
    async with (
        open_session(journal=journal, limits=shared(4, 9)) as one,
        open_session(journal=another(journal), limits=shared(4, 9)) as two,
        anyio.create_task_group() as group,
    ):
        group.start_soon(collect, one, "one", 8, outcomes)
        group.start_soon(collect, two, "two", 8, outcomes)
    assert emulator.counters.images_billed == 9
    refused = [outcome.error for outcome in outcomes if outcome.status == "not_submitted"]
    assert len(refused) == 7
    assert all(isinstance(error, BudgetExceededError) for error in refused)
    async with open_session(journal=journal, limits=shared(4, 10)) as session:
        await session.submit(FOX)
        with pytest.raises(BudgetExceededError, match="10 are billed"):
            await session.submit(FOX)
    assert emulator.counters.images_billed == 10


async def test_a_refused_submission_does_not_count(
    emulator: Emulator, open_session: OpenSession, journal: PostgresJournal
):
    emulator.script(Fault("submit", error(400)))
    async with open_session(journal=journal, limits=shared(4, 1)) as session:
        with pytest.raises(Exception, match="400"):
            await session.submit(FOX)
        await session.generate(FOX)
        with pytest.raises(BudgetExceededError):
            await session.submit(FOX)


async def test_the_places_of_a_session_that_has_ended_are_free_when_its_tasks_end(
    emulator: Emulator, open_session: OpenSession, journal: PostgresJournal
):
    emulator.script(Fault("submit", Fate(duration=40), times=2))
    async with open_session(journal=journal, limits=shared(2)) as session:
        await session.submit(FOX)
        await session.submit(FOX)
    async with open_session(journal=another(journal), limits=shared(2)) as session:
        await session.generate(FOX)
    assert emulator.counters.max_images_in_flight == 2
    assert journal.count() == {"completed": 3}


async def test_a_cancelled_submission_gives_its_place_back(
    emulator: Emulator, open_session: OpenSession, journal: PostgresJournal
):
    emulator.script(Fault("submit", Fate(duration=30)))
    async with open_session(journal=journal, limits=shared(1)) as session:
        handle = await session.submit(FOX)
        async with open_session(journal=another(journal), limits=shared(1)) as other:
            with anyio.move_on_after(3):
                await other.submit(FOX)
            assert emulator.counters.posts == 1
            await handle
            await session.generate(FOX)
            await other.generate(FOX)
    assert emulator.counters.max_images_in_flight == 1


async def test_an_outage_costs_both_sessions_together_what_it_costs_one(
    emulator: Emulator, open_session: OpenSession, journal: PostgresJournal
):
    loop = asyncio.get_running_loop()
    end = loop.time() + 20
    emulator.script(
        Fault("submit", html(503), times=None, when=lambda _: loop.time() < end),
        Fault("submit", Fate(duration=2), times=None),
    )
    outcomes: list[Outcome] = []
    async with (
        open_session(journal=journal, limits=shared(4)) as one,
        open_session(journal=another(journal), limits=shared(4)) as two,
        anyio.create_task_group() as group,
    ):
        group.start_soon(collect, one, "one", 9, outcomes)
        group.start_soon(collect, two, "two", 9, outcomes)
    statuses = [outcome.status for outcome in outcomes]
    # Places are scarce: the session that tests must get one. The POSTs in flight when the outage began,
    # of both sessions, and at most five trials.
    assert statuses.count("unknown") <= 2 * 2 + 5
    assert statuses.count("completed") == 18 - statuses.count("unknown")


async def test_a_429_slows_down_all_sessions(
    emulator: Emulator, open_session: OpenSession, journal: PostgresJournal
):
    loop = asyncio.get_running_loop()
    emulator.script(
        Fault("submit", rate_limit(retry_after=30)), Fault("submit", Fate(duration=2), times=None)
    )
    async with (
        open_session(journal=journal, limits=shared(4)) as one,
        open_session(journal=another(journal), limits=shared(4)) as two,
        anyio.create_task_group() as group,
    ):
        began = loop.time()
        group.start_soon(one.submit, FOX)
        await anyio.sleep(3)
        await two.submit(PhotaImage("later"))
        assert loop.time() - began > 25
        assert emulator.counters.posts == 3
    assert one.statistics().rate_limited + two.statistics().rate_limited == 1


async def test_sessions_that_share_a_journal_object_share_its_limits(
    emulator: Emulator, open_session: OpenSession, journal: PostgresJournal
):
    emulator.script(Fault("submit", Fate(duration=15), times=None))
    async with open_session(journal=journal, limits=shared(1)) as one:
        handle = await one.submit(FOX)
        async with (
            open_session(journal=journal, limits=shared(1)) as two,
            anyio.create_task_group() as group,
        ):
            group.start_soon(two.submit, FOX)
            await anyio.sleep(2)
            group.cancel_scope.cancel()
        # The place for which the other session waited does not hold up this one.
        await handle
        await one.submit(FOX)
    assert emulator.counters.max_images_in_flight == 1


def test_shared_limits_need_a_journal_on_a_server(tmp_path):
    async def run() -> None:
        with pytest.raises(ConfigurationError, match="PostgresJournal"):
            async with Session("sk-x", journal=tmp_path / "j", limits=shared(1)):
                pass

    anyio.run(run)


def test_the_scope_has_two_values():
    with pytest.raises(ConfigurationError, match="session"):
        Limits(scope="machine")  # type: ignore[arg-type]
