"""Poolers in front of a server: which of them a journal can use.

A pooler that gives each transaction another connection of the server takes settings and advisory
locks away from their owner. A lock that it keeps would make a dead owner look alive.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import Final

import psycopg

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal.postgres.connection import Address, Connection, cut_after

_PATIENCE: Final = 5.0
"""Seconds for the answer to a second connection: a pool may have no more than one."""


def backend_of(connection: Connection) -> int:
    """Return the process of the server that answers now."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    number: int = row[0]
    return number


def check_pooling(connection: Connection, address: Address) -> None:
    """Raise ConfigurationError if a pooler gives the connection's process to other clients, too."""
    own = backend_of(connection)
    if own == connection.info.backend_pid:
        return
    with (
        suppress(psycopg.Error, OSError),
        closing(address.connect(writes=True)) as second,
        cut_after(second, _PATIENCE),
    ):
        second.execute("BEGIN")
        if backend_of(second) == own:
            raise pooling_error(address)


def pooling_error(address: Address) -> ConfigurationError:
    """Return the error for a pooler that cannot be used."""
    return ConfigurationError(
        f"{address.label}: a pooler gives the transactions of one client different connections of the "
        "server, so nobody could tell which sessions are alive; use session pooling (PgBouncer: "
        "pool_mode = session), or connect directly"
    )
