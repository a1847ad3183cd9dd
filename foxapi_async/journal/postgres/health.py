"""What a PostgreSQL server would keep from the promises of a journal. Blocking."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from foxapi_async.journal.postgres.connection import Address, Connection

_RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
_TABLES: Final = ("entries", "memory")
_ROUNDS: Final = 3


@attrs.frozen(kw_only=True)
class ServerHealth:
    """What was found out about the server of a journal.

    ``seconds`` is how long a connection took, ``version`` that of the journal, 0 if it is not created yet.
    ``warnings`` say what may lose commits. ``missing_rights`` are those that the user needs and lacks.
    ``shares_connections`` is whether a pool gives one connection of the server to several clients, so
    that no lock tells whether a session is alive.
    """

    server: str
    seconds: float
    version: int
    warnings: tuple[str, ...]
    missing_rights: tuple[str, ...]
    shares_connections: bool


def check(address: Address) -> ServerHealth:
    """Find out whether a journal can keep its promises at an address, without a change."""
    # This module is imported without the driver.
    from foxapi_async.journal.postgres.connection import (  # noqa: PLC0415
        durability_warnings,
        version_of,
    )

    began = time.monotonic()
    with closing(address.connect(writes=True)) as first:
        seconds = time.monotonic() - began
        with closing(address.connect(writes=True)) as second:
            shares_connections = _shares_connections(first, second)
        version = version_of(first, address)
        row = first.execute("SHOW server_version").fetchone()
        return ServerHealth(
            server="" if row is None else f"PostgreSQL {row[0]}",
            seconds=seconds,
            version=version,
            warnings=tuple(durability_warnings(first)),
            missing_rights=tuple(_missing_rights(first, address.schema, is_new=not version)),
            shares_connections=shares_connections,
        )


def _shares_connections(first: Connection, second: Connection) -> bool:
    """Return whether two clients have had the same process of the server, or one had several."""
    seen: tuple[set[int], set[int]] = (set(), set())
    for connection in (first, second):
        connection.prepare_threshold = None  # such a pool would lose them
    for _ in range(_ROUNDS):
        seen[0].add(_process(first))
        seen[1].add(_process(second))
        # Within a transaction, the pool has to take another connection for the second client.
        with first.transaction():
            seen[0].add(_process(first))
            seen[1].add(_process(second))
    return bool(seen[0] & seen[1]) or max(map(len, seen)) > 1


def _process(connection: Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def _missing_rights(connection: Connection, schema: str, *, is_new: bool) -> list[str]:
    if is_new:
        query = "SELECT has_database_privilege(current_database(), 'CREATE')"
        row = connection.execute(query).fetchone()
        return [] if row == (True,) else ["CREATE on the database"]
    # The search path of the connection leads to the tables.
    missing: list[str] = []
    for table in _TABLES:
        for right in _RIGHTS:
            query = "SELECT has_table_privilege(%s, %s)"
            if connection.execute(query, (table, right)).fetchone() != (True,):
                missing.append(f"{right} on {schema}.{table}")
    return missing
