"""Jobs whose pictures go to an object store: resumed, verified, and never paid for again."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from foxapi_async import ConfigurationError, InvalidRequestError, ObjectPath, Retry, Session
from foxapi_async.bulk import Job, Result, Summary, run_job
from foxapi_async.bulk.store.records_folder import records_folder
from tests.bulk.conftest import JobFolder
from tests.s3 import Bucket, S3Proxy, s3_proxy, says

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much, pytest.mark.once]


class StoreJob(JobFolder):
    """A job with a bucket; its records are where the default is."""

    bucket: Bucket

    @property
    def url(self) -> str:
        return f"{self.bucket.url}/night/"

    @property
    def records(self) -> Path:
        return records_folder(ObjectPath(self.url.rstrip("/")))

    def session(self, **options: Any) -> Session:
        return super().session(retry=Retry(first=0.01, longest=0.02), **options)

    async def run(self, **options: Any) -> tuple[dict[str, Result], Summary]:
        job = Job.read(self.path / "jobs.jsonl")
        async with self.session() as session, run_job(session, job, self.url, **options) as run:
            results = {result.key: result async for result in run}
            self.notes = run.notes
            assert str(run.directory) == self.url.rstrip("/")
            return results, run.summary

    def objects(self) -> list[str]:
        return [key.removeprefix("night/") for key in self.bucket.objects()]


@pytest.fixture
async def job(job_folder: JobFolder, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> StoreJob:
    monkeypatch.setenv("XDG_STATE_HOME", str(job_folder.path / "state"))
    job = object.__new__(StoreJob)
    job.__dict__.update(job_folder.__dict__)
    job.bucket = bucket
    return job


@pytest.fixture
async def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Proxy]:
    async with s3_proxy(bucket.server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


async def test_pictures_and_reports_are_in_the_store_and_a_second_run_costs_nothing(job, proxy):
    job.write({"prompt": "a", "key": "one"}, {"prompt": "b", "key": "two", "num_outputs": 2})
    results, summary = await job.run()
    pictures = ["one.png", "two-0.png", "two-1.png"]
    reports = ["contact-sheet/data-1.js", "index.html", "records.json", "results.csv"]
    reports += ["results.jsonl"]
    assert job.objects() == sorted(pictures + reports)
    assert summary.is_done
    assert summary.results == job.records / "results.jsonl"
    for result in results.values():
        for file in result.files:
            content = job.bucket.get(f"night/{file.path}")
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
    copied = job.bucket.get("night/results.jsonl")
    assert copied == (job.records / "results.jsonl").read_bytes()
    assert b"./two-1.png" in job.bucket.get("night/index.html")
    assert job.notes == ()
    left = {path.name for path in job.records.iterdir()}
    assert not {name for name in left if name.endswith((".png", ".part")) or "embedding" in name}
    proxy.asked.clear()
    again, summary = await job.run(sheet=False, table=False)
    assert (summary.is_done, summary.from_journal, summary.outputs_billed) == (True, 2, 0)
    assert again["two"].files == results["two"].files
    assert (job.emulator.counters.posts, job.emulator.counters.downloads) == (2, 3)
    assert proxy.count("HEAD") == 3 + 1  # the note on the records
    assert job.objects() == sorted(pictures + reports)


async def test_only_lost_and_damaged_pictures_are_fetched_again(job):
    job.write(*({"prompt": key, "key": key, "num_outputs": 2} for key in "abc"))
    await job.run(sheet=False, table=False)
    content = job.bucket.get("night/a-1.png")
    job.bucket.put("night/a-1.png", content[:-1] + b"?")
    job.bucket.delete("night/b-0.png")
    results, summary = await job.run(sheet=False, table=False)
    assert (summary.is_done, summary.fetched, summary.from_journal) == (True, 2, 1)
    assert job.emulator.counters.downloads == 6 + 2
    # What is there was somebody's, so it stays.
    assert [file.path for file in results["a"].files] == ["a-0.png", "a-1~2.png"]
    assert job.bucket.get("night/a-1~2.png") == content
    _, summary = await job.run(sheet=False, table=False)
    assert (summary.is_done, summary.fetched, summary.outputs_billed) == (True, 0, 0)


async def test_names_with_folders_and_prompts_in_the_pictures(job):
    job.write({"prompt": "a fox", "key": "one", "kind of": "x y"})
    results, summary = await job.run(name="{kind of}/{line:03}-ü", embed=True)
    assert summary.is_done
    [file] = results["one"].files
    assert file.path == "x y/001-ü.png"
    content = job.bucket.get(f"night/{file.path}")
    assert b"a fox" in content
    assert hashlib.sha256(content).hexdigest() == file.sha256
    _, summary = await job.run(name="{kind of}/{line:03}-ü", embed=True)
    assert (summary.is_done, summary.fetched) == (True, 0)


async def test_a_picture_that_the_store_refuses_is_unsaved_and_saved_by_the_next_run(job, proxy):
    job.write({"prompt": "a", "key": "one"})
    proxy.script["PUT"] = [None, says(403), says(403)]
    results, summary = await job.run(sheet=False, table=False)
    assert (results["one"].status, summary.unsaved) == ("unsaved", 1)
    assert results["one"].task_id in results["one"].error
    assert "HTTP 403" in results["one"].error
    assert "not all reports were copied" in job.notes[0]
    proxy.script.clear()
    results, summary = await job.run(sheet=False, table=False)
    assert summary.is_done
    assert job.emulator.counters.posts == 1
    assert job.objects() == ["one.png", "records.json", "results.jsonl"]


@pytest.mark.parametrize("status", [403, 404, 503])
async def test_nothing_is_sent_if_the_store_cannot_be_written(job, proxy, status):
    job.write({"prompt": "a", "key": "one"})
    proxy.script["PUT"] = [says(status)] * 4
    with pytest.raises(ConfigurationError, match=f"HTTP {status}.*nothing was sent"):
        await job.run()
    assert job.emulator.counters.posts == 0


async def test_a_job_whose_records_are_elsewhere_is_not_paid_for_again(job):
    job.write({"prompt": "a", "key": "one"})
    await job.run()
    kept = job.path / "kept"
    job.records.rename(kept)
    (job.out / "journal.sqlite").rename(kept / "journal.sqlite")
    with pytest.raises(
        ConfigurationError, match=r"journal and results are elsewhere.*folder.*foxapi"
    ):
        await job.run()
    job.bucket.delete("night/records.json")
    with pytest.raises(ConfigurationError, match=r"1 request that was paid for.*is empty"):
        await job.run()
    assert job.emulator.counters.posts == 1
    shutil.rmtree(job.records)
    (kept / "journal.sqlite").rename(job.out / "journal.sqlite")
    job.bucket.put("night/records.json", (kept / "records.json").read_bytes())
    _, summary = await job.run(records=kept)
    assert (summary.from_journal, job.emulator.counters.posts) == (1, 1)


async def test_two_machines_that_begin_at_once_do_not_both_pay(job):
    job.write({"prompt": "a", "key": "one"})
    other = object.__new__(StoreJob)
    other.__dict__.update(job.__dict__, out=job.path / "other")
    other.out.mkdir()
    ends = await asyncio.gather(
        job.run(records=job.path / "1"), other.run(records=job.path / "2"), return_exceptions=True
    )
    refused = [end for end in ends if isinstance(end, ConfigurationError)]
    assert ["elsewhere" in str(each) for each in refused] == [True]
    assert job.emulator.counters.posts == 1


async def test_the_plan_trusts_the_journal(job):
    job.write({"prompt": "a", "key": "one"}, {"prompt": "b", "key": "two"})
    await job.run()
    plan = Job.read(job.path / "jobs.jsonl").plan(job.out / "journal.sqlite", job.url)
    assert (plan.done, plan.submit, plan.fetch) == (2, 0, 0)
    (job.out / "journal.sqlite").unlink()
    with pytest.raises(ConfigurationError, match="is empty"):
        Job.read(job.path / "jobs.jsonl").plan(job.out / "journal.sqlite", job.url)


async def test_options_that_do_not_suit_the_place_are_refused(job):
    job.write({"prompt": "a"})
    with pytest.raises(InvalidRequestError, match="not written into object stores") as caught:
        await job.run(sidecar="json")
    assert caught.value.field == "sidecar"
    async with job.session() as session:
        read = Job.read(job.path / "jobs.jsonl")
        with pytest.raises(InvalidRequestError, match="in a folder are in that folder"):
            run_job(session, read, job.out, records=job.path)


async def test_the_records_may_be_in_a_folder_of_ones_own(job):
    job.write({"prompt": "a", "key": "one"})
    _, summary = await job.run(records=job.path / "mine")
    assert summary.results == job.path / "mine" / "results.jsonl"
    assert not job.records.exists()


def test_the_folder_of_records_is_derived_from_the_url():
    home = {"XDG_STATE_HOME": "/state"}
    places = ["s3://bucket", "s3://bucket/a", "gs://bucket/a", "s3://bucket/a/b", "s3://bucket/a-b"]
    folders = [records_folder(ObjectPath(place), None, home) for place in places]
    assert len(set(folders)) == len(places)
    assert str(folders[3]).startswith("/state/foxapi/jobs/bucket-a-b-")
    assert records_folder(Path("out")) == Path("out")
    long = records_folder(ObjectPath("s3://bucket/" + "ü" * 500), None, home)
    assert len(os.fsencode(long.name)) < 100
