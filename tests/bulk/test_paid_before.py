"""A plan refuses what a run would refuse: to pay again for what the results show as paid."""

from __future__ import annotations

import shutil

import pytest

from foxapi_async import ConfigurationError, Journal
from foxapi_async.bulk import Job
from tests.bulk.conftest import JobFolder

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much]


async def test_a_lost_journal_is_refused_by_plan_and_run(job_folder: JobFolder):
    job_folder.write({"prompt": "a"}, {"prompt": "b"})
    await job_folder.run()
    (job_folder.out / "journal.sqlite").unlink()
    job = Job.read(job_folder.path / "jobs.jsonl")
    with pytest.raises(ConfigurationError, match="2 requests that were paid for") as planned:
        job.plan(job_folder.out / "journal.sqlite", job_folder.out)
    with pytest.raises(ConfigurationError) as refused:
        await job_folder.run()
    assert str(planned.value) == str(refused.value)
    assert job_folder.emulator.counters.posts == 2


async def test_a_journal_of_another_job_is_refused_by_plan_and_run(job_folder: JobFolder):
    job_folder.write({"prompt": "other"})
    await job_folder.run()
    shutil.copy(job_folder.out / "journal.sqlite", job_folder.path / "other.sqlite")
    job_folder.write({"prompt": "a", "key": "a"})
    await job_folder.run()
    shutil.copy(job_folder.path / "other.sqlite", job_folder.out / "journal.sqlite")
    job = Job.read(job_folder.path / "jobs.jsonl")
    with pytest.raises(
        ConfigurationError, match=r"says that 'a' \(line 1\) is completed"
    ) as planned:
        job.plan(job_folder.out / "journal.sqlite", job_folder.out)
    with pytest.raises(ConfigurationError) as refused:
        await job_folder.run()
    assert str(planned.value) == str(refused.value)
    assert job_folder.emulator.counters.posts == 2


async def test_what_was_forgotten_on_purpose_is_planned(job_folder: JobFolder):
    job_folder.write({"prompt": "a", "key": "a"}, {"prompt": "b", "key": "b"})
    await job_folder.run()
    Journal(job_folder.out / "journal.sqlite").forget("a")
    job = Job.read(job_folder.path / "jobs.jsonl")
    plan = job.plan(job_folder.out / "journal.sqlite", job_folder.out)
    assert (plan.submit, plan.done) == (1, 1)
