"""That every benchmark runs, and says what it is about; how fast anything is, is not judged here."""

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
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("benchmark", "row"),
    [
        ("cpu", "aiohttp loop, the same requests"),
        ("scale", "looks as planned"),
        ("imports", "foxapi_async"),
        ("micro", "classify an answer, running"),
        ("downloads", "8 of 2 MiB"),
        ("journal", "CPU of a task at 100 per second"),
    ],
)
def test_a_benchmark_prints_its_table_with_machine_and_versions(benchmark: str, row: str):
    said = run(f"benchmarks.{benchmark}", *(["--no-peers"] if benchmark == "cpu" else []))
    assert said.startswith("# ")
    assert "cores" in said
    assert "foxapi-async " in said
    assert row in said


def test_each_client_of_the_field_that_is_installed_is_measured():
    peers = pytest.importorskip("benchmarks.cpu").installed_peers()
    if not peers:
        pytest.skip("the extra `bench` is not installed")
    said = run("benchmarks.cpu")
    assert all(f"{name}, 1 s" in said for name in peers)
