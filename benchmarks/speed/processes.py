"""Server and clients in separate processes."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

CUT = "cut"
"""The key of the result of a client that was stopped because it took too long."""


class Server:
    """The benchmark server in its own process."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.speed.server"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def plan(self, durations: list[float], **options: object) -> None:
        """Reset the server; the next submission is a warm-up and not counted."""
        body = json.dumps({"durations": durations, **options}).encode()
        request = urllib.request.Request(f"{self.url}/bench/plan", body, method="POST")
        with urllib.request.urlopen(request, timeout=30):
            pass

    def report(self, *, ages: bool = False) -> dict[str, Any]:
        """Return the counts since the last plan."""
        path = "/bench/report-with-ages" if ages else "/bench/report"
        with urllib.request.urlopen(self.url + path, timeout=60) as reply:
            report: dict[str, Any] = json.load(reply)
            return report


def run(module: str, *arguments: object, seconds: float = 120.0) -> dict[str, Any]:
    """Run a module in its own process and return the JSON object of its last line.

    Args:
        module: Name of the module.
        arguments: Command line arguments.
        seconds: Timeout; the process is then stopped and the result is ``{"cut": seconds}``.

    Raises:
        RuntimeError: The process failed.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {CUT: seconds}
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed:\n{done.stderr[-2000:]}")
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed
