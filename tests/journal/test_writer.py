"""The writer: many operations, few commits; and when a batch is due."""

from __future__ import annotations

import asyncio
import sqlite3
import time

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal import JournalStatus, StoredJournal
from foxapi_async.journal.moves import rounds
from foxapi_async.journal.operations import Transition, new_entry
from foxapi_async.journal.writer import FULL_BATCH, Batching
from foxapi_async.models import TaskStatus


def commits(journal: StoredJournal) -> int:
    assert journal._claims is not None
    return journal._claims.writer.commits


async def submit(journal: StoredJournal, request_, number: int) -> None:
    claim = await journal.claim(f"k{number}", request_)
    await claim.sending()
    await claim.accepted(f"t{number}")
    journal.ended(f"t{number}", TaskStatus.COMPLETED)


async def test_many_submissions_share_a_few_commits(journal, request_):
    async with journal:
        async with anyio.create_task_group() as group:
            for number in range(300):
                group.start_soon(submit, journal, request_, number)
        assert commits(journal) <= 12
        assert journal.count() == {"completed": 300}


async def test_each_commit_is_synced_once(file_journal, request_):
    async with file_journal:
        assert file_journal._claims is not None
        connection = file_journal._claims.writer._database._connection

        def settings() -> list[int]:
            return [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("synchronous", "journal_mode", "fullfsync")
            ]

        thread = file_journal._claims.writer._thread
        assert await asyncio.wrap_future(thread.submit(settings)) == [2, "wal", 1]
        statements: list[str] = []
        await asyncio.wrap_future(thread.submit(connection.set_trace_callback, statements.append))
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(submit, file_journal, request_, number)
        await asyncio.wrap_future(thread.submit(connection.set_trace_callback, None))
        assert statements.count("COMMIT") <= 12
        # The number of statements in a commit does not grow with the number of submissions.
        assert len(statements) <= 12 * 6


async def test_a_single_submission_does_not_wait_for_a_batch(journal, request_):
    async with journal:
        began = anyio.current_time()
        await submit(journal, request_, 1)
        assert commits(journal) == 3
        assert anyio.current_time() - began < 10


async def test_writes_that_nobody_waits_for_join_the_next_commit(journal, request_):
    async with journal:
        await submit(journal, request_, 1)
        before = commits(journal)
        for _ in range(100):
            journal.ended("t1", TaskStatus.COMPLETED)
            journal.remember("x", 1)
        await submit(journal, request_, 2)
        assert commits(journal) == before + 3


async def test_a_query_waits_for_a_batch_that_is_being_written(journal, request_):
    async with journal:
        await submit(journal, request_, 1)
        writer = journal._claims.writer
        writer._thread.submit(time.sleep, 0.2)
        writer._start_batch()
        assert (writer._queue, writer._batch is None) == ([], False)
        assert journal.count() == {"completed": 1}


async def test_a_claim_cannot_be_used_after_the_journal_was_closed(journal, request_):
    async with journal:
        claim = await journal.claim("k", request_)
        forgotten = await journal.claim(None, request_)
    with pytest.raises(ConfigurationError, match="is closed; not written: key 'k' is sending"):
        await claim.sending()
    await forgotten.not_sent("too late")
    assert [entry.key for entry in journal.entries()] == ["k", forgotten.key]


async def test_nothing_is_written_while_nothing_happens(journal, request_):
    async with journal:
        await submit(journal, request_, 1)
        await anyio.sleep(2)
        before = commits(journal)
        await anyio.sleep(3600)
        assert commits(journal) == before


async def test_two_transitions_of_one_entry_are_made_in_order(journal, request_):
    new = new_entry("k", request_, 0.0, keyed=True)
    other = new_entry("o", request_, 0.0, keyed=True)

    def transition(of, before: str, after: str) -> Transition:
        return Transition(new=of, before=JournalStatus(before), after=JournalStatus(after), at=0.0)

    transitions = [
        transition(new, "planned", "sending"),
        transition(other, "planned", "sending"),
        transition(new, "sending", "planned"),
        transition(new, "planned", "sending"),
    ]
    assert rounds(transitions) == [
        [transitions[0], transitions[1]],
        [transitions[2]],
        [transitions[3]],
    ]
    assert rounds([]) == []


async def test_every_update_and_select_uses_an_index(file_journal, request_):
    async with file_journal:
        await submit(file_journal, request_, 1)
        assert file_journal._claims is not None
        connection = file_journal._claims.writer._database._connection
        thread = file_journal._claims.writer._thread
        statements: list[str] = []
        await asyncio.wrap_future(thread.submit(connection.set_trace_callback, statements.append))
        await submit(file_journal, request_, 2)
        await file_journal.saved("t2", [])
        await asyncio.wrap_future(thread.submit(connection.set_trace_callback, None))
    with sqlite3.connect(file_journal.path) as reader:
        for statement in statements:
            if statement.startswith(("UPDATE", "SELECT")):
                plan = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {statement}")]
                assert not any(line.startswith("SCAN entries") for line in plan), (statement, plan)
                assert any(line.startswith("SEARCH entries USING INDEX") for line in plan)
                assert not any("entries_by_status" in line for line in plan)
    reader.close()


def batching_after(commits: list[tuple[float, int]]) -> Batching:
    batching = Batching()
    for now, size in commits:
        batching.note_commit(now, size)
    return batching


BURST = [(number * 0.005, 2) for number in range(8)]


def test_a_change_after_a_pause_is_committed_burst_again():
    assert batching_after([(0, 1), (5, 1), (10, 1)]).due(1) < 0


def test_a_burst_of_commits_starts_batching():
    assert batching_after(BURST).due(3) == BURST[-1][0] + 0.08


def test_a_task_id_waits_less():
    assert batching_after(BURST).due(3, has_ids=True) == BURST[-1][0] + 0.03


def test_a_full_batch_does_not_wait():
    assert batching_after(BURST).due(FULL_BATCH) < 0


def test_batching_without_effect_ends_for_a_while():
    too_small = [(0.1, 1), (0.12, 1), (0.14, 1)]
    assert batching_after([*BURST, *too_small]).due(1) < 0
    burst_again = [(0.141 + number * 0.001, 1) for number in range(20)]
    assert batching_after([*BURST, *too_small, *burst_again]).due(1) < 0


def test_batching_is_tried_again_after_a_while():
    too_small = [(0.1, 1), (0.12, 1), (0.14, 1)]
    later = [(now + 2, 1) for now, _ in BURST]
    assert batching_after([*BURST, *too_small, *later]).due(1) > 2


def test_useful_batches_keep_batching_on():
    assert batching_after([*BURST, *((0.1 + n * 0.04, 4) for n in range(50))]).due(4) > 1


def test_an_idle_time_ends_batching_but_does_not_delay_the_next():
    later = [(now + 5, 2) for now, _ in BURST]
    assert batching_after([*BURST, later[0]]).due(1) < 0
    assert batching_after([*BURST, *later]).due(1) > 5


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), max_size=60), st.integers(1, 99))
def test_no_operation_waits_longer_than_the_interval(steps: list[tuple[float, int]], waiting: int):
    batching, now = Batching(), 0.0
    for step, size in steps:
        now += step
        batching.note_commit(now, size)
        assert batching.due(waiting) <= now + 0.04
