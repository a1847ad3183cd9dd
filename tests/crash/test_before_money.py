"""A full or read-only disk is detected before anything is billed."""

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
from tests.crash.crash_job import WIDTH, CrashJob, open_crash_job

pytestmark = [
    pytest.mark.once,
    pytest.mark.ordinary_loop,
    pytest.mark.much,
    pytest.mark.skipif(sys.platform == "win32", reason="limits and users are a matter of POSIX"),
]

NOBODY = 65534


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users can read; those of pytest are private."""
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
async def crash_job(public: Path) -> AsyncIterator[CrashJob]:
    async with open_crash_job(public, requests=20, seed=5) as crash_job:
        crash_job.jobs.chmod(0o644)
        yield crash_job


def nothing_was_spent(crash_job: CrashJob) -> bool:
    return crash_job.emulator.counters.posts == 0


async def test_a_full_disk_costs_nothing(crash_job: CrashJob):
    said = await crash_job.run(largest_file=0)
    assert said.startswith("ConfigurationError: ")
    assert "journal.sqlite" in said
    assert "disk" in said or "may not grow" in said
    assert nothing_was_spent(crash_job)
    assert await crash_job.run() == "done"


async def test_a_disk_that_fills_up_during_the_run_stops_the_job(crash_job: CrashJob):
    said = await crash_job.run(largest_file=60_000)
    assert "stopped" in said or "Error" in said
    assert len(crash_job.emulator.tasks) < crash_job.requests
    assert await crash_job.run() == "done"
    # Tasks accepted while the disk was full could not be recorded, and are not submitted again.
    billed = Counter(task.prompt for task in crash_job.emulator.tasks.values())
    assert set(billed.values()) == {1}
    unknown = Journal(crash_job.out / "journal.sqlite").entries("unknown")
    assert len(unknown) <= WIDTH
    assert len(billed) + len(unknown) >= crash_job.requests


def others_can_run_this() -> bool:
    used = [Path(sys.executable), Path(__file__)]
    return all(folder.stat().st_mode & 0o001 for path in used for folder in path.parents)


@pytest.mark.skipif(
    os.name == "posix" and os.getuid() == 0 and not others_can_run_this(),
    reason="root may write everything, and nobody else may read this checkout",
)
async def test_a_journal_that_cannot_be_written_costs_nothing(crash_job: CrashJob):
    crash_job.out.mkdir()
    journal = crash_job.out / "journal.sqlite"
    journal.touch(0o444)
    crash_job.out.chmod(0o555)
    said = await crash_job.run(user=NOBODY) if os.getuid() == 0 else await crash_job.run()
    assert said.startswith("ConfigurationError: ")
    assert str(journal) in said
    assert "permission" in said
    assert nothing_was_spent(crash_job)


async def test_a_file_that_is_not_a_journal_costs_nothing(crash_job: CrashJob):
    crash_job.out.mkdir()
    (crash_job.out / "journal.sqlite").write_bytes(b"this is a text about foxes\n" * 50)
    said = await crash_job.run()
    assert said.startswith("ConfigurationError: ")
    assert "not a journal" in said
    assert nothing_was_spent(crash_job)


async def test_results_that_cannot_be_written_cost_nothing(crash_job: CrashJob):
    (crash_job.out / "results.jsonl").mkdir(parents=True)
    said = await crash_job.run()
    assert "results.jsonl cannot be written" in said
    assert nothing_was_spent(crash_job)
