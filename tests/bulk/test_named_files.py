"""A job whose files have names by a pattern, against the emulator."""

from __future__ import annotations

import shutil

import pytest

from foxapi_async import InvalidRequestError, JobFileError
from foxapi_async.bulk import Job
from tests.bulk.conftest import JobFolder

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much]


def files(job_folder: JobFolder) -> list[str]:
    return sorted(str(path.relative_to(job_folder.out)) for path in job_folder.out.rglob("*.png"))


async def test_files_go_to_folders_and_stay_where_they_are(job_folder: JobFolder):
    job_folder.write(
        {"prompt": "a", "key": "one"},
        {"prompt": "b", "key": "two", "num_outputs": 2, "resolution": "4K"},
        {"prompt": "c", "key": "three"},
    )
    results, summary = await job_folder.run(name="{resolution}/{line:03}-{key}")
    expected = ["1K/001-one.png", "1K/003-three.png", "4K/002-two-0.png", "4K/002-two-1.png"]
    assert summary.is_done
    assert files(job_folder) == expected
    assert sorted(f["path"] for line in job_folder.lines() for f in line["files"]) == expected
    assert {line["job"] for line in job_folder.lines()} == {"jobs.jsonl"}
    assert [file.path for file in results["one"].files] == ["1K/001-one.png"]
    # The directory moves, the pattern changes, one file is lost and one damaged: two are fetched again
    # and all keep their names.
    new = job_folder.out.rename(job_folder.path / "elsewhere")
    job_folder.out = new
    (new / expected[0]).unlink()
    damaged = new / expected[2]
    damaged.write_bytes(b"?" * damaged.stat().st_size)
    plan = Job.read(job_folder.path / "jobs.jsonl").plan(new / "journal.sqlite", new)
    assert (plan.done, plan.fetch, plan.submit) == (2, 1, 0)
    _, summary = await job_folder.run(name="{key}")
    assert (summary.is_done, summary.fetched, summary.outputs_billed) == (True, 2, 0)
    assert files(job_folder) == expected
    assert (new / (expected[2] + ".damaged")).exists()
    assert len(job_folder.lines()) == 3


async def test_two_jobs_with_one_pattern_overwrite_nothing(job_folder: JobFolder):
    for key in ("a", "b"):
        job_folder.write({"prompt": key, "key": key})
        _, summary = await job_folder.run(name="{model}/{line}")
        assert summary.is_done
    assert files(job_folder) == ["phota-image/1.png", "phota-image/1~2.png"]


async def test_a_pattern_that_does_not_suit_is_refused_before_anything_is_sent(
    job_folder: JobFolder,
):
    job_folder.write({"prompt": "a"})
    with pytest.raises(InvalidRequestError, match="without a name"):
        await job_folder.run(name="{}")
    with pytest.raises(JobFileError, match="no line has a field 'colour'"):
        await job_folder.run(name="{colour}")
    assert job_folder.emulator.counters.posts == 0


async def test_a_journal_of_an_earlier_release_knows_its_files(job_folder: JobFolder, monkeypatch):
    job_folder.write({"prompt": "a", "key": "one"})
    # What earlier releases recorded: the path for the directory of the process.
    monkeypatch.setattr(
        "foxapi_async.bulk.results.save_results.for_journal",
        lambda file: type(file)(f"old/place/{file.path}", file.size, file.sha256, file.index),
    )
    await job_folder.run()
    shutil.move(job_folder.out, job_folder.path / "new")
    job_folder.out = job_folder.path / "new"
    results, summary = await job_folder.run()
    assert (summary.from_journal, summary.outputs_billed) == (1, 0)
    assert [file.path for file in results["one"].files] == ["one.png"]
