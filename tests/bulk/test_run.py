"""A job in a session, against the emulator: what is submitted, fetched, told and left alone."""

from __future__ import annotations

import hashlib
import os
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
from foxapi_async.bulk import Job, job_run, run_job
from foxapi_async.emulator import Drop, Emulator, Fate, Fault, error
from foxapi_async.files.partfile import PartFile
from tests.bulk.conftest import Desk

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the emulator has no event for it
        await anyio.sleep(0.01)


async def test_a_job_is_submitted_once_and_its_pictures_are_named_by_key(desk: Desk):
    desk.write({"prompt": "a", "key": "one"}, {"prompt": "b", "key": "two", "num_outputs": 2})
    results, summary = await desk.run()
    assert desk.pictures() == ["one.png", "two-0.png", "two-1.png"]
    assert summary.is_done
    assert (summary.pictures, summary.fetched, summary.outputs_billed) == (3, 3, 3)
    for result in results.values():
        for file in result.files:
            content = (desk.out / file.path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file.sha256
    again, summary = await desk.run()
    assert (summary.is_done, summary.from_journal, summary.outputs_billed) == (True, 2, 0)
    assert again["one"].files == results["one"].files
    assert (desk.emulator.counters.posts, desk.emulator.counters.downloads) == (2, 3)
    assert [line["key"] for line in desk.lines()].count("one") == 1
    assert len(desk.lines()) == 2


async def test_pictures_that_are_missing_or_damaged_are_fetched_again_and_nothing_else(desk: Desk):
    desk.write(*({"prompt": key, "key": key, "num_outputs": 2} for key in "abc"))
    await desk.run()
    damaged, missing = desk.out / "a-1.png", desk.out / "b-0.png"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + b"?")
    missing.unlink()
    results, summary = await desk.run()
    assert (summary.is_done, summary.fetched, summary.from_journal) == (True, 2, 1)
    assert desk.emulator.counters.downloads == 6 + 2
    assert damaged.read_bytes() == content
    assert desk.pictures() == ["a-0.png", "a-1.png", "b-0.png", "b-1.png", "c-0.png", "c-1.png"]
    assert (desk.out / "a-1.png.damaged").exists()
    assert len(desk.lines()) == 3
    assert results["a"].fetched == 1


async def test_lines_that_are_appended_are_all_that_is_submitted(desk: Desk):
    lines = [{"prompt": "a"}, {"prompt": "a"}, {"prompt": "b"}]
    desk.write(*lines)
    await desk.run()
    desk.write(*lines, {"prompt": "a"}, {"prompt": "c"})
    _, summary = await desk.run()
    assert (summary.is_done, summary.outputs_billed) == (True, 2)
    assert desk.emulator.counters.tasks == 5


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


async def test_hostile_keys_stay_in_the_folder_and_apart(desk: Desk):
    keys = [*HOSTILE, "\ud800", "A.png", "x y"]
    desk.write(
        *({"prompt": f"p{n}", "key": key, "num_outputs": n % 2 + 1} for n, key in enumerate(keys))
    )
    results, summary = await desk.run()
    assert summary.is_done
    assert set(results) == set(keys)
    assert len(desk.pictures()) == sum(n % 2 + 1 for n in range(len(keys)))
    assert {path.parent for path in desk.folder.rglob("*.png")} == {desk.out}
    _, summary = await desk.run()
    assert (summary.from_journal, desk.emulator.counters.tasks) == (len(keys), len(keys))


async def test_a_poison_line_costs_only_itself_and_is_told(desk: Desk):
    desk.emulator.script(
        Fault("submit", error(422, code="moderated"), when=lambda call: call.prompt == "p3"),
        Fault("submit", Fate(ends_as="failed"), when=lambda call: call.prompt == "p4"),
        Fault("submit", Drop(carried_out=True), when=lambda call: call.prompt == "p5"),
    )
    desk.write(*({"prompt": f"p{n}", "key": f"p{n}"} for n in range(9)))
    results, summary = await desk.run()
    told = {key: result.status for key, result in results.items() if result.status != "completed"}
    assert told == {"p3": "rejected", "p4": "failed", "p5": "unknown"}
    assert (summary.completed, summary.rejected, summary.failed, summary.unknown) == (6, 1, 1, 1)
    assert results["p3"].error_code == "moderated"
    assert results["p4"].task_id is not None
    assert {line["key"]: line["status"] for line in desk.lines()} == {
        key: result.status for key, result in results.items()
    }


