"""Journals on PostgreSQL servers and databases of many kinds, and many sessions on one."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal import PostgresJournal, journal_at
from foxapi_async.journal.postgres.connection import is_outage
from foxapi_async.models import TaskStatus
from tests.postgres_server import PostgresServer

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.once]

KEYS = ["", "\0", "a\0b", "\ud800", "\udfff\ud800", "é\u202e", "%s?", "x" * 1_000_000]


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def database(dsn: str, name: str) -> str:
    return f"{dsn.rpartition('/')[0]}/{name}"


async def submit(journal: PostgresJournal, key: str | None, request_, task_id: str = "t") -> None:
    claim = await journal.claim(key, request_)
    await claim.sending()
    await claim.accepted(task_id)


@pytest.mark.parametrize("encoding", ["UTF8", "SQL_ASCII"])
async def test_any_key_can_be_used(postgres: PostgresServer, name, request_, encoding: str):
    postgres.execute(
        f"CREATE DATABASE \"{name}\" ENCODING {encoding!r} LOCALE 'C' TEMPLATE template0"
    )
    journal = PostgresJournal(database(postgres.dsn, name), name="é journal")
    async with journal:
        for number, key in enumerate(KEYS):
            await submit(journal, key, request_, f"t{number}")
            journal.remember(f"name {key[:9]!a}", {"é": key[:9]})
        found = await journal.lookup(KEYS)
        assert {key: entry.task_id for key, entry in found.items()} == {
            key: f"t{number}" for number, key in enumerate(KEYS)
        }
        for key in KEYS:
            assert len(journal.forget(key)) == 1
            assert journal.was_forgotten(key)
        assert not journal.was_forgotten("x" * 999_999)
        assert (await journal.claim(KEYS[-1], request_)).is_new


async def test_a_database_that_cannot_store_every_prompt_is_refused(postgres, name):
    postgres.execute(f"CREATE DATABASE \"{name}\" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    journal = PostgresJournal(database(postgres.dsn, name))
    with pytest.raises(ConfigurationError, match="LATIN1, which cannot store every prompt"):
        await journal.open()


async def test_ten_sessions_can_open_an_empty_database_at_once(postgres, name, request_):
    journals = [PostgresJournal(postgres.dsn, name=name) for _ in range(10)]
    watching = [asyncio.to_thread(journals[0].entries) for _ in range(20)]
    await asyncio.gather(*(each.open() for each in journals), *watching)
    await asyncio.gather(
        *(submit(each, f"k{n}", request_, f"t{n}") for n, each in enumerate(journals))
    )
    for each in journals:
        await each.aclose()
    assert journals[0].count() == {"accepted": 10}


async def test_sessions_that_claim_the_same_keys_in_any_order_do_not_block_each_other(
    postgres, name, request_
):
    one, two = (PostgresJournal(postgres.dsn, name=name) for _ in range(2))
    keys = [f"k{number}" for number in range(20)]
    async with one, two:

        async def run(journal: PostgresJournal, key: str) -> bool:
            claim = await journal.claim(key, request_)
            if claim.is_new:
                await claim.sending()
                await claim.accepted(f"t{key}")
            return claim.is_new

        results = await asyncio.gather(
            *(run(one, key) for key in keys), *(run(two, key) for key in reversed(keys))
        )
        assert sum(results) == len(keys)


async def test_a_server_that_becomes_read_only_pauses_submissions(postgres, name, request_):
    journal = PostgresJournal(postgres.dsn, name=name)
    async with journal:
        claim = await journal.claim("k", request_)
        try:
            postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            postgres.execute("SELECT pg_reload_conf()")
            await asyncio.sleep(0.2)
            writing = asyncio.create_task(claim.sending())
            done, _ = await asyncio.wait([writing], timeout=0.5)
            assert not done
            with pytest.raises(
                ConfigurationError, match="is read-only; give the address of the pr"
            ):
                await PostgresJournal(postgres.dsn, name=name).open()
            assert journal_at(f"{postgres.dsn}#{name}").count() == {"planned": 1}
        finally:
            with psycopg.connect(postgres.dsn, autocommit=True) as connection:
                connection.execute("SET default_transaction_read_only = off")
                connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
                connection.execute("SELECT pg_reload_conf()")
        await asyncio.wait_for(writing, 20)


async def test_a_role_needs_rights(postgres: PostgresServer, name, request_):
    role = f"r{name}"
    postgres.execute(f"CREATE ROLE {role} LOGIN")
    dsn = postgres.dsn.replace("postgres:secret@", f"{role}@")
    with pytest.raises(ConfigurationError, match="grant it CREATE on the database"):
        await PostgresJournal(dsn, name=name).open()
    async with PostgresJournal(postgres.dsn, name=name):
        pass
    with pytest.raises(ConfigurationError, match="grant it"):
        await PostgresJournal(dsn, name=name).open()
    postgres.execute(f'GRANT USAGE ON SCHEMA "foxapi_{name}" TO {role}')
    postgres.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA "foxapi_{name}" TO {role}')
    assert PostgresJournal(dsn, name=name).entries() == []
    with pytest.raises(ConfigurationError, match="grant it"):
        await PostgresJournal(dsn, name=name).open()
    tables = f'ALL TABLES IN SCHEMA "foxapi_{name}"'
    postgres.execute(f"GRANT INSERT, UPDATE, DELETE ON {tables} TO {role}")
    async with PostgresJournal(dsn, name=name) as journal:
        await submit(journal, "k", request_)


async def test_a_journal_that_grows_is_never_scanned(postgres: PostgresServer, name, request_):
    def scans() -> int:
        schema = f"foxapi_{name}"
        query = (
            "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'entries' AND schemaname = "
        )
        return postgres.execute(f"{query}'{schema}'")[0][0]

    async def use(journal: PostgresJournal, turn: str) -> None:
        for number in range(8):  # the server makes its plans for good after five executions
            key = f"{turn}{number}"
            await submit(journal, key, request_, f"t{key}")
            journal.ended(f"t{key}", TaskStatus.COMPLETED)
            await journal.saved(f"t{key}", [])
            assert await journal.has_task(f"t{key}")
            assert await journal.lookup([key])
        await submit(journal, None, request_, f"random {turn}")

    journal = PostgresJournal(postgres.dsn, name=name)
    async with journal:
        pass
    before = scans()
    async with journal:
        await use(journal, "small")
        postgres.execute(
            f'INSERT INTO "foxapi_{name}".entries (key, status, keyed, model, kind, path, payload,'
            " num_outputs, task_id, created, updated) SELECT convert_to('old ' || n, 'UTF8'), 'saved',"
            " true, 'm', 'image', '/', '{}', 1, 'old-' || n, 0, 0 FROM generate_series(1, 3000) n"
        )
        await use(journal, "large")
        claims = [await journal.claim("small1", request_), await journal.claim("open", request_)]
        await claims[1].not_sent("enough")
    async with journal:
        await use(journal, "opened again")
    assert scans() == before


async def test_too_many_connections_are_told(postgres: PostgresServer, name):
    postgres.execute(f'CREATE DATABASE "{name}" CONNECTION LIMIT 0')
    postgres.execute(f"CREATE ROLE r{name} LOGIN")
    dsn = database(postgres.dsn.replace("postgres:secret@", f"r{name}@"), name)
    with pytest.raises(ConfigurationError, match="allow more, or run fewer sessions"):
        await PostgresJournal(dsn).open()


async def test_schemas_of_others_are_left_alone(postgres: PostgresServer, name):
    postgres.execute(f'CREATE SCHEMA "foxapi_{name}"')
    postgres.execute(f'CREATE TABLE "foxapi_{name}".entries (x int)')
    with pytest.raises(ConfigurationError, match="belongs to another program"):
        await PostgresJournal(postgres.dsn, name=name).open()
    postgres.execute(f'DROP TABLE "foxapi_{name}".entries')
    async with PostgresJournal(postgres.dsn, name=name):
        pass
    postgres.execute(f'UPDATE "foxapi_{name}".foxapi_journal SET version = 99')
    with pytest.raises(ConfigurationError, match="newer foxapi-async"):
        await PostgresJournal(postgres.dsn, name=name).open()


@pytest.mark.parametrize(
    ("state", "passes"),
    [
        ("08006", True),
        ("25P03", True),
        ("40P01", True),
        ("53100", True),
        ("53300", True),
        ("55P03", True),
        ("57014", True),
        ("57P01", True),
        ("58030", True),
        ("22P05", False),
        ("42501", False),
        ("42P01", False),
        ("XX001", False),
    ],
)
def test_which_errors_pass(state: str, passes: bool):
    assert is_outage(psycopg.errors.lookup(state)()) is passes


@pytest.fixture
def pooled(postgres: PostgresServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Addresses of the server behind PgBouncer, by how it pools."""
    bouncer = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if bouncer is None:
        pytest.skip("PgBouncer is not installed (Debian: pgbouncer)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = f"host=127.0.0.1 port={postgres.port} dbname=postgres"
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\nsession = {target} pool_mode=session\n"
        f"transaction = {target} pool_mode=transaction\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {tmp_path / 'users'}\n"
        + ("user = nobody\n" if os.geteuid() == 0 else "")
    )
    (tmp_path / "users").write_text('"postgres" ""\n')
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)  # PgBouncer does not run as root
    process = subprocess.Popen([bouncer, "-q", config], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None
        yield {
            mode: f"postgresql://postgres@127.0.0.1:{port}/{mode}"
            for mode in ("session", "transaction")
        }
    finally:
        process.terminate()
        process.wait()


async def test_a_pooler_must_keep_a_connection_for_each_session(pooled, postgres, name, request_):
    with pytest.raises(ConfigurationError, match="pool_mode = session"):
        await PostgresJournal(pooled["transaction"], name=name).open()
    one, two = (PostgresJournal(pooled["session"], name=name) for _ in range(2))
    async with two:
        async with one:
            await submit(one, "k", request_, "t1")
            held = await one.claim("held", request_)
            await held.sending()
            asking = asyncio.create_task(two.claim("held", request_))
            done, _ = await asyncio.wait([asking], timeout=0.3)
            assert not done
        # The lock is released although the pool keeps the connection.
        with pytest.raises(Exception, match="may have been billed"):
            await asyncio.wait_for(asking, 10)
        assert not (await two.claim("k", request_)).is_new
