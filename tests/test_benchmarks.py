"""Every benchmark runs and prints its table. The measured values are not checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments, "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("benchmark", "row"),
    [
        ("cpu", "aiohttp loop, the same requests"),
        ("scale", "polls as scheduled"),
        ("imports", "foxapi_async"),
        ("micro", "classify an answer, running"),
        ("downloads", "8 of 2 MiB"),
        ("journal", "CPU of a task at 100 per second"),
    ],
)
def test_a_benchmark_prints_its_table_with_machine_and_versions(benchmark: str, row: str):
    printed = run(f"benchmarks.{benchmark}", *(["--no-peers"] if benchmark == "cpu" else []))
    assert printed.startswith("# ")
    assert "cores" in printed
    assert "foxapi-async " in printed
    assert row in printed


def test_each_installed_peer_client_is_measured():
    peers = pytest.importorskip("benchmarks.cpu").installed_peers()
    if not peers:
        pytest.skip("the extra `bench` is not installed")
    printed = run("benchmarks.cpu")
    assert all(f"{name}, 1 s" in printed for name in peers)