async def test_failed_and_unknown_ones_are_submitted_again_only_by_decision(desk: Desk):
    desk.emulator.script(
        Fault("submit", Fate(ends_as="failed"), when=lambda call: call.prompt == "a", times=1),
        Fault("submit", Drop(carried_out=True), when=lambda call: call.prompt == "b", times=1),
    )
    desk.write({"prompt": "a", "key": "a"}, {"prompt": "b", "key": "b"})
    await desk.run()
    results, summary = await desk.run()
    assert (results["a"].status, results["b"].status) == ("failed", "unknown")
    assert (summary.from_journal, desk.emulator.counters.tasks) == (2, 2)
    assert len(desk.lines()) == 2
    results, _ = await desk.run(retry_failed=True)
    assert (results["a"].status, results["b"].status) == ("completed", "unknown")
    results, summary = await desk.run(retry_unknown=True)
    assert summary.is_done
    assert desk.emulator.counters.tasks == 4
    assert [line["key"] for line in desk.lines()] == ["a", "b", "a", "b"] or len(desk.lines()) == 4


async def test_402_in_the_middle_brings_home_what_is_in_flight_and_the_next_run_goes_on(
    tmp_path: Path,
):
    async with Emulator(duration=0.05, picture_scale=1 / 40, credits=30_000 * 5) as emulator:
        desk = Desk(tmp_path, emulator)
        desk.write(*({"prompt": f"p{n}"} for n in range(40)))
        _, summary = await desk.run(limits=Limits(outputs=4))
        assert isinstance(summary.stopped, InsufficientQuotaError)
        assert (summary.completed, summary.not_submitted) == (5, 40 - 5 - summary.rejected)
        assert emulator.counters.posts < 12
        assert len(desk.pictures()) == 5
    async with Emulator(duration=0.05, picture_scale=1 / 40, port=0) as emulator:
        desk.emulator = emulator
        _, summary = await desk.run()
        assert (summary.is_done, emulator.counters.tasks) == (True, 35)


async def test_no_more_images_are_billed_than_allowed_in_one_run(desk: Desk):
    desk.write(*({"prompt": f"p{n}"} for n in range(20)))
    for billed in (7, 14, 20):
        _, summary = await desk.run(limits=Limits(outputs=3, total_outputs=7))
        assert desk.emulator.counters.images_billed == billed
        assert (summary.stopped is None) == (billed == 20)


async def test_a_stop_submits_no_more_and_brings_home_what_is_in_flight(tmp_path: Path):
    async with Emulator(duration=0.4, picture_scale=1 / 40) as emulator:
        desk = Desk(tmp_path, emulator)
        desk.write(*({"prompt": f"p{n}"} for n in range(50)))
        job = Job.read(tmp_path / "jobs.jsonl")
        async with desk.session(limits=Limits(outputs=5)) as session:
            async with run_job(session, job, desk.out) as run:
                await until(lambda: emulator.counters.tasks >= 5)
                run.stop()
                results = [result async for result in run]
            assert (run.summary.interrupted, len(results)) == (True, emulator.counters.tasks)
            assert {result.status for result in results} == {"completed"}
            assert run.summary.not_submitted == 50 - len(results)
        assert len(results) <= 6


async def test_a_grace_that_is_over_leaves_tasks_to_the_next_run(tmp_path: Path):
    async with Emulator(duration=1.0, picture_scale=1 / 40) as emulator:
        desk = Desk(tmp_path, emulator)
        desk.write(*({"prompt": f"p{n}"} for n in range(9)))
        job = Job.read(tmp_path / "jobs.jsonl")
        async with desk.session(limits=Limits(outputs=4)) as session:
            async with run_job(session, job, desk.out) as run:
                await until(lambda: emulator.counters.tasks >= 4)
                run.stop(grace=0.05)
                assert [result async for result in run] == []
            assert (run.summary.unfinished, run.summary.not_submitted) == (4, 5)
        plan = job.plan(desk.out / "journal.sqlite", desk.out)
        assert (plan.in_flight, plan.submit) == (4, 5)
        _, summary = await desk.run()
        assert (summary.is_done, emulator.counters.tasks) == (True, 9)


async def test_leaving_the_block_stops_at_once_and_loses_nothing(desk: Desk):
    desk.write(*({"prompt": f"p{n}"} for n in range(30)))
    job = Job.read(desk.folder / "jobs.jsonl")

    async def leave(session: Session) -> None:
        async with run_job(session, job, desk.out) as run:
            async for _ in run:
                raise KeyError("mine")

    async with desk.session(limits=Limits(outputs=3)) as session:
        with pytest.raises(KeyError, match="mine"):
            await leave(session)
    _, summary = await desk.run()
    assert (summary.is_done, desk.emulator.counters.tasks) == (True, 30)


