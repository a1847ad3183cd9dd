"""What `PostgresJournal.check` finds out about a server, behind a pool and without rights."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from foxapi_async import ConfigurationError
from foxapi_async.journal import PostgresJournal
from tests.postgres_server import PostgresServer

POOL = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pool(server: PostgresServer, mode: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = (
        f"[databases]\npostgres = host=127.0.0.1 port={server.port} user=postgres\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {mode}\n"
    )
    # The pool refuses to run as root, and another user cannot enter the folders of pytest.
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as file:
        file.write(settings)
        file.flush()
        os.chmod(file.name, 0o644)  # noqa: PTH101
        process = subprocess.Popen(
            [str(POOL), "-q", file.name], user=server._user, stderr=subprocess.DEVNULL
        )
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if not probe.connect_ex(("127.0.0.1", port)):
                        break
                time.sleep(0.02)
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            process.kill()
            process.wait()


async def test_a_server_is_described_and_nothing_is_created(postgres: PostgresServer):
    journal = PostgresJournal(postgres.dsn, name="health")
    health = journal.check()
    assert health.server.startswith("PostgreSQL ")
    assert (health.version, health.missing_rights, health.shares_connections) == (0, (), False)
    assert any("fsync is off" in each for each in health.warnings)
    assert journal.check().version == 0
    async with journal:
        assert journal.check().version == 1


async def test_missing_rights_are_named(postgres: PostgresServer):
    postgres.execute("CREATE ROLE reader LOGIN")
    dsn = postgres.dsn.replace("postgres:secret", "reader")
    assert PostgresJournal(dsn, name="other").check().missing_rights == ("CREATE on the database",)
    async with PostgresJournal(postgres.dsn, name="rights"):
        postgres.execute("GRANT USAGE ON SCHEMA foxapi_rights TO reader")
        for right in ("SELECT ON ALL TABLES", "INSERT, UPDATE, DELETE ON foxapi_rights.entries"):
            where = " IN SCHEMA foxapi_rights" if "ALL" in right else ""
            postgres.execute(f"GRANT {right}{where} TO reader")
    missing = PostgresJournal(dsn, name="rights").check().missing_rights
    assert missing == tuple(
        f"{right} on foxapi_rights.memory" for right in ("INSERT", "UPDATE", "DELETE")
    )


@pytest.mark.skipif(POOL is None, reason="PgBouncer is not installed (Debian: pgbouncer)")
def test_a_pool_that_shares_connections_is_found(postgres: PostgresServer):
    found = {}
    for mode in ("session", "transaction"):
        with pool(postgres, mode) as dsn:
            found[mode] = PostgresJournal(dsn, name="pooled").check().shares_connections
    assert found == {"session": False, "transaction": True}


def test_a_server_that_is_away_is_an_error_without_the_password():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dsn = f"postgresql://me:secret@127.0.0.1:{free.getsockname()[1]}/db"
        with pytest.raises(ConfigurationError, match="cannot be reached") as caught:
            PostgresJournal(dsn).check()
    assert "secret" not in str(caught.value)
