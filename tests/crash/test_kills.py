"""A job whose processes are killed again and again: everything is billed once, nothing is lost."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.siege import Siege, besieged
from tests.crash.stages import STAGES

pytestmark = [
    pytest.mark.once,
    pytest.mark.ordinary_loop,
    pytest.mark.much,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a matter of POSIX"),
]


@pytest.fixture
async def siege(tmp_path: Path) -> AsyncIterator[Siege]:
    async with besieged(tmp_path, requests=120, seed=3) as siege:
        yield siege


async def test_killed_in_every_stage_nothing_is_billed_twice_or_lost(siege: Siege):
    await siege.kill_in_every_stage(2, 12)
    assert await siege.run() == "done"
    assert siege.kills.total() >= 30
    assert {stage for stage in STAGES if not siege.kills[stage]} == set()
    siege.check()
    tasks = len(siege.emulator.tasks)
    downloads = siege.emulator.counters.downloads
    assert await siege.run() == "done"
    assert len(siege.emulator.tasks) == tasks
    assert siege.emulator.counters.downloads == downloads
    siege.check()


async def test_two_processes_on_one_job_bill_each_request_once(siege: Siege):
    pids = [await siege.nursery.start(siege.order(worker)) for worker in (1, 2)]
    ends = [await siege.nursery.end(pid) for pid in pids]
    assert ends == [(0, "done")] * 2
    siege.check()
    assert len(siege.emulator.tasks) == siege.requests


async def test_a_process_that_dies_beside_another_leaves_it_its_work(siege: Siege):
    survivor = await siege.nursery.start(siege.order(worker=1))
    for stage in ("posting", "downloading", "writing", "sending"):
        while not await siege.kill_in(stage, 1):
            siege.add_requests(20)
    assert await siege.nursery.end(survivor) == (0, "done")
    assert await siege.run() == "done"
    siege.check()
