"""A session with a journal creates one task per key."""

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


async def test_submitting_the_same_key_twice_bills_once(
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


async def test_a_later_session_resumes_the_task(
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


async def test_resumed_tasks_occupy_slots(
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


async def test_tasks_submitted_without_a_key_are_listed_as_unfinished(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(duration=60), times=2))
    async with open_session(journal=journal) as session:
        ids = {(await session.submit(FOX)).id for _ in range(2)}
        await session.generate(FOX)
    assert {entry.task_id for entry in journal.unfinished()} == ids
    assert {entry.request for entry in journal.unfinished()} == {FOX}


async def test_a_key_with_another_payload_is_refused(
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


async def test_a_rejected_submission_frees_the_key(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", error(422)))
    async with open_session(journal=journal) as session:
        with pytest.raises(UnprocessableEntityError):
            await session.submit(FOX, key="k")
        assert statuses(journal) == ["rejected"]
        await session.submit(FOX, key="k")
        assert statuses(journal) == ["accepted"]


async def test_retried_submissions_share_one_entry(
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


async def test_a_submission_that_was_never_sent_frees_the_key(
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


async def test_a_cancelled_post_is_finished_and_journalled(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Delay(3, carried_out=True)))
    async with open_session(journal=journal) as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await session.generate(FOX, key="k")
    [entry] = journal.unfinished()
    assert (entry.key, entry.task_id) == ("k", next(iter(emulator.tasks)))


async def test_a_post_interrupted_by_the_end_of_the_session_is_unknown(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Hang(carried_out=True)))
    async with open_session(journal=journal) as session:
        submission = asyncio.ensure_future(session.submit(FOX, key="k"))
        await anyio.sleep(1)
    with pytest.raises(SubmissionUnknownError):
        await submission
    assert statuses(journal) == ["unknown"]


async def test_the_final_status_of_a_task_is_journalled(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(Fault("submit", Fate(ends_as="failed")))
    async with open_session(journal=journal) as session:
        for _ in range(2):  # the key belongs to the failed task, which is not submitted again
            with pytest.raises(TaskFailedError):
                await session.generate(FOX, key="k")
    assert statuses(journal) == ["failed"]
    assert emulator.counters.posts == 1


async def test_a_wait_that_times_out_leaves_the_task_unfinished(
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


async def test_saved_files_are_journalled(
    open_session: OpenSession, journal: Journal, tmp_path: Path
):
    async with open_session(journal=journal) as session:
        task = await session.generate(PhotaImage("foxes", num_outputs=2), key="k")
        paths = await session.download(task, tmp_path / "out")
    [entry] = journal.entries("saved")
    assert [Path(file.path) for file in entry.files] == paths
    assert [file.size for file in entry.files] == [path.stat().st_size for path in paths]


async def test_an_unusable_journal_raises_before_anything_is_sent(
    emulator: Emulator, open_session: OpenSession, tmp_path: Path
):
    with pytest.raises(ConfigurationError):
        async with open_session(journal=tmp_path / "no such folder" / "journal"):
            pass
    assert emulator.counters.requests == 0


@pytest.mark.much
async def test_learned_durations_are_used_by_the_next_session(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    emulator.script(
        Fault("submit", Fate(duration=100, estimate="missing"), times=None),
    )
    async with open_session(journal=journal) as session:
        async for outcome in session.map([FOX] * 40):
            assert outcome.status == "completed"
    polls: list[int] = []
    for memory in (None, journal):
        before = emulator.counters.polls
        async with open_session(journal=memory) as session:
            await session.generate(FOX)
        polls.append(emulator.counters.polls - before)
    untrained, trained = polls
    assert trained < untrained


@pytest.mark.parametrize(
    "memory",
    ["", "{", "9" * 5000, "[" * 3000, '{"version": 1, "groups": ' + "[" * 900 + "]" * 900 + "}"],
)
async def test_an_unreadable_memory_does_not_prevent_a_start(
    memory: str, open_session: OpenSession, journal: Journal, tmp_path: Path
):
    async with open_session(journal=journal) as session:
        await session.generate(FOX)
    with closing(sqlite3.connect(tmp_path / "night.journal")) as database, database:
        database.execute("UPDATE memory SET value = ?", (memory,))
    async with open_session(journal=journal) as session:
        assert (await session.generate(FOX)).outputs


async def test_learned_durations_survive_a_failed_start(
    open_session: OpenSession, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    async with open_session(journal=journal) as session:
        await session.generate(FOX)
    async with journal:
        learned = await journal.recall("durations of tasks")
    assert learned["groups"]

    async def fail_to_read(*_: object) -> None:
        raise ConfigurationError("the file cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "recall", fail_to_read)
        with pytest.raises(ConfigurationError):
            await open_session(journal=journal).__aenter__()
    async with journal:
        assert await journal.recall("durations of tasks") == learned


async def test_learned_durations_survive_a_session_that_cannot_serialize_them(
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


async def test_a_task_with_an_impossible_age_is_polled_rarely(
    emulator: Emulator, open_session: OpenSession, journal: Journal, tmp_path: Path
):
    emulator.script(Fault("submit", Fate(duration=60)))
    async with open_session(journal=journal) as session:
        await session.submit(FOX, key="k")
    with closing(sqlite3.connect(tmp_path / "night.journal")) as database, database:
        database.execute(
            "UPDATE entries SET submitted = 1.0"
        )  # as from a machine whose clock was not set
    async with open_session(journal=journal) as session:
        await session.generate(FOX, key="k")
    assert emulator.counters.polls < 20


async def test_a_waiter_for_a_resumed_task_is_told_that_the_session_closed(
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


async def test_two_sessions_of_a_process_can_share_a_journal(
    emulator: Emulator, open_session: OpenSession, journal: Journal
):
    async with open_session(journal=journal) as one, open_session(journal=journal) as two:
        first, second = await asyncio.gather(one.generate(FOX, key="k"), two.generate(FOX, key="k"))
        assert first.id == second.id
    assert emulator.counters.posts == 1


async def test_the_api_key_is_not_written_to_the_journal(
    open_session: OpenSession, journal: Journal, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    async with open_session(journal=journal) as session:
        await session.generate(FOX, key="k")
    for path in journal.path.parent.iterdir():
        assert b"sk-emulator" not in path.read_bytes()
    assert "sk-emulator" not in caplog.text
