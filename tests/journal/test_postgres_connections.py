"""Journals on PostgreSQL whose connections are cut, stall, or lose the answer to a commit."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
import uuid
from collections.abc import Iterator

import pytest

from foxapi_async.errors import FoxAPIError, SubmissionUnknownError
from foxapi_async.journal import PostgresJournal, writer
from foxapi_async.journal.moves import Moves
from foxapi_async.journal.postgres import connection as connections
from foxapi_async.models import TaskStatus
from tests.journal.postgres_proxy import Loss, Proxy, proxy_of
from tests.postgres_server import PostgresServer

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.once]


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    with proxy_of(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def journal(proxy: Proxy) -> PostgresJournal:
    return PostgresJournal(proxy.dsn(), name=uuid.uuid4().hex)


@pytest.fixture
def direct(postgres: PostgresServer, journal: PostgresJournal) -> PostgresJournal:
    """Another session of the same journal, with a connection of its own."""
    return PostgresJournal(postgres.dsn, name=journal.name)


@pytest.mark.parametrize(
    "case", [(Loss.COMMIT, False), (Loss.COMMIT, True), (Loss.ANSWER, False), (Loss.ANSWER, True)]
)
async def test_a_commit_that_was_not_answered_is_made_exactly_once(
    journal, request_, proxy: Proxy, postgres: PostgresServer, case: tuple[Loss, bool]
):
    loss, crash = case

    def lose() -> None:
        proxy.loss = loss

    async with journal:
        first = await journal.claim("k", request_)
        await first.sending()
        await first.unknown("no answer")
        journal.resubmit(journal.find(["k"])["k"])
        lose()
        claim = await journal.claim("k", request_)
        lose()
        proxy.lost.clear()
        writing = asyncio.create_task(claim.sending())
        if crash:
            assert await asyncio.to_thread(proxy.lost.wait, 5)
            await asyncio.to_thread(postgres.restart, signal.SIGQUIT)
        await writing
        lose()
        await claim.accepted("t1")
        lose()
        journal.ended("t1", TaskStatus.COMPLETED)
        await journal.saved("t1", [])
        assert journal.count() == {"saved": 1}
        # What is replaced is counted once.
        assert journal.images() == (request_.num_outputs, request_.num_outputs)


async def test_an_owner_that_was_taken_for_dead_may_not_send(journal, direct, request_, proxy):
    async with journal, direct:
        planned = await journal.claim("planned", request_)
        sent = await journal.claim("sent", request_)
        await sent.sending()
        random = await journal.claim(None, request_)
        random_sent = await journal.claim(None, request_)
        await random_sent.sending()
        proxy.cut()
        taken = await direct.claim("planned", request_)
        assert taken.is_new
        with pytest.raises(SubmissionUnknownError):
            await direct.claim("sent", request_)
        async with PostgresJournal(direct._backend.address._dsn, name=journal.name):
            pass  # settles what is left by the dead
        with pytest.raises(FoxAPIError, match="nothing was sent"):
            await planned.sending()
        assert planned.is_lost
        await planned.not_sent("lost")
        await sent.accepted("t1")
        await random.sending()
        await random.accepted("t2")
        await random_sent.accepted("t3")
        assert not (await direct.claim("sent", request_)).is_new
        await taken.sending()
        await taken.accepted("t4")
        found = {entry.key: entry.task_id for entry in direct.entries("accepted")}
    expected = {"planned": "t4", "sent": "t1", random.key: "t2", random_sent.key: "t3"}
    assert found == expected


async def test_a_connection_that_stalls_is_replaced(journal, request_, proxy, monkeypatch):
    monkeypatch.setattr(writer, "_LONGEST_CALL", 0.5)
    async with journal:
        claim = await journal.claim("k", request_)
        proxy.stall()
        await claim.sending()
        proxy.stall()
        assert await journal.lookup(["k"])
        journal.remember("x", 1)
        proxy.stall()
        assert journal.count() == {"sending": 1}
        await claim.accepted("t1")


async def test_a_stopped_server_does_not_keep_a_journal_from_closing(
    journal, request_, proxy, monkeypatch, caplog
):
    monkeypatch.setattr(writer, "_CLOSING", 0.5)
    monkeypatch.setattr(connections, "_SETUP", 0.5)
    async with journal:
        claim = await journal.claim("k", request_)
        await claim.sending()
        proxy.stall()
        proxy.refuse()
        writing = asyncio.create_task(claim.accepted("t1"))
        await asyncio.sleep(0.1)
    with pytest.raises(FoxAPIError, match=r"t1 .* is billed") as caught:
        await asyncio.wait_for(writing, 5)
    assert caught.value.task_id == "t1"
    assert any("not written: key 'k' is accepted as task t1" in line for line in caplog.messages)


async def test_a_write_that_may_have_been_made_leaves_no_key_behind(
    journal, direct, request_, proxy, monkeypatch
):
    monkeypatch.setattr(writer, "PATIENCE", 0.0)
    async with journal, direct:
        sending = await journal.claim("sending", request_)
        for ask in (sending.sending, lambda: journal.claim("planned", request_)):
            proxy.loss = Loss.ANSWER
            with pytest.raises(FoxAPIError, match="connection"):
                await ask()
            monkeypatch.setattr(writer, "PATIENCE", 9.0)
            await journal.lookup([])
            monkeypatch.setattr(writer, "PATIENCE", 0.0)
        await sending.not_sent("the journal is away")
        await journal.lookup([])
        for key in ("sending", "planned"):
            claim = await asyncio.wait_for(direct.claim(key, request_), 5)
            assert claim.is_new
            await claim.not_sent("enough")


async def test_a_transaction_that_stood_still_too_long_is_made_again(
    journal, request_, monkeypatch
):
    monkeypatch.setitem(connections._SETTINGS, "idle_in_transaction_session_timeout", "50ms")
    execute, pauses = Moves.execute, [0.3]

    def slowly(self, operations) -> None:
        execute(self, operations)
        time.sleep(pauses.pop() if pauses else 0)

    monkeypatch.setattr(Moves, "execute", slowly)
    async with journal:
        claim = await journal.claim("k", request_)
        await claim.sending()
        await claim.accepted("t1")


async def test_commits_are_durable_over_each_connection(
    journal, request_, proxy, postgres: PostgresServer
):
    query = "SELECT current_setting('synchronous_commit'), current_setting('idle_session_timeout')"
    names = ("synchronous_commit = off", "idle_session_timeout = '1s'")
    try:
        for name in names:
            postgres.execute(f"ALTER ROLE postgres SET {name}")
        async with journal:
            for _ in range(2):
                await journal.lookup(["k"])
                database = journal._claims.writer._database
                assert database._connection.execute(query).fetchone() == ("on", "0")
                proxy.cut()
    finally:
        postgres.execute("ALTER ROLE postgres RESET ALL")


async def test_connections_that_are_cut_again_and_again_lose_nothing(
    journal, direct, request_, postgres: PostgresServer
):
    async def submit(opened: PostgresJournal, number: int) -> None:
        claim = await opened.claim(f"k{number}", request_)
        await asyncio.sleep(number / 1000)
        await claim.sending()
        await asyncio.sleep(number / 1000)
        await claim.accepted(f"t{number}")

    async with journal, direct, asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(submit((journal, direct)[number % 2], number))
        for _ in range(6):
            await asyncio.sleep(0.05)
            await asyncio.to_thread(postgres.cut_connections)
    assert direct.count() == {"accepted": 200}


async def test_a_stopped_server_pauses_submissions(journal, request_, postgres: PostgresServer):
    async with journal:
        claim = await journal.claim("k", request_)
        assert postgres._process is not None
        (pid,) = postgres.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'foxapi-async'"
        )[0]
        pids = [postgres._process.pid, pid]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        writing = asyncio.create_task(claim.sending())
        done, _ = await asyncio.wait([writing], timeout=0.5)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert not done
        await asyncio.wait_for(writing, 20)


async def test_ids_are_written_after_an_outage(journal, request_, postgres, caplog):
    caplog.set_level(logging.WARNING)
    async with journal:
        claim = await journal.claim("k", request_)
        await claim.sending()
        postgres.stop()
        writing = asyncio.create_task(claim.accepted("t1"))
        await asyncio.sleep(0.4)
        assert not writing.done()
        await asyncio.to_thread(postgres.start)
        await writing
        assert [entry.task_id for entry in journal.unfinished()] == ["t1"]
    said = " ".join(caplog.messages)
    assert "submissions pause until it can be written again" in said
    assert "can be written again after" in said
