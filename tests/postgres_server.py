"""A PostgreSQL server of the tests' own, on loopback, with the binaries of the system."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SETTINGS = {
    # What the tests stop is the server, not the machine: its files survive without a sync.
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "log_min_messages": "fatal",
    "unix_socket_directories": "",
}


def binaries() -> Path | None:
    """Return the folder of initdb and postgres, None if they are not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


class PostgresServer:
    """A server with an empty database, which can be stopped, killed and started again."""

    def __init__(self, folder: Path, **settings: str) -> None:
        tools = binaries()
        assert tools is not None
        self._tools = tools
        self._data = folder / "data"
        self._settings = SETTINGS | settings
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        self._user = "postgres" if hasattr(os, "geteuid") and os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "--no-sync", "-E", "UTF8",
                  "--locale=C", "-A", "trust")  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres:secret@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        import psycopg  # noqa: PLC0415 - not every environment has it

        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        self._process = subprocess.Popen(
            [self._tools / "postgres", "-D", self._data, "-p", str(self.port), "-h", "127.0.0.1",
             *options],
            user=self._user,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(600):
            try:
                psycopg.connect(self.dsn, connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("PostgreSQL did not start")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server and its connections; SIGINT is the fast shutdown, SIGQUIT a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def execute(self, statement: str) -> list[tuple]:
        import psycopg  # noqa: PLC0415 - not every environment has it

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def cut_connections(self) -> None:
        """End all connections of journals, as an administrator can."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'foxapi-async'"
        )

    def _run(self, tool: str, *arguments: str) -> None:
        subprocess.run(
            [self._tools / tool, *arguments],
            user=self._user,
            check=True,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def running_server(**settings: str) -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="foxapi-postgres-") as folder:
        server = PostgresServer(Path(folder), **settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
