"""Connections to a PostgreSQL server: addresses, the schema of a journal, and what errors mean.

Each journal is a schema of its own, so that it can be granted, copied and dropped by itself.

Version 1 of the schema is the first that was released. A later version adds its step to `_STEPS`; the
first session that opens an older journal upgrades it in one transaction.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Generator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from foxapi_async.errors import ConfigurationError

try:
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import conninfo_to_dict
except ImportError as _missing:
    raise ConfigurationError(
        "a journal on PostgreSQL needs the extra `postgres`: pip install 'foxapi-async[postgres]' "
        f"({_missing})"
    ) from _missing

Connection = psycopg.Connection[tuple[Any, ...]]

_OLDEST_SERVER: Final = 130_000
"""The oldest that the tests may run on: what its makers still supported in 2025."""
_LIBPQ_WITH_PRIMARY: Final = 140_000
_LONGEST_NAME: Final = 50
"""Bytes of a journal's name: PostgreSQL cuts identifiers after 63."""
_PREFIX: Final = "foxapi_"
_SECRETS: Final = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
_SCHEMA_LOCK: Final = 0x466F784A00000000
"""The advisory lock under which schemas are created: concurrent CREATE … IF NOT EXISTS collide."""
_PARAMETERS: Final[Mapping[str, Any]] = {
    "application_name": "foxapi-async",
    "client_encoding": "UTF8",
    # Seconds; without them a host that has vanished is noticed after hours.
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_SETUP: Final = 10.0
"""Seconds in which a new connection must be ready for use."""
_SETTINGS: Final[Mapping[str, str]] = {
    # The server's side of the same, so that the lock of a host that has vanished is released.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # A process that is stopped in a transaction must not hold up the others.
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "10s",
    # A cancelled wait for a synchronous standby would look like a commit; the writer has its own limit.
    "statement_timeout": "0",
    # What follows may have been set otherwise for the user or the database.
    "default_transaction_isolation": "read committed",
    "client_encoding": "UTF8",
}
_OPTIONAL_SETTINGS: Final[Mapping[str, str]] = {
    # An owner whose connection is ended while it is idle would be taken for dead.
    "idle_session_timeout": "0",
}
"""Settings that not all supported servers have."""
_ENCODINGS: Final = frozenset({"UTF8", "SQL_ASCII"})
"""Encodings of databases that can store every prompt."""
_STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE foxapi_journal (version integer NOT NULL)",
        "INSERT INTO foxapi_journal VALUES (0)",
        """
        CREATE TABLE entries (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            key bytea NOT NULL,         -- UTF-8; bytes, because any str may be a key
            status text NOT NULL,
            owner text,                 -- the session that decides on it, or that has accepted it
            keyed boolean NOT NULL,     -- false: the key is a random one of ours
            model text NOT NULL,
            kind text NOT NULL,
            path text NOT NULL,
            payload text NOT NULL,      -- the JSON object of the POST
            num_outputs bigint NOT NULL,
            task_id text,
            submitted double precision, -- moments are seconds since 1970, UTC
            estimated_time double precision,
            error_code text,
            error text,
            files text,                 -- JSON: path, size, sha256, index of each
            created double precision NOT NULL,
            updated double precision NOT NULL,
            response text               -- what the server said to an unknown submission
        )
        """,
        # Of the hash, because an index takes no keys of more than 2.7 kB.
        "CREATE UNIQUE INDEX entries_by_key ON entries (sha256(key))",
        "CREATE INDEX entries_by_status ON entries (status, id)",
        "CREATE INDEX entries_by_task ON entries (task_id) WHERE task_id IS NOT NULL",
        """
        CREATE TABLE memory (
            name text COLLATE "C" PRIMARY KEY,
            value text NOT NULL,
            updated double precision NOT NULL
        )
        """,
        # What follows is for the limits that all sessions keep together; moments are the server's.
        """
        CREATE TABLE limits (
            spent bigint,               -- at least the images of all submissions, NULL if not counted
            circuit_owner text          -- the session that tests whether the service answers again
        )
        """,
        "INSERT INTO limits VALUES (NULL, NULL)",
        """
        CREATE TABLE places (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            key bytea NOT NULL UNIQUE,  -- sha256 of the key of the submission
            owner text NOT NULL,
            outputs bigint NOT NULL,
            is_granted boolean NOT NULL,
            asked double precision NOT NULL,
            orphaned double precision   -- when its owner was found dead
        )
        """,
        """
        CREATE TABLE refusals (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            owner text NOT NULL,
            lane text NOT NULL,
            at double precision NOT NULL,
            until double precision
        )
        """,
        "CREATE TABLE sharers (owner text PRIMARY KEY, seen double precision NOT NULL)",
    ),
)
"""Step n upgrades a journal from version n to version n + 1."""


class Address:
    """The server and the name of a journal on it. Its texts do not contain the password.

    Raises:
        ConfigurationError: ``dsn`` is not the address of a PostgreSQL server, or ``name`` is too long.
    """

    def __init__(self, dsn: str, name: str) -> None:
        try:
            parts = conninfo_to_dict(dsn)
        except psycopg.Error:
            # Its text would show the password.
            raise ConfigurationError(
                "the address of the journal is not one of a PostgreSQL server; write "
                "postgresql://USER@HOST:PORT/DATABASE"
            ) from None
        if not 0 < len(name.encode(errors="replace")) <= _LONGEST_NAME or not name.isprintable():
            raise ConfigurationError(
                f"{name!r} cannot be the name of a journal: give 1 to {_LONGEST_NAME} printable characters"
            )
        self._dsn: Final = dsn
        self._parts: Final = parts
        self.schema: Final = _PREFIX + name
        self.shown: Final = _without_secrets(parts, name)
        """As `journal_at` takes it; the password may come from the environment or a password file."""
        self.label: Final = f"journal {self.shown!r}"

    def connect(self, *, writes: bool) -> Connection:
        """Return a new connection that commits each statement, with the schema as its search path."""
        parameters = dict(_PARAMETERS)
        # Of several hosts, never a standby, which lags behind and does not know which owners live.
        knows_primary = psycopg.pq.version() >= _LIBPQ_WITH_PRIMARY
        parameters["target_session_attrs"] = (
            "primary" if knows_primary and not writes else "read-write"
        )
        chosen = {name: value for name, value in parameters.items() if name not in self._parts}
        connection = psycopg.connect(self._dsn, autocommit=True, **chosen)
        try:
            # A pooler that has no connection left lets its client in and then does not answer.
            with cut_after(connection, _SETUP):
                self._check_server(connection)
                settings = {**_SETTINGS, "search_path": sql.Identifier(self.schema).as_string(None)}
                connection.execute(
                    "SELECT " + ", ".join("set_config(%s, %s, false)" for _ in settings),
                    [text for setting in settings.items() for text in setting],
                )
                connection.execute(
                    "SELECT set_config(name, wanted, false) FROM pg_settings"
                    " JOIN unnest(%s::text[], %s::text[]) AS optional(setting, wanted) ON name = optional.setting",
                    [list(_OPTIONAL_SETTINGS), list(_OPTIONAL_SETTINGS.values())],
                )
                if writes:
                    # A commit that was answered must survive a crash of the server.
                    connection.execute(
                        "SELECT set_config(name, 'on', false) FROM pg_settings"
                        " WHERE name = 'synchronous_commit' AND setting IN ('off', 'local')"
                    )
                    # A plan that was made while the journal was small is kept when it has grown.
                    connection.execute("SET enable_seqscan = off")
                    # Where there is no index, the plan now looks so expensive that it would be compiled.
                    connection.execute("SET jit = off")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_server(self, connection: Connection) -> None:
        if (version := connection.info.server_version) < _OLDEST_SERVER:
            raise ConfigurationError(
                f"{self.label}: a journal needs PostgreSQL {_OLDEST_SERVER // 10_000} or newer; the server "
                f"has {version / 10_000:.4g}"
            )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in _ENCODINGS:
            # One character that the database lacks would make every batch fail that contains it.
            raise ConfigurationError(
                f"{self.label}: the database is encoded in {encoding}, which cannot store every prompt; "
                "create one with: CREATE DATABASE foxapi ENCODING 'UTF8' TEMPLATE template0"
            )


def _without_secrets(parts: Mapping[str, Any], name: str) -> str:
    """Return the address of a journal that leads to the same server with the same settings."""
    rest = {key: str(value) for key, value in parts.items() if key not in _SECRETS}
    user, database = (quote(rest.pop(key, ""), safe="") for key in ("user", "dbname"))
    hosts = rest.pop("host", "").split(",")
    ports = rest.pop("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    places = [
        (f"[{host}]" if ":" in host else quote(host, safe="")) + (f":{port}" if port else "")
        for host, port in zip(hosts, ports, strict=False)
    ]
    settings = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    suffix = "" if name == "default" else f"#{quote(name)}"
    return f"postgresql://{user}{user and '@'}{','.join(places)}/{database}{settings}{suffix}"


def version_of(connection: Connection, address: Address) -> int:
    """Return the version of the journal's schema, 0 if there is none; ConfigurationError if it is newer."""
    tables = _tables(connection, address)
    if "foxapi_journal" not in tables:
        if "entries" in tables:
            raise ConfigurationError(
                f"{address.label}: the schema {address.schema!r} belongs to another program; nothing was "
                "changed. Give the journal another name"
            )
        return 0
    # With the schema's name: without the right to use it, it is left out of the search path.
    query = sql.SQL("SELECT version FROM {}.foxapi_journal").format(sql.Identifier(address.schema))
    rows = connection.execute(query).fetchall()
    version: int = rows[0][0] if rows else 0
    if version > len(_STEPS):
        raise ConfigurationError(
            f"{address.label}: it was written by a newer foxapi-async (format {version}; this release "
            f"knows {len(_STEPS)}); update foxapi-async"
        )
    return version


