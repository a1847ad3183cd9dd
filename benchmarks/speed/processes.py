"""Server and clients in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

CUT = "cut"
"""The key of a client's answer that is there if it was stopped because it took too long."""


class Server:
    """The benchmark server in a process of its own."""

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
        """Begin anew; the next submission is a warm-up and not counted."""
        body = json.dumps({"durations": durations, **options}).encode()
        request = urllib.request.Request(f"{self.url}/bench/plan", body, method="POST")
        with urllib.request.urlopen(request, timeout=30):
            pass

    def report(self, *, ages: bool = False) -> dict[str, Any]:
        """Return what was counted since the plan."""
        path = "/bench/report-with-ages" if ages else "/bench/report"
        with urllib.request.urlopen(self.url + path, timeout=60) as reply:
            report: dict[str, Any] = json.load(reply)
            return report


def run(module: str, *arguments: object, seconds: float = 120.0) -> dict[str, Any]:
    """Run a module in a process of its own and return the JSON object that it prints last.

    Args:
        module: Its name.
        arguments: Its arguments.
        seconds: After which it is stopped and the answer is ``{"cut": seconds}``.

    Raises:
        RuntimeError: It failed.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {CUT: seconds}
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed:\n{done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said
