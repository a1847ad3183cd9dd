"""Jobs whose results are no links, no pictures, late, or have a name that the job needs itself."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import anyio
import pytest

from foxapi_async.bulk import Job, run_job
from foxapi_async.bulk.results.saved_files import is_intact, is_present
from foxapi_async.emulator import Answer, Deliver, Fault, Rewrite
from foxapi_async.files.filenames import free_names
from foxapi_async.journal.entry import SavedFile

PNG = b"\x89PNG\r\n\x1a\n" + bytes(3000) + b"\0\0\0\0IEND\xaeB`\x82"
PAGE = b"<!doctype html><title>a document</title>" + bytes(50)


def results(*given: Any) -> Fault:
    """Return a fault by which completed tasks have these results."""

    def change(body: Any) -> Any:
        return body if body["status"] != "completed" else {**body, "results": list(given)}

    return Fault("poll", Rewrite(change), times=None)


async def test_inline_results_are_saved_and_recorded(job_folder):
    text = base64.b64encode(PNG).decode()
    job_folder.emulator.script(results({"b64_json": text}, {"b64_json": text}))
    job_folder.write({"prompt": "x", "key": "fox"})
    got, summary = await job_folder.run()
    assert [Path(file.path).name for file in got["fox"].files] == ["fox-0.png", "fox-1.png"]
    assert text[:50] not in (job_folder.out / "results.jsonl").read_text()
    assert text[:50].encode() not in b"".join(
        path.read_bytes() for path in job_folder.out.glob("journal*")
    )
    _, again = await job_folder.run()
    assert (summary.fetched, again.fetched) == (2, 0)


@pytest.mark.parametrize("said", [{"text": "sorry"}, {"image": "refused by the provider"}])
async def test_a_task_without_a_picture_is_not_completed(job_folder, said):
    job_folder.emulator.script(results(said))
    job_folder.write({"prompt": "x", "key": "fox"})
    got, summary = await job_folder.run()
    result = got["fox"]
    assert (result.status, summary.unsaved) == ("unsaved", 1)
    assert result.task_id in result.error
    assert next(iter(said.values())) in result.error


async def test_a_profile_is_no_missing_picture(job_folder):
    job_folder.emulator.script(results({"profile_id": "pf_1"}))
    job_folder.write({"prompt": "x", "key": "fox"})
    got, _ = await job_folder.run()
    assert got["fox"].status == "completed"


async def test_the_contact_sheet_replaces_no_result(job_folder):
    job_folder.emulator.script(
        Fault("download", Answer(200, PAGE, content_type="text/html"), times=None)
    )
    document = {"model": "doc2x-v3", "kind": "document", "params": {"pdf_url": "https://a/b"}}
    job_folder.write({"key": "index", **document}, {"key": "INDEX-2", **document})
    got, _ = await job_folder.run()
    for key in got:
        [file] = got[key].files
        path = job_folder.out / Path(file.path).name
        assert path.read_bytes() == PAGE
        assert path.name.casefold() not in {"index.html", "index-2.html"}
    assert b"<title>a document" not in (job_folder.out / "index.html").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        *("index.html", "Index.HTML", "index-17.html", "index.htm", "RESULTS.JSONL"),
        *("index-failures.html", "index-failures-2.html", "contact-sheet"),
        *(
            "journal.sqlite",
            "journal.sqlite-wal",
            "Journal.Sqlite-SHM",
            "journal.sqlite.ab12.owner",
        ),
    ],
)
def test_the_names_of_a_jobs_own_files_are_never_given(name):
    assert next(free_names(name)) != name
    assert "~2" in next(free_names(name))


@pytest.mark.parametrize("name", ["index.png", "results.json", "my-index.html", "journal.png"])
def test_other_names_are_given(name):
    assert next(free_names(name)) == name


async def test_the_timeout_of_a_request_covers_its_files(job_folder):
    job_folder.emulator.script(Fault("download", Deliver(bytes_per_second=1500), times=None))
    job_folder.write({"prompt": "x", "key": "fox", "resolution": "4K"})
    began = anyio.current_time()
    got, _ = await job_folder.run(timeout=3)
    assert got["fox"].status == "unsaved"
    assert "timeout" in got["fox"].error
    assert anyio.current_time() - began < 4
    job_folder.emulator.faults.clear()
    got, _ = await job_folder.run(timeout=3)
    assert got["fox"].status == "completed"


async def test_the_grace_of_a_stop_covers_downloads(job_folder):
    job_folder.emulator.script(Fault("download", Deliver(bytes_per_second=1), times=None))
    job_folder.write(*({"prompt": f"{number}"} for number in range(9)))
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with job_folder.session() as session, run_job(session, job, job_folder.out) as run:
        await anyio.sleep(10)
        began = anyio.current_time()
        run.stop(grace=5)
        assert [result async for result in run] == []
        assert anyio.current_time() - began < 6
    assert run.summary.unfinished == 9
    assert list(job_folder.out.glob(".*")) == []


def test_a_name_that_the_locale_cannot_encode_is_not_there(tmp_path):
    file = SavedFile("out/\ud800.png", 1, "0")
    assert not is_present(tmp_path, file)
    assert not is_intact(tmp_path, file)
