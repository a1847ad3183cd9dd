"""A job in a session, against the emulator: what is submitted, fetched, reported and kept."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from PIL import Image

from foxapi_async import (
    ConfigurationError,
    FoxAPIError,
    InsufficientQuotaError,
    Limits,
    Session,
)
from foxapi_async.bulk import Job, job_run, job_worker, run_job
from foxapi_async.emulator import Delay, Drop, Emulator, Fate, Fault, error
from foxapi_async.files.partfile import PartFile
from tests.bulk.conftest import JobFolder

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the emulator has no event for it
        await anyio.sleep(0.01)


async def test_a_job_is_submitted_once_and_its_pictures_are_named_by_key(job_folder: JobFolder):
    job_folder.write({"prompt": "a", "key": "one"}, {"prompt": "b", "key": "two", "num_outputs": 2})
    results, summary = await job_folder.run()
    assert job_folder.pictures() == ["one.png", "two-0.png", "two-1.png"]
    assert summary.is_done
    assert (summary.pictures, summary.fetched, summary.outputs_billed) == (3, 3, 3)
    for result in results.values():
        for file in result.files:
            content = (job_folder.out / file.path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file.sha256
    again, summary = await job_folder.run()
    assert (summary.is_done, summary.from_journal, summary.outputs_billed) == (True, 2, 0)
    assert again["one"].files == results["one"].files
    assert (job_folder.emulator.counters.posts, job_folder.emulator.counters.downloads) == (2, 3)
    assert [line["key"] for line in job_folder.lines()].count("one") == 1
    assert len(job_folder.lines()) == 2


async def test_only_missing_and_damaged_pictures_are_fetched_again(
    job_folder: JobFolder,
):
    job_folder.write(*({"prompt": key, "key": key, "num_outputs": 2} for key in "abc"))
    await job_folder.run()
    damaged, missing = job_folder.out / "a-1.png", job_folder.out / "b-0.png"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + b"?")
    missing.unlink()
    results, summary = await job_folder.run()
    assert (summary.is_done, summary.fetched, summary.from_journal) == (True, 2, 1)
    assert job_folder.emulator.counters.downloads == 6 + 2
    assert damaged.read_bytes() == content
    assert job_folder.pictures() == [
        "a-0.png",
        "a-1.png",
        "b-0.png",
        "b-1.png",
        "c-0.png",
        "c-1.png",
    ]
    assert (job_folder.out / "a-1.png.damaged").exists()
    assert len(job_folder.lines()) == 3
    assert results["a"].fetched == 1


async def test_only_appended_lines_are_submitted(job_folder: JobFolder):
    lines = [{"prompt": "a"}, {"prompt": "a"}, {"prompt": "b"}]
    job_folder.write(*lines)
    await job_folder.run()
    job_folder.write(*lines, {"prompt": "a"}, {"prompt": "c"})
    _, summary = await job_folder.run()
    assert (summary.is_done, summary.outputs_billed) == (True, 2)
    assert job_folder.emulator.counters.tasks == 5


HOSTILE = [
    "../../x",
    "/etc/x",
    "k" * 300,
    "k" * 301,
    "🦊",
    "a\0b",
    "a\x01b",
    ".",
    "con",
    "a/b",
    "a:b",
]


async def test_hostile_keys_give_distinct_files_inside_the_folder(job_folder: JobFolder):
    keys = [*HOSTILE, "\ud800", "A.png", "x y"]
    job_folder.write(
        *({"prompt": f"p{n}", "key": key, "num_outputs": n % 2 + 1} for n, key in enumerate(keys))
    )
    results, summary = await job_folder.run()
    assert summary.is_done
    assert set(results) == set(keys)
    assert len(job_folder.pictures()) == sum(n % 2 + 1 for n in range(len(keys)))
    assert {path.parent for path in job_folder.path.rglob("*.png")} == {job_folder.out}
    _, summary = await job_folder.run()
    assert (summary.from_journal, job_folder.emulator.counters.tasks) == (len(keys), len(keys))


async def test_a_bad_line_affects_only_itself_and_is_reported(job_folder: JobFolder):
    job_folder.emulator.script(
        Fault("submit", error(422, code="moderated"), when=lambda call: call.prompt == "p3"),
        Fault("submit", Fate(ends_as="failed"), when=lambda call: call.prompt == "p4"),
        Fault("submit", Drop(carried_out=True), when=lambda call: call.prompt == "p5"),
    )
    job_folder.write(*({"prompt": f"p{n}", "key": f"p{n}"} for n in range(9)))
    results, summary = await job_folder.run()
    told = {key: result.status for key, result in results.items() if result.status != "completed"}
    assert told == {"p3": "rejected", "p4": "failed", "p5": "unknown"}
    assert (summary.completed, summary.rejected, summary.failed, summary.unknown) == (6, 1, 1, 1)
    assert results["p3"].error_code == "moderated"
    assert results["p4"].task_id is not None
    assert {line["key"]: line["status"] for line in job_folder.lines()} == {
        key: result.status for key, result in results.items()
    }


async def test_failed_and_unknown_requests_are_submitted_again_only_on_demand(
    job_folder: JobFolder,
):
    job_folder.emulator.script(
        Fault("submit", Fate(ends_as="failed"), when=lambda call: call.prompt == "a", times=1),
        Fault("submit", Drop(carried_out=True), when=lambda call: call.prompt == "b", times=1),
    )
    job_folder.write({"prompt": "a", "key": "a"}, {"prompt": "b", "key": "b"})
    await job_folder.run()
    results, summary = await job_folder.run()
    assert (results["a"].status, results["b"].status) == ("failed", "unknown")
    assert (summary.from_journal, job_folder.emulator.counters.tasks) == (2, 2)
    assert len(job_folder.lines()) == 2
    results, _ = await job_folder.run(retry_failed=True)
    assert (results["a"].status, results["b"].status) == ("completed", "unknown")
    results, summary = await job_folder.run(retry_unknown=True)
    assert summary.is_done
    assert job_folder.emulator.counters.tasks == 4
    assert [line["key"] for line in job_folder.lines()] == ["a", "b", "a", "b"] or len(
        job_folder.lines()
    ) == 4


async def test_402_lets_tasks_in_flight_complete_and_the_next_run_continues(
    tmp_path: Path,
):
    async with Emulator(duration=0.05, picture_scale=1 / 40, credits=30_000 * 5) as emulator:
        job_folder = JobFolder(tmp_path, emulator)
        job_folder.write(*({"prompt": f"p{n}"} for n in range(40)))
        _, summary = await job_folder.run(limits=Limits(outputs=4))
        assert isinstance(summary.stopped, InsufficientQuotaError)
        assert (summary.completed, summary.not_submitted) == (5, 40 - 5 - summary.rejected)
        assert emulator.counters.posts < 12
        assert len(job_folder.pictures()) == 5
    async with Emulator(duration=0.05, picture_scale=1 / 40, port=0) as emulator:
        job_folder.emulator = emulator
        _, summary = await job_folder.run()
        assert (summary.is_done, emulator.counters.tasks) == (True, 35)


async def test_one_run_bills_at_most_total_outputs(job_folder: JobFolder):
    job_folder.write(*({"prompt": f"p{n}"} for n in range(20)))
    for billed in (7, 14, 20):
        _, summary = await job_folder.run(limits=Limits(outputs=3, total_outputs=7))
        assert job_folder.emulator.counters.images_billed == billed
        assert (summary.stopped is None) == (billed == 20)


async def test_stop_ends_submissions_and_lets_tasks_in_flight_complete(tmp_path: Path):
    async with Emulator(duration=0.4, picture_scale=1 / 40) as emulator:
        job_folder = JobFolder(tmp_path, emulator)
        job_folder.write(*({"prompt": f"p{n}"} for n in range(50)))
        job = Job.read(tmp_path / "jobs.jsonl")
        async with job_folder.session(limits=Limits(outputs=5)) as session:
            async with run_job(session, job, job_folder.out) as run:
                await until(lambda: emulator.counters.tasks >= 5)
                run.stop()
                results = [result async for result in run]
            assert (run.summary.interrupted, len(results)) == (True, emulator.counters.tasks)
            assert {result.status for result in results} == {"completed"}
            assert run.summary.not_submitted == 50 - len(results)
        assert len(results) <= 6


async def test_tasks_that_outlast_the_grace_are_left_to_the_next_run(tmp_path: Path):
    async with Emulator(duration=1.0, picture_scale=1 / 40) as emulator:
        job_folder = JobFolder(tmp_path, emulator)
        job_folder.write(*({"prompt": f"p{n}"} for n in range(9)))
        job = Job.read(tmp_path / "jobs.jsonl")
        async with job_folder.session(limits=Limits(outputs=4)) as session:
            async with run_job(session, job, job_folder.out) as run:
                await until(lambda: emulator.counters.tasks >= 4)
                run.stop(grace=0.05)
                assert [result async for result in run] == []
            assert (run.summary.unfinished, run.summary.not_submitted) == (4, 5)
        plan = job.plan(job_folder.out / "journal.sqlite", job_folder.out)
        assert (plan.in_flight, plan.submit) == (4, 5)
        _, summary = await job_folder.run()
        assert (summary.is_done, emulator.counters.tasks) == (True, 9)


async def test_leaving_the_block_stops_at_once_and_the_next_run_continues(job_folder: JobFolder):
    job_folder.write(*({"prompt": f"p{n}"} for n in range(30)))
    job = Job.read(job_folder.path / "jobs.jsonl")

    async def leave(session: Session) -> None:
        async with run_job(session, job, job_folder.out) as run:
            async for _ in run:
                raise KeyError("mine")

    async with job_folder.session(limits=Limits(outputs=3)) as session:
        with pytest.raises(KeyError, match="mine"):
            await leave(session)
    _, summary = await job_folder.run()
    assert (summary.is_done, job_folder.emulator.counters.tasks) == (True, 30)


async def test_a_slow_reader_pauses_the_run(job_folder: JobFolder, monkeypatch):
    monkeypatch.setattr(job_worker, "_SAVING", 4)
    monkeypatch.setattr(job_run, "_UNREAD", 4)
    job_folder.write(*({"prompt": f"p{n}"} for n in range(200)))
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with (
        job_folder.session(limits=Limits(outputs=4)) as session,
        run_job(session, job, job_folder.out, sheet=False),
    ):
        before = -1
        while before != job_folder.emulator.counters.tasks:
            before = job_folder.emulator.counters.tasks
            await anyio.sleep(0.7)
    assert before < 150


async def test_a_session_without_a_journal_is_refused(job_folder: JobFolder):
    job_folder.write({"prompt": "a"})
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with Session("sk-emulator", base_url=job_folder.emulator.url) as session:
        with pytest.raises(ConfigurationError, match="journal"):
            run_job(session, job, job_folder.out)


async def test_results_without_their_journal_are_not_billed_again(job_folder: JobFolder):
    job_folder.write({"prompt": "a"})
    await job_folder.run()
    for file in job_folder.out.glob("journal.sqlite*"):
        file.unlink()
    with pytest.raises(ConfigurationError, match="paid for"):
        await job_folder.run()
    assert job_folder.emulator.counters.tasks == 1


async def test_lost_results_are_written_again_from_the_journal(job_folder: JobFolder):
    job_folder.write({"prompt": "a", "key": "a"}, {"prompt": "b", "key": "b"})
    await job_folder.run()
    (job_folder.out / "results.jsonl").unlink()
    await job_folder.run()
    assert [line["status"] for line in job_folder.lines()] == ["completed"] * 2
    assert job_folder.emulator.counters.downloads == 2


async def test_a_picture_with_an_expired_link_is_unsaved_and_tried_again(job_folder: JobFolder):
    job_folder.emulator.script(
        Fault("download", error(403), when=lambda call: call.prompt == "a", times=20)
    )
    job_folder.write({"prompt": "a", "key": "a"}, {"prompt": "b", "key": "b"})
    results, summary = await job_folder.run()
    assert (results["a"].status, results["b"].status) == ("unsaved", "completed")
    assert results["a"].error_code == "OutputExpiredError"
    assert (summary.unsaved, summary.stopped) == (1, None)
    job_folder.emulator.faults.clear()
    results, summary = await job_folder.run()
    assert (summary.is_done, job_folder.emulator.counters.tasks) == (True, 2)
    assert [line["status"] for line in job_folder.lines()].count("unsaved") == 1


async def test_a_full_disk_stops_the_job(job_folder: JobFolder, monkeypatch):
    def full(self: PartFile, data: bytes | bytearray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PartFile, "write", full)
    job_folder.write(*({"prompt": f"p{n}"} for n in range(40)))
    _, summary = await job_folder.run(limits=Limits(outputs=2))
    assert summary.stopped is not None
    assert "No space" in str(summary.stopped)
    assert job_folder.emulator.counters.tasks < 12


async def test_a_profile_is_a_result_without_a_file(job_folder: JobFolder):
    job_folder.write(
        {"model": "phota-create-profile", "image_archive_url": "https://x.example/a.zip"}
    )
    for _ in range(2):
        results, _ = await job_folder.run()
        (result,) = results.values()
        assert (result.status, result.files) == ("completed", ())
        assert "profile_id" in result.data[0]
    assert (job_folder.emulator.counters.tasks, len(job_folder.lines())) == (1, 1)


async def test_the_contact_sheet_shows_and_escapes_pictures_prompts_and_failures(
    job_folder: JobFolder,
):
    job_folder.emulator.script(
        Fault("submit", error(422, code="no"), when=lambda call: "bad" in call.prompt)
    )
    job_folder.write(
        {"prompt": "<script>alert('x')</script>"}, {"prompt": "bad & worse"}, {"prompt": "f"}
    )
    await job_folder.run()
    page = (job_folder.out / "index.html").read_text()
    assert page.count('<img src="./contact-sheet/') == 2
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in page
    assert page.count("<script") == 1  # its own
    assert "bad &amp; worse" in page
    assert "rejected" in page


async def test_old_part_files_of_killed_processes_are_removed(
    job_folder: JobFolder,
):
    job_folder.write({"prompt": "a"})
    old, young, other = (job_folder.out / name for name in (
        ".a.0123456789ab.part", ".b.0123456789ab.part", ".c.part"
    ))  # fmt: skip
    for path in (old, young, other):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    await job_folder.run()
    assert [path.exists() for path in (old, young, other)] == [False, True, True]


async def test_every_picture_opens(job_folder: JobFolder):
    job_folder.write(*({"prompt": f"p{n}", "num_outputs": 3} for n in range(4)))
    await job_folder.run()
    for name in job_folder.pictures():
        with Image.open(job_folder.out / name) as picture:
            picture.load()


def open_results(job_folder: JobFolder) -> int:
    path = (job_folder.out / "results.jsonl").resolve()
    return sum(each.resolve() == path for each in Path("/proc/self/fd").iterdir())


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="open descriptors are listed in /proc"
)


@needs_proc
async def test_a_cancelled_entry_closes_the_results_file(job_folder: JobFolder):
    job_folder.write({"prompt": "a"})
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with job_folder.session() as session:
        for _ in range(5):
            entry = asyncio.create_task(run_job(session, job, job_folder.out).__aenter__())
            await asyncio.sleep(0)
            entry.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entry
    assert (job_folder.out / "results.jsonl").exists()
    assert open_results(job_folder) == 0


@needs_proc
async def test_cancelling_the_exit_closes_the_results_file(job_folder: JobFolder):
    job_folder.write({"prompt": "a"})
    job = Job.read(job_folder.path / "jobs.jsonl")
    entered, left = asyncio.Event(), asyncio.Event()

    async def enter(session: Session) -> None:
        async with run_job(session, job, job_folder.out):
            entered.set()
            try:
                await anyio.sleep_forever()
            finally:
                left.set()

    async with job_folder.session() as session:
        task = asyncio.create_task(enter(session))
        await entered.wait()
        assert open_results(job_folder) == 1
        task.cancel()
        await left.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert open_results(job_folder) == 0


async def test_leaving_a_run_at_once_closes_its_streams(job_folder: JobFolder):
    job_folder.write({"prompt": "a"})
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with job_folder.session() as session:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with run_job(session, job, job_folder.out):
                pass
            gc.collect()
    assert [str(each.message) for each in caught if each.category is ResourceWarning] == []


async def test_the_run_must_be_entered(job_folder: JobFolder):
    job_folder.write({"prompt": "a"})
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with job_folder.session() as session:
        with pytest.raises(FoxAPIError, match="async with"):
            async for _ in run_job(session, job, job_folder.out):
                pass


@pytest.mark.parametrize("way", ["break", "stop"])
async def test_posts_under_way_are_finished_before_the_summary(job_folder: JobFolder, way: str):
    job_folder.write(*({"prompt": f"fox {number}", "key": f"k{number}"} for number in range(4)))
    job_folder.emulator.script(
        Fault("submit", Fate(duration=0.01, estimate=0.01)),
        Fault("submit", [Delay(0.5, carried_out=True), Fate(duration=60.0)], times=None),
    )
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with job_folder.session() as session:
        async with run_job(session, job, job_folder.out, sheet=False) as run:
            async for _ in run:
                await until(lambda: job_folder.emulator.counters.posts > 1)
                if way == "break":
                    break
                run.stop(grace=0.01)
        summary = run.summary
        accepted = session.statistics().submitted
    assert summary.unknown == 0
    assert summary.completed + summary.unfinished == accepted == job_folder.emulator.counters.posts
