"""What a job writes about its pictures: files beside them, and prompts in their metadata."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sqlite3
from pathlib import Path

import attrs
import pytest
from PIL import Image

from foxapi_async import InvalidRequestError, PhotaImage, PhotaImageEnhance
from foxapi_async.bulk import Job, JobLine, Result, run_job
from foxapi_async.bulk.results import embedding, save_results, sidecars
from foxapi_async.bulk.results.embedding import STAGING_NAME, publish_with_prompt, remove_staged
from foxapi_async.bulk.results.run_notes import RunNotes
from foxapi_async.emulator import Answer, Fault
from foxapi_async.journal import SavedFile
from tests.bulk.conftest import JobFolder

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much]


async def test_a_picture_carries_its_prompt_and_has_a_sidecar(job_folder: JobFolder):
    job_folder.write({"prompt": "a fox 🦊", "key": "fox", "num_outputs": 2})
    results, summary = await job_folder.run(name="{model}/{key}", embed=True, sidecar="json")
    assert summary.is_done
    folder = job_folder.out / "phota-image"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("fox-0.json", "fox-0.png", "fox-1.json", "fox-1.png"),
    ]
    for file in results["fox"].files:
        path = job_folder.out / file.path
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
        with Image.open(path) as picture:
            picture.load()
            assert picture.info["parameters"] == "a fox 🦊"
            assert json.loads(picture.info["foxapi"])["request"]["num_outputs"] == 2
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert (facts["file"], facts["prompt"], facts["key"]) == (path.name, "a fox 🦊", "fox")
        assert (facts["sha256"], facts["task_id"]) == (file.sha256, results["fox"].task_id)
        assert (facts["index"], facts["request"]["model"]) == (file.index, "phota-image")
        assert facts["created"] is not None
    assert not (job_folder.out / STAGING_NAME).exists()
    # The journal knows the files as they are, so that nothing is fetched again.
    before = (folder / "fox-0.json").stat().st_mtime_ns
    _, summary = await job_folder.run(embed=True, sidecar="json")
    assert (summary.from_journal, job_folder.emulator.counters.downloads) == (1, 2)
    assert (folder / "fox-0.json").stat().st_mtime_ns == before


async def test_files_of_earlier_runs_get_sidecars_and_edited_ones_stay(job_folder: JobFolder):
    lines = [{"prompt": "a", "key": "one"}, {"prompt": "b", "key": "two"}]
    job_folder.write(*lines, {"prompt": "c", "key": "jobs"})
    await job_folder.run()
    (job_folder.out / "two.txt").write_text("my own caption")
    _, summary = await job_folder.run(sidecar="txt")
    assert (summary.from_journal, job_folder.emulator.counters.downloads) == (3, 3)
    texts = {path.name: path.read_text() for path in job_folder.out.glob("*.txt")}
    assert texts == {
        "one.txt": "a\n",
        "two.txt": "my own caption",
        "two.png.txt": "b\n",
        # jobs.txt is the name of a job from standard input.
        "jobs.png.txt": "c\n",
    }


async def test_a_file_that_is_no_picture_is_saved_as_it_is(job_folder: JobFolder):
    content = b"GIF89a" + b"\1\0\1\0\0\0\0;"
    job_folder.emulator.script(Fault("download", Answer(200, content, content_type="image/gif")))
    job_folder.write({"prompt": "a", "key": "one"})
    results, summary = await job_folder.run(embed=True)
    assert summary.is_done
    (file,) = results["one"].files
    assert (job_folder.out / file.path).read_bytes() == content


async def test_a_full_disk_costs_the_sidecar_and_no_picture(job_folder: JobFolder, monkeypatch):
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sidecars, "replacing", full)
    job_folder.write({"prompt": "a", "key": "one"})
    job = Job.read(job_folder.path / "jobs.jsonl")
    async with (
        job_folder.session() as session,
        run_job(session, job, job_folder.out, sidecar="json") as run,
    ):
        assert [result.status async for result in run] == ["completed"]
    assert run.notes == ("line 1: a sidecar cannot be written: No space left on device",)
    assert job_folder.pictures() == ["one.png"]


async def test_a_format_of_sidecars_must_exist(job_folder: JobFolder):
    job_folder.write({"prompt": "a"})
    with pytest.raises(InvalidRequestError, match="must be one of json, txt"):
        await job_folder.run(sidecar="xml")
    assert job_folder.emulator.counters.posts == 0


LINE = JobLine(1, "k", PhotaImage("a fox"))


def staged(folder: Path) -> Path:
    source = folder / STAGING_NAME / "task-0.png"
    source.parent.mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save(source)
    return source


def test_a_run_that_was_killed_before_it_recorded_a_file_leaves_no_second_one(tmp_path: Path):
    first = publish_with_prompt(staged(tmp_path), tmp_path, "k.png", LINE, "task")
    again = publish_with_prompt(staged(tmp_path), tmp_path, "k.png", LINE, "task")
    assert first == again == (tmp_path / "k.png", None)
    assert list((tmp_path / STAGING_NAME).iterdir()) == []


@pytest.mark.parametrize("embed", [True, False])
async def test_a_killed_run_and_one_that_embeds_leave_one_picture(
    job_folder: JobFolder, embed: bool
):
    job_folder.write({"prompt": "a fox", "key": "fox"})
    await job_folder.run(embed=embed)
    (before,) = job_folder.pictures()
    content = (job_folder.out / before).read_bytes()
    journal = sqlite3.connect(job_folder.out / "journal.sqlite")
    with contextlib.closing(journal), journal:  # as if it was killed before it recorded the file
        journal.execute("UPDATE entries SET status = 'completed', files = NULL")
    results, summary = await job_folder.run(embed=not embed)
    assert job_folder.pictures() == [before] == [results["fox"].files[0].path]
    assert (job_folder.out / before).read_bytes() == content
    assert (summary.completed, job_folder.emulator.counters.downloads) == (1, 2)
    # A file of somebody else is not taken for it.
    (job_folder.out / before).write_bytes(content + b"edited")
    (job_folder.out / "results.jsonl").unlink()
    journal = sqlite3.connect(job_folder.out / "journal.sqlite")
    with contextlib.closing(journal), journal:
        journal.execute("UPDATE entries SET status = 'completed', files = NULL")
    await job_folder.run(embed=not embed)
    assert job_folder.pictures() == ["fox.png", "fox~2.png"]


def test_a_picture_that_cannot_be_published_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "folder").write_bytes(b"")
    with pytest.raises(OSError, match="not a folder"):
        publish_with_prompt(staged(tmp_path), tmp_path / "folder", "k.png", LINE, "task")
    assert list((tmp_path / STAGING_NAME).iterdir()) == []


def test_only_old_staged_files_are_removed(tmp_path: Path):
    young = staged(tmp_path)
    old = young.with_name("old.png")
    old.write_bytes(b"")
    os.utime(old, (0, 0))
    remove_staged(tmp_path, young.stat().st_mtime + 10)
    assert [path.name for path in young.parent.iterdir()] == ["task-0.png"]
    remove_staged(tmp_path, young.stat().st_mtime + 10_000)
    assert list(tmp_path.iterdir()) == []


def test_large_files_are_copied_as_they_are(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(embedding, "_LARGEST", 10)
    source = staged(tmp_path)
    content = source.read_bytes()
    path, reason = publish_with_prompt(source, tmp_path, "k.png", LINE, "task")
    assert (path.read_bytes(), reason) == (content, "the file is larger than 128 MiB")


async def test_a_disk_that_is_full_leaves_the_picture_to_the_next_run(job_folder, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job_folder.write({"prompt": "a", "key": "one"})
    with monkeypatch.context() as patch:
        patch.setattr(save_results, "publish_with_prompt", full)
        results, summary = await job_folder.run(embed=True)
    assert (results["one"].status, summary.unsaved) == ("unsaved", 1)
    assert "No space left on device; the task is paid for" in results["one"].error
    _, summary = await job_folder.run(embed=True)
    assert (summary.is_done, summary.outputs_billed, job_folder.pictures()) == (
        True,
        0,
        ["one.png"],
    )


def test_own_sidecars_are_brought_up_to_date_and_others_stay(tmp_path: Path):
    notes = RunNotes()
    writer = sidecars.Sidecars(tmp_path, "json", notes)
    result = Result(
        line=1,
        key="k",
        status="completed",
        request=LINE.request,
        files=(SavedFile("k.png", 1, "0", 0),),
    )
    writer.write([result], {})
    writer.write([attrs.evolve(result, line=2)], {})
    assert json.loads((tmp_path / "k.json").read_text())["line"] == 2
    (tmp_path / "k.json").write_text("not mine")
    writer.write([result], {})
    assert json.loads((tmp_path / "k.png.json").read_text())["line"] == 1
    (tmp_path / "k.png.json").write_text("[]")
    writer.write([result], {})
    assert notes.texts() == ("line 1: a sidecar was not written: another file has its name",)
    assert (tmp_path / "k.json").read_text() == "not mine"
    # A request without a prompt has no caption.
    enhance = attrs.evolve(result, request=PhotaImageEnhance("https://x.example/a.png"))
    attrs.evolve(writer, form="txt").write([enhance], {})
    assert not (tmp_path / "k.txt").exists()
