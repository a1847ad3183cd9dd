"""A disk that is full or read-only is met before anything is paid for."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from foxapi_async.journal import Journal
from tests.crash.siege import WIDTH, Siege, besieged

pytestmark = [
    pytest.mark.once,
    pytest.mark.ordinary_loop,
    pytest.mark.much,
    pytest.mark.skipif(sys.platform == "win32", reason="limits and users are a matter of POSIX"),
]

NOBODY = 65534


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that others can look into; those of pytest are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="foxapi-crash-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for path in folder.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(folder)


@pytest.fixture
async def siege(public: Path) -> AsyncIterator[Siege]:
    async with besieged(public, requests=20, seed=5) as siege:
        siege.jobs.chmod(0o644)
        yield siege


def nothing_was_spent(siege: Siege) -> bool:
    return siege.emulator.counters.posts == 0


async def test_a_full_disk_costs_nothing(siege: Siege):
    said = await siege.run(largest_file=0)
    assert said.startswith("ConfigurationError: ")
    assert "journal.sqlite" in said
    assert "disk" in said or "may not grow" in said
    assert nothing_was_spent(siege)
    assert await siege.run() == "done"


async def test_a_disk_that_is_full_after_the_first_lines_stops_the_job(siege: Siege):
    said = await siege.run(largest_file=60_000)
    assert "stopped" in said or "Error" in said
    assert len(siege.emulator.tasks) < siege.requests
    assert await siege.run() == "done"
    # What was accepted when the disk was full could not be written down, and is not sent again.
    billed = Counter(task.prompt for task in siege.emulator.tasks.values())
    assert set(billed.values()) == {1}
    unknown = Journal(siege.out / "journal.sqlite").entries("unknown")
    assert len(unknown) <= WIDTH
    assert len(billed) + len(unknown) >= siege.requests


def others_can_run_this() -> bool:
    used = [Path(sys.executable), Path(__file__)]
    return all(folder.stat().st_mode & 0o001 for path in used for folder in path.parents)


@pytest.mark.skipif(
    os.name == "posix" and os.getuid() == 0 and not others_can_run_this(),
    reason="root may write everything, and nobody else may read this checkout",
)
async def test_a_journal_that_cannot_be_written_costs_nothing(siege: Siege):
    siege.out.mkdir()
    journal = siege.out / "journal.sqlite"
    journal.touch(0o444)
    siege.out.chmod(0o555)
    said = await siege.run(user=NOBODY) if os.getuid() == 0 else await siege.run()
    assert said.startswith("ConfigurationError: ")
    assert str(journal) in said
    assert "permission" in said
    assert nothing_was_spent(siege)


async def test_a_journal_that_is_none_costs_nothing(siege: Siege):
    siege.out.mkdir()
    (siege.out / "journal.sqlite").write_bytes(b"this is a text about foxes\n" * 50)
    said = await siege.run()
    assert said.startswith("ConfigurationError: ")
    assert "not a journal" in said
    assert nothing_was_spent(siege)


async def test_results_that_cannot_be_written_cost_nothing(siege: Siege):
    (siege.out / "results.jsonl").mkdir(parents=True)
    said = await siege.run()
    assert "results.jsonl cannot be written" in said
    assert nothing_was_spent(siege)
