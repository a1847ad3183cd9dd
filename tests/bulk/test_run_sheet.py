"""The contact sheet of a run: when it is drawn, and its thumbnails while the results come."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import attrs
import pytest
from PIL import Image

from foxapi_async.bulk import Summary
from foxapi_async.bulk.results.results_file import ResultsFile
from foxapi_async.bulk.sheet.contact_sheet import write_sheet
from foxapi_async.bulk.sheet.run_sheet import RunSheet
from foxapi_async.bulk.sheet.thumbnails import SHEET_FOLDER
from foxapi_async.journal import SavedFile
from tests.bulk.conftest import JobFolder
from tests.bulk.test_contact_sheet import completed, digest


def thumbnails(folder: Path) -> list[Path]:
    return sorted((folder / SHEET_FOLDER).glob("*.jpg"))


@pytest.fixture
def sheet(tmp_path: Path) -> Iterator[RunSheet]:
    sheet = RunSheet(tmp_path)
    yield sheet
    sheet.close()


def age(path: Path) -> None:
    """Set the time of a change to that of the first file system."""
    os.utime(path, (1, 1))


async def test_a_run_without_new_results_keeps_the_sheet(job_folder: JobFolder):
    job_folder.write({"prompt": "a"})
    await job_folder.run()
    (job_folder.out / "index.html").write_text("kept")
    await job_folder.run()
    assert (job_folder.out / "index.html").read_text() == "kept"


@pytest.mark.parametrize("lost", ["index.html", SHEET_FOLDER, "time"])
async def test_a_sheet_that_is_missing_or_older_than_the_results_is_drawn(
    job_folder: JobFolder, lost: str
):
    job_folder.write({"prompt": "a"})
    await job_folder.run()
    path = job_folder.out / "index.html"
    path.write_text("old")
    if lost == "time":
        age(path)
    else:
        (job_folder.out / lost).rename(job_folder.path / "elsewhere")
    await job_folder.run()
    assert "<figure" in path.read_text()
    assert len(thumbnails(job_folder.out)) == 1


async def test_a_run_without_a_sheet_makes_no_thumbnails(job_folder: JobFolder):
    job_folder.write({"prompt": "a"})
    await job_folder.run(sheet=False)
    assert not (job_folder.out / SHEET_FOLDER).exists()


@pytest.mark.ordinary_loop
async def test_thumbnails_are_made_during_the_run(sheet: RunSheet, tmp_path: Path):
    async with anyio.create_task_group() as group:
        group.start_soon(sheet.make_thumbnails)
        for number in range(3):
            result = completed(tmp_path, number, fetched=1)
            sheet.add(result)
        with anyio.fail_after(60):
            while len(thumbnails(tmp_path)) < 3:  # noqa: ASYNC110 - files of a thread
                await anyio.sleep(0.01)
        sheet.finish()
    # The drawing uses them.
    before = [path.stat().st_ino for path in thumbnails(tmp_path)]
    results = ResultsFile(tmp_path / "results.jsonl")
    results.append([completed(tmp_path, number) for number in range(3)])
    write_sheet(tmp_path, results, {}, datetime.now(UTC))
    results.close()
    assert [path.stat().st_ino for path in thumbnails(tmp_path)] == before


@pytest.mark.ordinary_loop
async def test_pictures_that_an_earlier_run_has_fetched_and_other_files_get_no_thumbnail(
    sheet: RunSheet,
    tmp_path: Path,
):
    sheet.add(completed(tmp_path, 1))
    sheet.finish()
    await sheet.make_thumbnails()
    assert thumbnails(tmp_path) == []


@pytest.fixture
def large(tmp_path: Path) -> Iterator[ResultsFile]:
    """Results whose pictures take a while to decode."""
    Image.effect_noise((2000, 2000), 50).save(tmp_path / "large.png")
    results = ResultsFile(tmp_path / "results.jsonl")
    files = [SavedFile("large.png", 1, digest(number), 0) for number in range(20)]
    results.append(
        [completed(tmp_path, number, files=(file,)) for number, file in enumerate(files)]
    )
    yield results
    results.close()


def summary(path: Path, *, interrupted: bool = False) -> Summary:
    numbers = {field.name: 0 for field in attrs.fields(Summary)}
    return Summary(**numbers | {"results": path, "stopped": None, "interrupted": interrupted})


@pytest.mark.ordinary_loop
async def test_an_interrupted_run_makes_no_thumbnails_at_its_end(
    sheet: RunSheet, tmp_path: Path, large: ResultsFile
):
    await sheet.draw(large, summary(large.path, interrupted=True), is_cancelled=lambda: False)
    assert (tmp_path / "index.html").read_text().count('<img src="./large.png"') == 20
    assert thumbnails(tmp_path) == []


@pytest.mark.ordinary_loop
async def test_a_drawing_shows_its_progress_and_can_be_cancelled(
    sheet: RunSheet, tmp_path: Path, large: ResultsFile
):
    is_cancelled = False
    async with anyio.create_task_group() as group:

        async def draw() -> None:
            await sheet.draw(large, summary(large.path), is_cancelled=lambda: is_cancelled)

        group.start_soon(draw)
        with anyio.fail_after(60):
            while not thumbnails(tmp_path):  # noqa: ASYNC110 - files of a thread
                await anyio.sleep(0.001)
        assert sheet.progress is not None
        assert sheet.progress[1] == 20
        is_cancelled = True
    assert sheet.progress is None
    assert len(thumbnails(tmp_path)) < 20
    assert not (tmp_path / "index.html").exists()


@pytest.mark.ordinary_loop
async def test_a_sheet_that_cannot_be_written_is_only_logged(
    sheet: RunSheet, tmp_path: Path, large, caplog
):
    (tmp_path / SHEET_FOLDER).write_text("a file is in the way")
    await sheet.draw(large, summary(large.path), is_cancelled=lambda: False)
    assert "cannot write the contact sheet" in caplog.text
    assert not (tmp_path / "index.html").exists()
