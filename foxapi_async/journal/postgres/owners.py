"""Owners: which session is submitting an entry, and whether it is still connected.

An owner holds an advisory lock of the server, under its id, as long as its connection lives. The
server releases it when the process ends, and soon after its host has vanished. A lock tells only
whether to wait for an owner; whether it may move an entry, the entry tells (see `moves`).
"""

from __future__ import annotations

import secrets
import time
from typing import Final

import psycopg

from foxapi_async.journal.postgres.connection import Connection

_WAIT: Final = 10.0
"""Seconds to wait until the server has ended the owner's previous connection."""
_STEP: Final = 0.05

_LIVING: Final = (
    "SELECT ((classid::bigint << 32) | objid::bigint)::text FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def new_owner() -> str:
    """Return a random owner: the number of an advisory lock."""
    return str(secrets.randbits(63))


def lock(connection: Connection, owner: str) -> None:
    """Become an owner over this connection, after the end of its previous one.

    Once the lock is taken, nothing that was begun over the previous connection can still be committed.
    """
    deadline = time.monotonic() + _WAIT
    while not _is_taken(connection, owner):
        # The server has not noticed yet that the previous connection is broken.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
            " AND granted AND ((classid::bigint << 32) | objid::bigint)::text = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            (owner,),
        )
        if time.monotonic() > deadline:
            raise psycopg.OperationalError("the previous connection of this session has not ended")
        time.sleep(_STEP)


def living(connection: Connection) -> frozenset[str]:
    """Return the owners that are connected now."""
    return frozenset(row[0] for row in connection.execute(_LIVING).fetchall())


def _is_taken(connection: Connection, owner: str) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (int(owner),)).fetchone()
    return row is not None and row[0] is True
