"""Standard streams on a full disk: the work is done, and lost output is reported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.process import environment, running

FULL = Path("/dev/full")

pytestmark = [
    pytest.mark.ordinary_loop,
    pytest.mark.skipif(not FULL.exists(), reason="a device that is always full"),
]


@pytest.fixture
def full() -> Iterator[int]:
    with FULL.open("wb") as file:
        yield file.fileno()


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text("".join(json.dumps({"prompt": f"p{n}"}) + "\n" for n in range(8)))
    return ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes"]


@pytest.mark.parametrize("option", ["--no-sheet", "--json"])
async def test_results_that_cannot_be_printed_are_saved_and_reported(
    emulated, arguments, *, full, tmp_path, option
):
    async with (
        emulated() as (_, env),
        running(*arguments, option, env=env, stdout=full) as command,
    ):
        done = await command.end()
    assert done.code == 9
    assert "8 of 8 done" in done.err
    assert "not all results could be printed: No space left on device" in done.err
    assert len(list((tmp_path / "out").glob("*.png"))) == 8


async def test_a_run_whose_messages_cannot_be_printed_finishes(emulated, arguments, full, tmp_path):
    async with (
        emulated(fail_rate=1.0) as (emulator, env),
        running(*arguments, env=env, stderr=full) as command,
    ):
        done = await command.end()
        assert emulator.counters.tasks == 8
    assert done.code == 1
    assert done.lines == [
        str(tmp_path / "out" / name) for name in ("results.jsonl", "results.csv", "index.html")
    ]


@pytest.mark.parametrize("asked", [["--help"], ["run", "--help"], ["--version"]])
async def test_help_that_cannot_be_printed_is_reported(asked, full):
    async with running(*asked, env=environment(), stdout=full) as command:
        done = await command.end()
    assert done.code == 9
    assert "No space left on device" in done.err


async def test_wrong_usage_that_cannot_be_printed_keeps_its_exit_code(full):
    async with running("run", env=environment(), stderr=full) as command:
        done = await command.end()
    assert (done.code, done.out) == (2, "")
