"""`Session.map` with a journal: keys are claimed concurrently, but only for free slots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from foxapi_async import (
    InvalidRequestError,
    Journal,
    Limits,
    Outcome,
    PhotaImage,
    Session,
    SessionClosedError,
)
from foxapi_async.emulator import Drop, Emulator, Fate, Fault, error
from tests.conftest import OpenSession
from tests.test_mapping import collect


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "night.journal")


def keyed(count: int, num_outputs: int = 1) -> list[tuple[str, PhotaImage]]:
    return [
        (f"key {index}", PhotaImage(f"fox {index}", num_outputs=num_outputs))
        for index in range(count)
    ]


def commits(journal: Journal) -> int:
    assert journal._claims is not None
    return journal._claims.writer.commits


@pytest.mark.much
async def test_many_keys_share_a_few_commits(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    async with open_session(journal=journal, limits=Limits(outputs=1000)) as session:
        outcomes = await collect(session.map(keyed(400)))
        # Without batching there is one commit per key and two more per submission.
        assert commits(journal) < 400
    assert {outcome.status for outcome in outcomes} == {"completed"}
    assert emulator.counters.images_billed == 400


@pytest.mark.much
async def test_known_outcomes_are_yielded_without_a_commit_each(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    limits = Limits(outputs=64)
    async with open_session(journal=journal, limits=limits) as session:
        await collect(session.map(keyed(100)))
    async with open_session(journal=journal, limits=limits) as session:
        before = commits(journal)
        outcomes = await collect(session.map(keyed(100)))
        assert commits(journal) - before < 50
    assert [outcome.status for outcome in outcomes] == ["completed"] * 100
    assert emulator.counters.images_billed == 100


@pytest.mark.parametrize("num_outputs", [1, 3])
async def test_the_input_is_read_only_as_far_as_slots_are_free(
    emulator: Emulator, open_session: OpenSession, journal: Journal, num_outputs: int
):
    read = 0

    def endless() -> Iterator[tuple[str, PhotaImage]]:
        nonlocal read
        while True:
            read += 1
            yield f"key {read}", PhotaImage("a fox", num_outputs=num_outputs)

    emulator.script(Fault("submit", Fate(duration=50), times=None))
    async with open_session(journal=journal, limits=Limits(outputs=8)) as session:
        outcomes = session.map(endless())
        await anext(outcomes)
        assert read <= 8 // num_outputs + 2
    assert emulator.counters.max_images_in_flight <= 8


async def test_leaving_the_map_releases_the_claimed_keys(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(duration=100), times=None))
    async with open_session(journal=journal, limits=Limits(outputs=4)) as session:
        outcomes = session.map(keyed(100))
        await anext(outcomes)
        await outcomes.aclose()  # type: ignore[attr-defined]
        await anyio.sleep(1)
        posts = emulator.counters.posts
        await anyio.sleep(1000)
        assert emulator.counters.posts == posts
        # Another session can claim the key at once, even while the first is open.
        async with open_session(journal=journal.path) as another:
            assert (await another.generate(PhotaImage("fox 50"), key="key 50")).outputs
    assert journal.entries("sending") == journal.entries("unknown") == []


async def test_leaving_at_once_bills_only_journalled_tasks(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    async with open_session(journal=journal) as session:
        outcomes = session.map(keyed(100))
        with anyio.move_on_after(0.001):
            await anext(outcomes)
        await outcomes.aclose()  # type: ignore[attr-defined]
    assert {entry.task_id for entry in journal.entries("accepted")} == set(emulator.tasks)
    assert journal.entries("sending") == journal.entries("unknown") == []


async def test_a_key_claimed_by_another_journal_delays_no_other_key(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    got: list[Outcome] = []

    async def read(session: Session) -> None:
        async for outcome in session.map(keyed(20)):
            got.append(outcome)  # noqa: PERF401 - the outcomes so far count

    async with open_session(journal=journal) as session, Journal(journal.path) as other:
        claim = await other.claim("key 3", PhotaImage("fox 3"))
        async with anyio.create_task_group() as group:
            group.start_soon(read, session)
            await anyio.sleep(60)
            assert len(got) == 19
            await claim.not_sent("released")
    assert sorted(outcome.index for outcome in got) == list(range(20))
    assert emulator.counters.images_billed == 20


async def test_each_request_has_an_outcome_with_its_own_status(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(
        Fault("submit", Drop(carried_out=True), when=lambda call: call.prompt == "fox 1"),
        Fault("submit", error(422), when=lambda call: call.prompt == "fox 2"),
    )
    requests = [
        *keyed(4),
        ("key 3", PhotaImage("a wolf")),
        ("heavy", PhotaImage("x", num_outputs=9)),
    ]
    async with open_session(journal=journal, limits=Limits(outputs=8)) as session:
        outcomes = await collect(session.map(requests, ordered=True))
    statuses = ["completed", "unknown", "rejected", "completed", "not_submitted", "not_submitted"]
    assert [outcome.status for outcome in outcomes] == statuses
    assert isinstance(outcomes[4].error, InvalidRequestError)
    assert "another request" in str(outcomes[4].error)


async def test_a_fatal_answer_stops_claimed_requests_that_were_not_sent(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", error(402), nth=6, times=None))
    async with open_session(journal=journal, limits=Limits(outputs=8)) as session:
        outcomes = await collect(session.map(keyed(100)))
    statuses = [outcome.status for outcome in outcomes]
    assert statuses.count("completed") == emulator.counters.images_billed == 5
    assert statuses.count("rejected") + statuses.count("not_submitted") == 95
    assert not journal.entries("sending")


async def test_closing_the_session_reports_the_requests_that_were_read(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(duration=1000), times=None))
    got: list[Outcome] = []

    errors: list[Exception] = []

    async def read(session: Session) -> None:
        try:
            async for outcome in session.map(keyed(5)):
                got.append(outcome)  # noqa: PERF401 - the outcomes before the error count
        except SessionClosedError as error:
            errors.append(error)

    async with (
        anyio.create_task_group() as group,
        open_session(journal=journal, limits=Limits(outputs=3)) as session,
    ):
        group.start_soon(read, session)
        await anyio.sleep(10)
    assert "4 requests of the input were read" in str(errors)
    statuses = sorted(outcome.status for outcome in got)
    assert statuses == ["not_submitted"] + ["unfinished"] * 3


async def test_an_outcome_has_the_key_of_its_input_item(
    open_session: OpenSession, journal: Journal
):
    fox = PhotaImage("a fox in the snow")
    async with open_session(journal=journal) as session:
        handle = await session.submit(fox)  # without a key, so the journal generates one
        [entry] = journal.unfinished()
        [outcome] = await collect(session.map([(entry.key, fox)]))
    assert (outcome.key, outcome.status) == (entry.key, "completed")
    assert outcome.task is not None
    assert outcome.task.id == handle.id
