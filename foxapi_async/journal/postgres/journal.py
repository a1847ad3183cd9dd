"""The journal on a PostgreSQL server."""

from __future__ import annotations

from typing import Final

from foxapi_async.journal.postgres.health import ServerHealth
from foxapi_async.journal.stored import StoredJournal


class PostgresJournal(StoredJournal):
    """A journal in a PostgreSQL database, for sessions on many machines; needs the extra ``postgres``.

    It gives the promises of `Journal` to all sessions that name the same database and ``name``. Each
    open journal holds one connection, over which its writes are grouped, and an advisory lock by which
    the others see that it lives. While the server is away, submissions wait (at most 900 s) and tasks
    in flight go on. The schema ``foxapi_<name>`` is created when the journal is first opened.

    Args:
        dsn: A connection string of libpq: ``postgresql://user:password@host:5432/database``. Several
            hosts may be given; the one that can be written to is used. Connect directly or through a
            pool that keeps one server connection for each client (PgBouncer: session pooling).
        name: One of several journals in the database: 1 to 50 bytes of printable text.

    Raises:
        ConfigurationError: The extra is not installed, or an argument is wrong.
    """

    def __init__(self, dsn: str, *, name: str = "default") -> None:
        # Imports the driver, which not every installation has.
        from foxapi_async.journal.postgres.backend import PostgresBackend  # noqa: PLC0415

        backend = PostgresBackend(dsn, name)
        self.name: Final = name
        self._address: Final = backend.address.shown
        self._check: Final = backend.check
        super().__init__(backend)

    @property
    def address(self) -> str:
        """The address of the server and the name of the journal, without the password."""
        return self._address

    def check(self) -> ServerHealth:
        """Return what the server would keep from the journal's promises. Blocking; changes nothing.

        Raises:
            ConfigurationError: It cannot be reached or used.
        """
        return self._check()

    def __repr__(self) -> str:
        return f"PostgresJournal({self._address!r})"
