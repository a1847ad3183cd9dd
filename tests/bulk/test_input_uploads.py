"""Uploads of local files in a job: once, only when needed, and never the reason to pay twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest

from foxapi_async import (
    AuthenticationError,
    GenerationRequest,
    InvalidRequestError,
    Journal,
    Limits,
    PhotaImageEnhance,
    Retry,
    Session,
)
from foxapi_async.bulk import Job, Plan, run_job
from foxapi_async.bulk.input import input_uploads
from foxapi_async.bulk.input.input_uploads import LIFETIME, InputUploads, link_from, name_of
from foxapi_async.bulk.input.local_files import LocalFiles, stand_ins_of
from foxapi_async.emulator import Drop, Emulator, Fate, Fault, Hang, error
from foxapi_async.requests import STAND_IN
from tests.bulk.conftest import JobFolder
from tests.bulk.test_local_files import edit, png, stand_in

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much]

QUICK = Retry(attempts=1, first=0.01, longest=0.01)


def plan(folder: JobFolder) -> Plan:
    return Job.read(folder.path / "jobs.jsonl").plan(folder.out / "journal.sqlite", folder.out)


async def run(folder: JobFolder, retry: Retry = QUICK, **options: Any) -> dict[str, str]:
    job = Job.read(folder.path / "jobs.jsonl")
    async with (
        folder.session(retry=retry, **options) as session,
        run_job(session, job, folder.out) as r,
    ):
        return {result.key: result.status async for result in r}


def links(emulator: Emulator) -> list[str]:
    return [url for task in emulator.tasks.values() for url in task.payload["image_urls"]]


async def test_a_file_is_uploaded_once_for_all_lines_and_runs(job_folder: JobFolder):
    a, b = png(job_folder.path / "a.png"), png(job_folder.path / "b.png", b"b")
    lines = [edit("a.png", key=f"a{n}", prompt=f"p{n}") for n in range(5)]
    job_folder.write(*lines, edit("a.png", "b.png", key="b"), {"prompt": "x", "key": "x"})
    before = plan(job_folder)
    assert (before.uploads, before.upload_bytes) == (2, a.stat().st_size + b.stat().st_size)
    statuses = await run(job_folder)
    counters = job_folder.emulator.counters
    assert set(statuses.values()) == {"completed"}
    assert (counters.uploads, counters.posts) == (2, 7)
    sent = {
        url
        for task in job_folder.emulator.tasks.values()
        for url in task.payload.get("image_urls", ())
    }
    assert len(sent) == 2
    assert all(url.startswith(job_folder.emulator.files_url) for url in sent)
    entry = Journal(job_folder.out / "journal.sqlite").find(["b"])["b"]
    assert entry.payload["image_urls"] == [stand_in(a), stand_in(b)]
    job_folder.write(*lines, edit("a.png", key="later"))
    after = plan(job_folder)
    assert (after.uploads, after.upload_bytes, after.submit, after.conflicts) == (0, 0, 1, ())
    await run(job_folder)
    assert (job_folder.emulator.counters.uploads, job_folder.emulator.counters.posts) == (2, 8)


async def test_an_expired_link_is_replaced_and_no_line_is_billed_again(job_folder: JobFolder):
    a = png(job_folder.path / "a.png")
    job_folder.write(edit("a.png", key="one"))
    await run(job_folder)
    name = name_of(stand_in(a)[len(STAND_IN) :])
    async with Journal(job_folder.out / "journal.sqlite") as journal:
        journal.remember(name, {"url": "https://x.test/expired", "expires": 1.0})
    (job_folder.out / "one.png").unlink()
    job_folder.write(edit("a.png", key="one"), edit("a.png", key="two"))
    assert (plan(job_folder).uploads, plan(job_folder).fetch, plan(job_folder).conflicts) == (
        1,
        1,
        (),
    )
    assert set((await run(job_folder)).values()) == {"completed"}
    assert (job_folder.emulator.counters.uploads, job_folder.emulator.counters.posts) == (2, 2)


async def test_a_changed_file_is_a_changed_line(job_folder: JobFolder):
    a = png(job_folder.path / "a.png")
    job_folder.write(edit("a.png", key="mine"), edit("a.png"))
    await run(job_folder)
    png(a, b"changed")
    after = plan(job_folder)
    assert (after.submit, after.done, len(after.conflicts)) == (1, 1, 1)
    assert "'mine' belongs to another request in the journal (saved): image_urls" in str(
        after.conflicts[0]
    )
    statuses = await run(job_folder)
    assert statuses["mine"] == "not_submitted"
    assert job_folder.emulator.counters.posts == 3


async def test_a_file_that_is_changed_or_gone_after_the_check_costs_its_lines_only(
    job_folder: JobFolder,
):
    a, b = png(job_folder.path / "a.png"), png(job_folder.path / "b.png", b"b")
    png(job_folder.path / "c.png", b"c")
    job_folder.write(
        *(edit("a.png", key=f"a{n}", prompt=f"p{n}") for n in range(3)),
        edit("b.png", key="b"),
        edit("c.png", key="c"),
    )
    job = Job.read(job_folder.path / "jobs.jsonl")
    png(a, b"changed")
    b.unlink()
    async with job_folder.session() as session, run_job(session, job, job_folder.out) as r:
        results = {result.key: result async for result in r}
    assert results["c"].status == "completed"
    assert results["a1"].error_code == results["b"].error_code == "InvalidRequestError"
    assert "a.png: it was changed since it was checked" in str(results["a0"].error)
    assert "b.png: it cannot be read: No such file" in str(results["b"].error)
    assert {line["key"]: line["status"] for line in job_folder.lines()}["b"] == "not_submitted"
    assert (job_folder.emulator.counters.uploads, job_folder.emulator.counters.posts) == (1, 1)
    png(b, b"b")
    assert set((await run(job_folder)).values()) == {"completed"}


async def test_a_file_that_was_only_touched_is_the_same(job_folder: JobFolder):
    a = png(job_folder.path / "a.png")
    job_folder.write(edit("a.png", key="a"))
    job = Job.read(job_folder.path / "jobs.jsonl")
    content = a.read_bytes()
    a.unlink()
    a.write_bytes(content)
    async with job_folder.session() as session, run_job(session, job, job_folder.out) as r:
        assert [result.status async for result in r] == ["completed"]


async def test_a_file_that_the_server_refuses_costs_its_lines_only(tmp_path: Path):
    async with Emulator(duration=0.01, picture_scale=1 / 40, file_limit=1000) as emulator:
        folder = JobFolder(tmp_path, emulator)
        png(tmp_path / "big.png", bytes(2000))
        png(tmp_path / "a.png")
        folder.write(
            *(edit("big.png", key=f"big{n}", prompt=f"p{n}") for n in range(3)),
            edit("a.png", key="a"),
        )
        assert await run(folder) == {
            **dict.fromkeys(["big0", "big1", "big2"], "not_submitted"),
            "a": "completed",
        }
        # Once for all lines of a run.
        assert [call.route for call in emulator.calls].count("upload") == 2


async def test_an_outage_of_uploads_is_waited_for(job_folder: JobFolder):
    png(job_folder.path / "a.png")
    png(job_folder.path / "b.png", b"b")
    job_folder.write(edit("a.png", key="a"), edit("b.png", key="b"))
    job_folder.emulator.script(
        Fault("upload", error(503), times=3), Fault("upload", Drop(), times=3)
    )
    assert await run(job_folder) == {"a": "completed", "b": "completed"}
    assert (job_folder.emulator.counters.uploads, job_folder.emulator.counters.posts) == (2, 2)


async def test_an_outage_that_lasts_stops_the_run_and_the_next_continues(job_folder: JobFolder):
    png(job_folder.path / "a.png")
    job_folder.write(*(edit("a.png", key=f"a{n}", prompt=f"p{n}") for n in range(12)))
    job_folder.emulator.script(Fault("upload", error(503), times=None))
    job = Job.read(job_folder.path / "jobs.jsonl")
    retry = Retry(attempts=1, first=0.01, longest=0.01, patience=0.05)
    limits = Limits(outputs=4)
    async with (
        job_folder.session(retry=retry, limits=limits) as session,
        run_job(session, job, job_folder.out) as r,
    ):
        results = [result async for result in r]
        summary = r.summary
    assert (summary.not_submitted, job_folder.emulator.counters.posts) == (12, 0)
    assert len(results) <= 1
    assert "a.png could not be uploaded, and the request was not sent" in str(summary.stopped)
    job_folder.emulator.faults.clear()
    assert set((await run(job_folder)).values()) == {"completed"}
    assert (job_folder.emulator.counters.uploads, job_folder.emulator.counters.posts) == (1, 12)


async def test_many_refused_uploads_stop_the_run(job_folder: JobFolder):
    for n in range(40):
        png(job_folder.path / f"{n}.png", bytes([n]))
    job_folder.write(*(edit(f"{n}.png", key=f"k{n}") for n in range(40)))
    job_folder.emulator.script(Fault("upload", error(403), times=None))
    job = Job.read(job_folder.path / "jobs.jsonl")
    limits = Limits(outputs=2)
    async with (
        job_folder.session(limits=limits) as session,
        run_job(session, job, job_folder.out) as r,
    ):
        async for _ in r:
            pass
        assert "stopped after 25 consecutive uploads that failed" in str(r.summary.stopped)
    assert job_folder.emulator.counters.posts == 0


async def test_a_refused_key_ends_the_run_and_a_single_401_does_not(job_folder: JobFolder):
    png(job_folder.path / "a.png")
    job_folder.write(*(edit("a.png", key=f"a{n}", prompt=f"p{n}") for n in range(3)))
    job_folder.emulator.script(Fault("upload", error(401), times=None))
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with (
        job_folder.session(retry=QUICK) as session,
        run_job(session, job, job_folder.out) as r,
    ):
        async for _ in r:
            pass
        assert isinstance(r.summary.stopped, AuthenticationError)
    job_folder.emulator.faults.clear()
    job_folder.emulator.script(Fault("upload", error(401)))
    assert set((await run(job_folder)).values()) == {"completed"}


async def test_a_file_that_the_server_has_removed_is_uploaded_for_the_next_run(tmp_path: Path):
    async with Emulator(duration=0.01, picture_scale=1 / 40, storage=3000) as emulator:
        folder = JobFolder(tmp_path, emulator)
        png(tmp_path / "a.png", bytes(2000))
        png(tmp_path / "b.png", bytes(1500))
        folder.write(edit("a.png", key="a"))
        await run(folder)
        folder.write(edit("b.png", key="b"))  # Its upload removes the other
        await run(folder)
        folder.write(edit("a.png", key="again"))
        assert await run(folder) == {"again": "rejected"}
        assert await run(folder) == {"again": "completed"}
        assert emulator.counters.images_billed == 3


async def test_a_run_that_is_cancelled_during_an_upload_has_paid_nothing(job_folder: JobFolder):
    png(job_folder.path / "a.png")
    job_folder.write(edit("a.png", key="a"))
    job_folder.emulator.script(Fault("upload", Hang()))
    async with anyio.create_task_group() as group:
        group.start_soon(run, job_folder)
        while not job_folder.emulator.calls:  # noqa: ASYNC110 - the emulator has no event for it
            await anyio.sleep(0.005)
        group.cancel_scope.cancel()
    found = Journal(job_folder.out / "journal.sqlite").find(["a"])
    assert [entry.status for entry in found.values()] == ["planned"]
    assert await run(job_folder) == {"a": "completed"}
    assert job_folder.emulator.counters.posts == 1


async def test_a_request_with_a_stand_in_is_never_sent(job_folder: JobFolder):
    request = PhotaImageEnhance(STAND_IN + "0" * 64)
    async with job_folder.session() as session:
        with pytest.raises(InvalidRequestError, match="names a local file"):
            await session.submit(request)
    assert job_folder.emulator.counters.posts == 0


async def test_without_a_connection_from_the_start_the_run_ends_soon(job_folder: JobFolder):
    png(job_folder.path / "a.png")
    job_folder.write(*(edit("a.png", key=f"a{n}", prompt=f"p{n}") for n in range(3)))
    job = Job.read(job_folder.path / "jobs.jsonl")
    session = Session(
        "sk-emulator",
        base_url="http://127.0.0.1:1",
        retry=QUICK,
        journal=job_folder.out / "journal.sqlite",
    )
    async with session, asyncio.timeout(30), run_job(session, job, job_folder.out) as r:
        async for _ in r:
            pass
        assert "could not be uploaded" in str(r.summary.stopped)


@pytest.mark.parametrize(
    "value",
    [None, 1, [], {}, {"url": 1, "expires": 9e18}, {"url": "https://x.test/"}, {"expires": 1}],
)
def test_a_damaged_memory_of_a_link_is_no_link(value):
    assert link_from(value) is None


def test_a_wrong_clock_makes_no_link_valid_for_years():
    link = link_from({"url": "https://x.test/", "expires": 9e18})
    assert link is not None
    other = link_from({"url": "https://x.test/", "expires": 0})
    assert other is None
    assert link.expires < 9e18 - LIFETIME


def test_a_payload_may_be_anything():
    assert stand_ins_of(None) == stand_ins_of({"a": [1, None, {}]}) == []


async def test_without_a_journal_a_session_remembers_its_uploads(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(input_uploads, "_KEPT", 1)
    files = LocalFiles(tmp_path)
    stand_ins = [
        files.replace("image_url", str(png(tmp_path / f"{n}.png", bytes([n])))) for n in range(2)
    ]
    async with (
        Emulator(duration=0.01, picture_scale=1 / 40) as emulator,
        Session("sk-emulator", base_url=emulator.url) as session,
    ):
        uploads = InputUploads(session, files)
        first = await uploads.link_of(stand_ins[0])
        assert await uploads.link_of(stand_ins[0]) == first
        await uploads.link_of(stand_ins[1])
        assert await uploads.link_of(stand_ins[0]) != first  # Only the last link is kept
        with pytest.raises(InvalidRequestError, match="no local file has the SHA-256"):
            await uploads.link_of(STAND_IN + "0" * 64)
        plain = PhotaImageEnhance("https://x.test/y.png")
        assert uploads.prepared(plain) is plain
        request = uploads.prepared(
            GenerationRequest("m", {"image_url": stand_ins[1], "num_outputs": 2})
        )
        with pytest.raises(InvalidRequestError, match="cannot be split"):
            request.split()
        emulator.script(
            Fault("submit", Fate(ends_as="failed", error={"code": "invalid_image_url"})),
            Fault("submit", Fate(ends_as="failed", error={"code": "timeout"})),
        )
        outcomes = [outcome async for outcome in session.map([request, request], ordered=True)]
        before = await uploads.link_of(stand_ins[1])
        uploads.note(outcomes[1])
        assert await uploads.link_of(stand_ins[1]) == before
        uploads.note(outcomes[0])
        assert await uploads.link_of(stand_ins[1]) != before