def create_or_upgrade(connection: Connection, address: Address) -> None:
    """Create the journal or upgrade it, once, whichever session comes first."""
    if version_of(connection, address) == len(_STEPS):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        version = version_of(connection, address)
        if not version:
            # Not "IF NOT EXISTS", which needs the right to create even if it exists.
            exists = connection.execute(
                "SELECT 1 FROM pg_namespace WHERE nspname = %s", (address.schema,)
            ).fetchone()
            if exists is None:
                schema = sql.Identifier(address.schema)
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        for step in _STEPS[version:]:
            for statement in step:
                connection.execute(statement.encode())
        connection.execute("UPDATE foxapi_journal SET version = %s", (len(_STEPS),))


def durability_warnings(connection: Connection) -> list[str]:
    """Return what can lose commits that were answered."""
    found: list[str] = []
    query = (
        "SELECT current_setting('fsync'), current_setting('synchronous_standby_names'),"
        " (SELECT count(*) FROM pg_stat_replication)"
    )
    fsync, standby_names, standbys = _row(connection, query)
    if fsync == "off":
        found.append(
            "fsync is off, so a crash of the server may lose submissions, which are then paid twice; "
            "set fsync = on"
        )
    if standbys and not standby_names:
        found.append(
            "its standby servers are not synchronous, so a failover may lose the last submissions, which "
            "are then paid twice; set synchronous_standby_names"
        )
    return found


_UNREACHABLE: Final = "the server cannot be reached; check the address, and whether it runs"
_ADVICE: Final = (
    (
        "28",
        "the server refuses the user or the password; check the address, PGPASSWORD and the password file",
    ),
    ("3D", "the database does not exist; create it, or correct the address"),
    ("42501", "the user may not do that; grant it CREATE on the database and all on the schema"),
    ("53100", "the disk of the server is full; free some space"),
    ("53300", "the server has too many connections; allow more, or run fewer sessions"),
    ("25006", "the server is read-only; give the address of the primary server"),
    ("08", _UNREACHABLE),
    ("57", _UNREACHABLE),
)
_PASSING: Final = ("08", "25006", "25P03", "40", "53", "55P03", "57", "58")
"""Beginnings of the SQLSTATE codes of what passes: see appendix A of the PostgreSQL manual."""


def is_outage(error: BaseException) -> bool:
    """Return whether an error will pass: the connection or the server is gone, full or busy."""
    if not isinstance(
        error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError
    ):
        return isinstance(error, psycopg.DatabaseError) and (error.sqlstate or "").startswith(
            _PASSING
        )
    return error.sqlstate is None or error.sqlstate.startswith(_PASSING)


def is_restarting(error: BaseException) -> bool:
    """Return whether the server cannot be reached, but neither the address nor a right is known to be wrong."""
    return is_outage(error) and _state_of(error).startswith(("08", "57"))


def configuration_error(address: Address, error: BaseException) -> ConfigurationError:
    """Return the error to raise if the server fails before anything was sent."""
    state = _state_of(error)
    advice = next((text for code, text in _ADVICE if state.startswith(code)), None)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ConfigurationError(f"{address.label}: {advice or 'PostgreSQL cannot use it'} ({reason})")


def _state_of(error: BaseException) -> str:
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    if state is None:
        # Before a connection exists, libpq tells the reason in words only.
        text = str(error).lower()
        is_refused = (
            "password" in text or "authentication" in text or "pg_hba" in text or 'role "' in text
        )
        state = "28000" if is_refused else "3D000" if "does not exist" in text else "08000"
        if "too many" in text or "remaining connection slots" in text:
            state = "53300"
        elif "read-only" in text or "standby" in text:
            state = "25006"
    return state


def _tables(connection: Connection, address: Address) -> set[str]:
    # Not to_regclass, which may answer from a cache that does not know what another session has created.
    query = (
        "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE nspname = %s"
    )
    return {row[0] for row in connection.execute(query, (address.schema,)).fetchall()}


def _row(connection: Connection, query: str, parameters: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return row


def close_quietly(connection: Connection | None) -> None:
    """Close a connection that may be broken."""
    if connection is not None:
        with contextlib.suppress(psycopg.Error, OSError):
            connection.close()


@contextlib.contextmanager
def cut_after(connection: Connection, seconds: float) -> Generator[None, None, None]:
    """Make the block fail if it hangs for so long."""
    timer = threading.Timer(seconds, cut, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def cut(connection: Connection) -> None:
    """Make a call fail that hangs in another thread; any thread may call this."""
    with (
        contextlib.suppress(psycopg.Error, OSError),
        socket.socket(fileno=os.dup(connection.fileno())) as duplicate,
    ):
        duplicate.shutdown(socket.SHUT_RDWR)
