"""Many changes, few commits, and no thread hop without need."""

from __future__ import annotations

import asyncio
import sqlite3

import anyio

from foxapi_async.journal import Journal
from foxapi_async.journal.database import _rounds
from foxapi_async.journal.operations import Move, planned
from foxapi_async.journal.transitions import JournalStatus
from foxapi_async.models import TaskStatus


def commits(journal: Journal) -> int:
    assert journal._opened is not None
    return journal._opened.commit.commits


async def submit(journal: Journal, request_, number: int) -> None:
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


async def test_what_is_written_is_synced_once_for_each_commit(journal, request_):
    async with journal:
        assert journal._opened is not None
        connection = journal._opened._store._connection

        def settings() -> list[int]:
            return [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("synchronous", "journal_mode", "fullfsync")
            ]

        thread = journal._opened._thread
        assert await asyncio.wrap_future(thread.submit(settings)) == [2, "wal", 1]
        statements: list[str] = []
        await asyncio.wrap_future(thread.submit(connection.set_trace_callback, statements.append))
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(submit, journal, request_, number)
        await asyncio.wrap_future(thread.submit(connection.set_trace_callback, None))
        assert statements.count("COMMIT") <= 12
        # However many submissions there are, each kind of change is one statement in a commit.
        assert len(statements) <= 12 * 6


async def test_a_lone_submission_waits_for_nobody(journal, request_):
    async with journal:
        began = anyio.current_time()
        await submit(journal, request_, 1)
        assert commits(journal) == 3
        assert anyio.current_time() - began < 10


async def test_what_nobody_waits_for_is_no_commit_of_its_own(journal, request_):
    async with journal:
        await submit(journal, request_, 1)
        before = commits(journal)
        for _ in range(100):
            journal.ended("t1", TaskStatus.COMPLETED)
            journal.remember("x", 1)
        await submit(journal, request_, 2)
        assert commits(journal) == before + 3


async def test_nothing_is_written_while_nothing_happens(journal, request_):
    async with journal:
        await submit(journal, request_, 1)
        await anyio.sleep(2)
        before = commits(journal)
        await anyio.sleep(3600)
        assert commits(journal) == before


async def test_two_moves_of_one_entry_are_made_one_after_the_other(journal, request_):
    new = planned("k", request_, 0.0, keyed=True)
    other = planned("o", request_, 0.0, keyed=True)

    def move(of, was: str, now: str) -> Move:
        return Move(key=of.key, was=JournalStatus(was), now=JournalStatus(now), at=0.0, new=of)

    moves = [
        move(new, "planned", "sending"),
        move(other, "planned", "sending"),
        move(new, "sending", "planned"),
        move(new, "planned", "sending"),
    ]
    assert _rounds(moves) == [[moves[0], moves[1]], [moves[2]], [moves[3]]]
    assert _rounds([]) == []


async def test_an_index_leads_to_every_entry_that_is_changed(journal, request_):
    async with journal:
        await submit(journal, request_, 1)
        assert journal._opened is not None
        connection = journal._opened._store._connection
        thread = journal._opened._thread
        statements: list[str] = []
        await asyncio.wrap_future(thread.submit(connection.set_trace_callback, statements.append))
        await submit(journal, request_, 2)
        await journal.saved("t2", [])
        await asyncio.wrap_future(thread.submit(connection.set_trace_callback, None))
    with sqlite3.connect(journal.path) as reader:
        for statement in statements:
            if statement.startswith(("UPDATE", "SELECT")):
                plan = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {statement}")]
                assert not any(line.startswith("SCAN entries") for line in plan), (statement, plan)
                assert any(line.startswith("SEARCH entries USING INDEX") for line in plan)
                assert not any("entries_by_status" in line for line in plan)
    reader.close()
