"""A session with a journal: one key, one task, whoever asks and however often."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from foxapi_async import (
    ConfigurationError,
    InvalidRequestError,
    Journal,
    Limits,
    PhotaImage,
    Polling,
    RateLimitError,
    Retry,
    SessionClosedError,
    SubmissionUnknownError,
    TaskFailedError,
    TaskTimeoutError,
    UnprocessableEntityError,
)
from foxapi_async.emulator import Delay, Drop, Emulator, Fate, Fault, Hang, error, rate_limit
from foxapi_async.polling.history import End, History
from tests.conftest import OpenSession

FOX = PhotaImage("a fox in the snow")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "night.journal")


def statuses(journal: Journal) -> list[str]:
    return [str(entry.status) for entry in journal.entries()]


async def test_the_same_key_bills_once(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    async with open_session(journal=journal) as session:
        first = await session.submit(FOX, key="k")
        again = await session.submit(FOX, key="k")
        assert again == first
        task = await first
        assert (await session.generate(FOX, key="k")).id == task.id
        assert session.statistics().submitted == 1
    assert (emulator.counters.posts, emulator.counters.images_billed) == (1, 1)


async def test_concurrent_calls_with_one_key_make_one_post(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    async with open_session(journal=journal) as session:
        tasks = await asyncio.gather(*(session.generate(FOX, key="k") for _ in range(20)))
        assert len({task.id for task in tasks}) == 1
    assert emulator.counters.posts == 1


async def test_a_later_session_picks_the_task_up(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(duration=60)))
    async with open_session(journal=journal) as session:
        handle = await session.submit(FOX, key="k")
    assert [entry.task_id for entry in journal.unfinished()] == [handle.id]
    async with open_session(journal=str(journal.path)) as session:
        again = await session.submit(FOX, key="k")
        assert again.id == handle.id
        assert again.request == FOX
        assert session.statistics().images_in_flight == 1
        assert (await again).outputs
        assert session.statistics().images_in_flight == 0
        assert session.statistics().submitted == 0
    assert statuses(journal) == ["completed"]
    assert emulator.counters.posts == 1


async def test_tasks_that_are_picked_up_hold_their_places(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(duration=100), times=None))
    requests = [(f"key {index}", PhotaImage(f"fox {index}")) for index in range(12)]
    limits = Limits(outputs=4)
    async with open_session(journal=journal, limits=limits) as session:
        outcomes = session.map(requests)
        with anyio.move_on_after(50):
            await anext(outcomes)
    assert emulator.counters.tasks == 4
    async with open_session(journal=journal, limits=limits) as session:
        got = [outcome async for outcome in session.map(requests)]
    assert [outcome.status for outcome in got] == ["completed"] * 12
    assert emulator.counters.images_billed == 12
    assert emulator.counters.max_images_in_flight == 4


async def test_without_a_key_what_was_paid_for_is_still_listed(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(duration=60), times=2))
    async with open_session(journal=journal) as session:
        ids = {(await session.submit(FOX)).id for _ in range(2)}
        await session.generate(FOX)
    assert {entry.task_id for entry in journal.unfinished()} == ids
    assert {entry.request for entry in journal.unfinished()} == {FOX}


async def test_a_key_for_another_payload_is_refused(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    async with open_session(journal=journal) as session:
        await session.submit(FOX, key="k")
        with pytest.raises(InvalidRequestError, match="prompt"):
            await session.submit(PhotaImage("a wolf"), key="k")
    assert emulator.counters.posts == 1


@pytest.mark.parametrize("effect", [Drop(carried_out=True), error(500, carried_out=True)])
async def test_an_unknown_outcome_blocks_the_key_until_it_is_forgotten(
    effect: Drop, emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", effect))
    async with open_session(journal=journal) as session:
        for _ in range(2):
            with pytest.raises(SubmissionUnknownError) as caught:
                await session.submit(FOX, key="k")
            assert caught.value.key == "k"
            assert caught.value.request == FOX
    async with open_session(journal=journal) as session:
        [outcome] = [outcome async for outcome in session.map([("k", FOX)])]
        assert outcome.status == "unknown"
        assert emulator.counters.posts == 1
        journal.forget("k")
        assert (await session.generate(FOX, key="k")).outputs
    assert emulator.counters.posts == 2


async def test_a_refusal_frees_the_key(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", error(422)))
    async with open_session(journal=journal) as session:
        with pytest.raises(UnprocessableEntityError):
            await session.submit(FOX, key="k")
        assert statuses(journal) == ["rejected"]
        await session.submit(FOX, key="k")
        assert statuses(journal) == ["accepted"]


async def test_repeats_of_what_created_nothing_are_one_entry(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", rate_limit(1), times=3))
    async with open_session(journal=journal) as session:
        await session.submit(FOX, key="k")
    assert statuses(journal) == ["accepted"]
    emulator.script(Fault("submit", rate_limit(1)))
    async with open_session(journal=journal, retry=Retry(submissions=False)) as session:
        with pytest.raises(RateLimitError):
            await session.submit(FOX, key="another")
    assert statuses(journal) == ["accepted", "rejected"]


async def test_what_was_never_sent_leaves_the_key_free(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(duration=60)))
    async with open_session(journal=journal, limits=Limits(outputs=1)) as session:
        await session.submit(FOX, key="first")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await session.submit(FOX, key="second")
        assert statuses(journal) == ["accepted", "planned"]
        await session.attach(next(iter(emulator.tasks)))
        await session.submit(FOX, key="second")
    assert statuses(journal) == ["completed", "accepted"]
    assert emulator.counters.posts == 2


async def test_a_cancelled_post_is_finished_and_written_down(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Delay(3, carried_out=True)))
    async with open_session(journal=journal) as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await session.generate(FOX, key="k")
    [entry] = journal.unfinished()
    assert (entry.key, entry.task_id) == ("k", next(iter(emulator.tasks)))


async def test_a_post_that_the_end_of_the_session_cuts_short_is_unknown(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Hang(carried_out=True)))
    async with open_session(journal=journal) as session:
        submission = asyncio.ensure_future(session.submit(FOX, key="k"))
        await anyio.sleep(1)
    with pytest.raises(SubmissionUnknownError):
        await submission
    assert statuses(journal) == ["unknown"]


async def test_how_a_task_ended_is_written_down(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(ends_as="failed")))
    async with open_session(journal=journal) as session:
        for _ in range(2):  # the key stands for the task that failed; it is not run again
            with pytest.raises(TaskFailedError):
                await session.generate(FOX, key="k")
    assert statuses(journal) == ["failed"]
    assert emulator.counters.posts == 1


async def test_a_wait_that_is_given_up_leaves_the_task_unfinished(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(duration=100)))
    async with open_session(journal=journal, polling=Polling(give_up_after=10)) as session:
        with pytest.raises(TaskTimeoutError):
            await session.generate(FOX, key="k")
        assert len(journal.unfinished()) == 1
        with pytest.raises(TaskTimeoutError):
            await session.generate(FOX, key="k")
    async with open_session(journal=journal) as session:
        assert (await session.generate(FOX, key="k")).outputs
    assert emulator.counters.posts == 1


async def test_pictures_that_were_saved_are_written_down(
    open_session: OpenSession, journal: Journal, tmp_path: Path
):
    async with open_session(journal=journal) as session:
        task = await session.generate(PhotaImage("foxes", num_outputs=2), key="k")
        paths = await session.download(task, tmp_path / "out")
    [entry] = journal.entries("saved")
    assert [Path(file.path) for file in entry.files] == paths
    assert [file.size for file in entry.files] == [path.stat().st_size for path in paths]


async def test_a_journal_that_cannot_be_used_is_told_before_anything_is_sent(
    emulator: Emulator, open_session: OpenSession, tmp_path: Path
):
    with pytest.raises(ConfigurationError):
        async with open_session(journal=tmp_path / "no such folder" / "journal"):
            pass
    assert emulator.counters.requests == 0


async def test_what_was_learned_of_durations_serves_the_next_run(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(
        Fault("submit", Fate(duration=100, estimate="missing"), times=None),
    )
    async with open_session(journal=journal) as session:
        async for outcome in session.map([FOX] * 60):
            assert outcome.status == "completed"
    looks: list[int] = []
    for memory in (None, journal):
        before = emulator.counters.polls
        async with open_session(journal=memory) as session:
            await session.generate(FOX)
        looks.append(emulator.counters.polls - before)
    ignorant, taught = looks
    assert taught < ignorant


@pytest.mark.parametrize(
    "memory",
    ["", "{", "9" * 5000, "[" * 3000, '{"version": 1, "groups": ' + "[" * 900 + "]" * 900 + "}"],
)
async def test_a_memory_that_is_no_good_any_more_is_no_reason_not_to_begin(
    memory: str, open_session: OpenSession, journal: Journal, tmp_path: Path
):
    async with open_session(journal=journal) as session:
        await session.generate(FOX)
    with closing(sqlite3.connect(tmp_path / "night.journal")) as database, database:
        database.execute("UPDATE memory SET value = ?", (memory,))
    async with open_session(journal=journal) as session:
        assert (await session.generate(FOX)).outputs


async def test_what_was_learned_outlives_a_start_that_was_cut_short(
    open_session: OpenSession, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    async with open_session(journal=journal) as session:
        await session.generate(FOX)
    async with journal:
        learned = await journal.recall("durations of tasks")
    assert learned["groups"]

    async def cut_short(*_: object) -> None:
        raise ConfigurationError("the file cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "recall", cut_short)
        with pytest.raises(ConfigurationError):
            await open_session(journal=journal).__aenter__()
    async with journal:
        assert await journal.recall("durations of tasks") == learned


async def test_what_was_learned_outlives_a_run_that_cannot_tell_what_it_learned(
    open_session: OpenSession, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    async with open_session(journal=journal) as session:
        await session.generate(FOX)
    async with journal:
        learned = await journal.recall("durations of tasks")
    assert learned["groups"]

    def fail(_: History) -> list[End]:
        raise OverflowError

    with monkeypatch.context() as patch:
        patch.setattr(History, "recalled", fail)
        async with open_session(journal=journal) as session:
            await session.generate(FOX)
    async with journal:
        assert await journal.recall("durations of tasks") == learned


async def test_a_task_that_seems_to_be_older_than_any_computer_is_looked_at_seldom(
    emulator: Emulator, open_session: OpenSession, journal: Journal, tmp_path: Path
):
    emulator.script(Fault("submit", Fate(duration=60)))
    async with open_session(journal=journal) as session:
        await session.submit(FOX, key="k")
    with closing(sqlite3.connect(tmp_path / "night.journal")) as database, database:
        database.execute("UPDATE entries SET submitted = 1.0")  # its clock was never set
    async with open_session(journal=journal) as session:
        await session.generate(FOX, key="k")
    assert emulator.counters.polls < 20


async def test_one_who_waits_to_pick_a_task_up_learns_that_the_session_has_ended(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(duration=500), times=None))
    async with open_session(journal=journal) as session:
        known = await session.submit(FOX, key="k")
    async with open_session(journal=journal, limits=Limits(outputs=1)) as session:
        await session.submit(FOX)
        waiting = asyncio.ensure_future(session.generate(FOX, key="k"))
        await anyio.sleep(5)
    with pytest.raises(SessionClosedError) as caught:
        await waiting
    assert caught.value.task_id == known.id


async def test_one_journal_serves_two_sessions_of_a_process(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    async with open_session(journal=journal) as one, open_session(journal=journal) as two:
        first, second = await asyncio.gather(one.generate(FOX, key="k"), two.generate(FOX, key="k"))
        assert first.id == second.id
    assert emulator.counters.posts == 1


async def test_the_key_of_the_api_is_not_in_the_journal(
    open_session: OpenSession, journal: Journal, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    async with open_session(journal=journal) as session:
        await session.generate(FOX, key="k")
    for path in journal.path.parent.iterdir():
        assert b"sk-emulator" not in path.read_bytes()
    assert "sk-emulator" not in caplog.text
