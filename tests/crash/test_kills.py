"""A job whose processes are killed repeatedly: everything is billed once, nothing is lost."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.crash_job import CrashJob, open_crash_job
from tests.crash.stages import STAGES

pytestmark = [
    pytest.mark.once,
    pytest.mark.ordinary_loop,
    pytest.mark.much,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a matter of POSIX"),
]


@pytest.fixture
async def crash_job(tmp_path: Path) -> AsyncIterator[CrashJob]:
    async with open_crash_job(tmp_path, requests=120, seed=3) as crash_job:
        yield crash_job


async def test_kills_in_every_stage_bill_nothing_twice_and_lose_nothing(crash_job: CrashJob):
    await crash_job.kill_in_every_stage(2, 12)
    assert await crash_job.run() == "done"
    assert crash_job.kills.total() >= 30
    assert {stage for stage in STAGES if not crash_job.kills[stage]} == set()
    crash_job.check()
    tasks = len(crash_job.emulator.tasks)
    downloads = crash_job.emulator.counters.downloads
    assert await crash_job.run() == "done"
    assert len(crash_job.emulator.tasks) == tasks
    assert crash_job.emulator.counters.downloads == downloads
    crash_job.check()


async def test_two_processes_on_one_job_bill_each_request_once(crash_job: CrashJob):
    pids = [await crash_job.server.start(crash_job.order(worker)) for worker in (1, 2)]
    ends = [await crash_job.server.end(pid) for pid in pids]
    assert ends == [(0, "done")] * 2
    crash_job.check()
    assert len(crash_job.emulator.tasks) == crash_job.requests


async def test_a_process_takes_over_the_work_of_one_that_dies(crash_job: CrashJob):
    survivor = await crash_job.server.start(crash_job.order(worker=1))
    for stage in ("posting", "downloading", "writing", "sending"):
        while not await crash_job.kill_in(stage, 1):
            crash_job.add_requests(20)
    assert await crash_job.server.end(survivor) == (0, "done")
    assert await crash_job.run() == "done"
    crash_job.check()