async def test_a_reader_who_is_slow_halts_the_run(desk: Desk, monkeypatch):
    monkeypatch.setattr(job_run, "_HOMEWARD", 4)
    monkeypatch.setattr(job_run, "_UNREAD", 4)
    desk.write(*({"prompt": f"p{n}"} for n in range(200)))
    job = Job.read(desk.folder / "jobs.jsonl")
    async with (
        desk.session(limits=Limits(outputs=4)) as session,
        run_job(session, job, desk.out, sheet=False),
    ):
        before = -1
        while before != desk.emulator.counters.tasks:
            before = desk.emulator.counters.tasks
            await anyio.sleep(0.7)
    assert before < 150


async def test_a_session_without_a_journal_is_refused(desk: Desk):
    desk.write({"prompt": "a"})
    job = Job.read(desk.folder / "jobs.jsonl")
    async with Session("sk-emulator", base_url=desk.emulator.url) as session:
        with pytest.raises(ConfigurationError, match="journal"):
            run_job(session, job, desk.out)


async def test_results_without_their_journal_are_not_paid_for_again(desk: Desk):
    desk.write({"prompt": "a"})
    await desk.run()
    for file in desk.out.glob("journal.sqlite*"):
        file.unlink()
    with pytest.raises(ConfigurationError, match="paid for"):
        await desk.run()
    assert desk.emulator.counters.tasks == 1


async def test_results_that_were_lost_are_written_anew_from_the_journal(desk: Desk):
    desk.write({"prompt": "a", "key": "a"}, {"prompt": "b", "key": "b"})
    await desk.run()
    (desk.out / "results.jsonl").unlink()
    await desk.run()
    assert [line["status"] for line in desk.lines()] == ["completed"] * 2
    assert desk.emulator.counters.downloads == 2


async def test_a_picture_whose_link_is_gone_is_told_and_tried_again(desk: Desk):
    desk.emulator.script(
        Fault("download", error(403), when=lambda call: call.prompt == "a", times=20)
    )
    desk.write({"prompt": "a", "key": "a"}, {"prompt": "b", "key": "b"})
    results, summary = await desk.run()
    assert (results["a"].status, results["b"].status) == ("unsaved", "completed")
    assert results["a"].error_code == "OutputExpiredError"
    assert (summary.unsaved, summary.stopped) == (1, None)
    desk.emulator.faults.clear()
    results, summary = await desk.run()
    assert (summary.is_done, desk.emulator.counters.tasks) == (True, 2)
    assert [line["status"] for line in desk.lines()].count("unsaved") == 1


async def test_a_folder_that_takes_nothing_stops_the_job(desk: Desk, monkeypatch):
    def full(self: PartFile, data: bytes | bytearray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PartFile, "write", full)
    desk.write(*({"prompt": f"p{n}"} for n in range(40)))
    _, summary = await desk.run(limits=Limits(outputs=2))
    assert summary.stopped is not None
    assert "No space" in str(summary.stopped)
    assert desk.emulator.counters.tasks < 12


async def test_a_profile_is_a_result_without_a_file(desk: Desk):
    desk.write({"model": "phota-create-profile", "image_archive_url": "https://x.example/a.zip"})
    for _ in range(2):
        results, _ = await desk.run()
        (result,) = results.values()
        assert (result.status, result.files) == ("completed", ())
        assert "profile_id" in result.data[0]
    assert (desk.emulator.counters.tasks, len(desk.lines())) == (1, 1)


async def test_the_contact_sheet_shows_pictures_prompts_and_failures_and_escapes_them(desk: Desk):
    desk.emulator.script(
        Fault("submit", error(422, code="no"), when=lambda call: "bad" in call.prompt)
    )
    desk.write(
        {"prompt": "<script>alert('x')</script>"}, {"prompt": "bad & worse"}, {"prompt": "f"}
    )
    await desk.run()
    page = (desk.out / "index.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "bad &amp; worse" in page
    assert "rejected" in page


async def test_what_killed_processes_left_half_written_is_removed_when_it_is_old(desk: Desk):
    desk.write({"prompt": "a"})
    old, young, other = (desk.out / name for name in (
        ".a.0123456789ab.part", ".b.0123456789ab.part", ".c.part"
    ))  # fmt: skip
    for path in (old, young, other):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    await desk.run()
    assert [path.exists() for path in (old, young, other)] == [False, True, True]


async def test_every_picture_opens(desk: Desk):
    desk.write(*({"prompt": f"p{n}", "num_outputs": 3} for n in range(4)))
    await desk.run()
    for name in desk.pictures():
        with Image.open(desk.out / name) as picture:
            picture.load()


async def test_the_run_must_be_entered(desk: Desk):
    desk.write({"prompt": "a"})
    job = Job.read(desk.folder / "jobs.jsonl")
    async with desk.session() as session:
        with pytest.raises(FoxAPIError, match="async with"):
            async for _ in run_job(session, job, desk.out):
                pass
