"""A run of a job records itself in the run log of its folder."""

from __future__ import annotations

import anyio
import pytest

from foxapi_async import InvalidRequestError, Limits
from foxapi_async.bulk import Job, RunLog, run_job
from foxapi_async.emulator import Delay, Fate, Fault, Hang
from tests.bulk.conftest import JobFolder

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much]


async def test_each_run_is_recorded_with_its_job_and_its_end(job_folder: JobFolder):
    job_folder.write({"prompt": "a"}, {"prompt": "b", "num_outputs": 2})
    await job_folder.run(limits=Limits(total_outputs=1))
    _, summary = await job_folder.run()
    first, second = RunLog(job_folder.out).runs()
    assert (first.reason, second.reason) == ("stopped", "done")
    assert (first.job, first.journal) == (job_folder.path / "jobs.jsonl", None)
    assert (first.options["total_outputs"], second.options["total_outputs"]) == (1, None)
    assert second.summary == summary
    assert second.images_per_minute is not None
    assert second.images_per_minute > 0
    assert second.credits is not None


async def test_a_run_shows_its_progress_while_it_is_at_work(job_folder: JobFolder):
    job_folder.emulator.script(Fault("poll", Delay(60), when=lambda call: call.prompt == "b"))
    job_folder.write({"prompt": "a"}, {"prompt": "b"})
    log = RunLog(job_folder.out)
    async with (
        job_folder.session() as session,
        run_job(session, Job.read(job_folder.path / "jobs.jsonl"), job_folder.out) as run,
    ):
        async for _ in run:
            break
        (record,) = log.live()
        assert record.options["outputs"] == 32
        assert run.progress.stage == "running"
        assert run.progress.summary.completed == 1
    (record,) = log.runs()
    assert (record.is_alive, record.reason) == (False, "incomplete")


async def test_a_failed_request_leaves_a_run_incomplete(job_folder: JobFolder):
    job_folder.emulator.script(Fault("submit", Fate(ends_as="failed")))
    job_folder.write({"prompt": "a"})
    await job_folder.run()
    record = RunLog(job_folder.out).last()
    assert record is not None
    assert record.reason == "incomplete"
    assert record.images_per_minute is None


async def test_two_runs_on_one_folder_see_each_other(job_folder: JobFolder):
    job_folder.write({"prompt": "a"})
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with (
        job_folder.session() as session,
        run_job(session, job, job_folder.out) as first,
        run_job(session, job, job_folder.out) as second,
    ):
        results = [result async for result in first] + [result async for result in second]
        assert {result.status for result in results} == {"completed"}
        assert len(second.other_runs) == 1
    assert job_folder.emulator.counters.tasks == 1


async def test_a_time_limit_brings_home_what_is_in_flight(job_folder: JobFolder):
    job_folder.emulator.script(Fault("submit", Delay(0.6, carried_out=True)))
    job_folder.write({"prompt": "a"}, {"prompt": "b"})
    _, summary = await job_folder.run(limits=Limits(outputs=1), max_time=0.3)
    assert (summary.timed_out, summary.interrupted) == (True, False)
    assert (summary.completed, summary.not_submitted) == (1, 1)
    _, summary = await job_folder.run(max_time=600)
    assert (summary.timed_out, summary.is_done) == (False, True)
    assert [run.reason for run in RunLog(job_folder.out).runs()] == ["max_time", "done"]


async def test_a_time_limit_does_not_wait_longer_than_its_grace(job_folder: JobFolder):
    job_folder.emulator.script(Fault("poll", Delay(60), times=None))
    job_folder.write({"prompt": "a"})
    _, summary = await job_folder.run(max_time=0.2, grace=0.2)
    assert (summary.unfinished, summary.timed_out) == (1, True)


async def test_tasks_whose_files_are_fetched_are_counted(job_folder: JobFolder):
    job_folder.emulator.script(Fault("download", Hang()))
    job_folder.write({"prompt": "a"})
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with job_folder.session() as session, run_job(session, job, job_folder.out) as run:
        while not run.progress.saving:  # noqa: ASYNC110 - a snapshot has no event
            await anyio.sleep(0.01)
        assert run.progress.summary.in_flight == 0


@pytest.mark.parametrize("limit", [{"max_time": -1.0}, {"grace": float("nan")}])
async def test_impossible_limits_are_refused(job_folder: JobFolder, limit):
    job_folder.write({"prompt": "a"})
    with pytest.raises(InvalidRequestError, match="a number of seconds, 0 or more"):
        await job_folder.run(**limit)
