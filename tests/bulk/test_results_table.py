"""The table of results: one row per line of the jobs of a folder, and counting in it is right."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from foxapi_async import ConfigurationError, InvalidRequestError, Journal, Limits
from foxapi_async.bulk import Job, write_table
from foxapi_async.bulk.record.run_log import RunLog
from foxapi_async.bulk.results.results_file import ResultsFile
from foxapi_async.bulk.table import table_formats
from foxapi_async.bulk.table.results_table import write_job_table
from foxapi_async.emulator import Drop, Fate, Fault, error
from tests.bulk.conftest import JobFolder

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


async def test_every_line_has_one_row_with_its_last_status(job_folder: JobFolder):
    job_folder.emulator.script(
        Fault("submit", error(422, code="moderated"), when=lambda call: call.prompt == "b"),
        Fault("submit", Fate(ends_as="failed"), when=lambda call: call.prompt == "c", times=1),
        Fault("submit", Drop(carried_out=True), when=lambda call: call.prompt == "d"),
    )
    lines = [{"prompt": key, "key": key, "num_outputs": 2} for key in "abcdefghijkl"]
    job_folder.write(*lines)
    _, summary = await job_folder.run(limits=Limits(outputs=2, total_outputs=16))
    rows = read(job_folder.out / "results.csv")
    assert [row["key"] for row in rows] == list("abcdefghijkl")
    assert [row["line"] for row in rows] == [str(n) for n in range(1, 13)]
    told = Counter(row["status"] for row in rows)
    assert told == {
        name: number
        for name in ("completed", "failed", "rejected", "unknown", "not_submitted")
        if (number := getattr(summary, name))
    }
    assert told["not_submitted"] > 0
    assert sum(int(row["images"]) for row in rows) == summary.pictures
    by_key = {row["key"]: row for row in rows}
    assert by_key["a"]["files"] == "a-0.png|a-1.png"
    assert float(by_key["a"]["seconds"]) > 0
    assert float(by_key["a"]["credits"]) > 0
    assert (by_key["a"]["prompt"], by_key["a"]["model"]) == ("a", "phota-image")
    assert (by_key["b"]["error_code"], by_key["b"]["task_id"]) == ("moderated", "")
    assert (by_key["d"]["files"], by_key["d"]["images"]) == ("", "0")
    # After the resume each line has one row still.
    _, summary = await job_folder.run(retry_failed=True)
    rows = read(job_folder.out / "results.csv")
    assert Counter(row["status"] for row in rows) == {"completed": 11, "unknown": 1}
    assert sum(int(row["images"]) for row in rows) == summary.pictures == 22


async def test_all_jobs_of_a_folder_are_in_the_table(job_folder: JobFolder):
    job_folder.write({"prompt": "a", "key": "a"})
    await job_folder.run()
    assert "job" not in read(job_folder.out / "results.csv")[0]
    (job_folder.path / "jobs.jsonl").rename(job_folder.path / "first.jsonl")
    text = (job_folder.out / "runs.jsonl").read_text().replace("jobs.jsonl", "first.jsonl")
    (job_folder.out / "runs.jsonl").write_text(text)
    with (job_folder.path / "first.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "later", "key": "later"}))
    job_folder.write({"prompt": "b", "key": "b"})
    await job_folder.run()
    rows = read(job_folder.out / "results.csv")
    assert [(row["job"], row["key"], row["status"]) for row in rows] == [
        ("jobs.jsonl", "b", "completed"),
        ("first.jsonl", "a", "completed"),
        ("first.jsonl", "later", "not_submitted"),
    ]
    # A job file that is gone: its lines with results stay in the table.
    (job_folder.path / "first.jsonl").unlink()
    report = write_table(job_folder.out)
    assert [row["key"] for row in read(report.path)] == ["b", "a"]
    assert "first.jsonl: only lines with results are listed" in report.notes[0]
    assert (report.rows, report.statuses, report.images) == (2, {"completed": 2}, 2)


async def test_a_request_of_several_jobs_is_counted_once(job_folder: JobFolder):
    shared = {"prompt": "a", "key": "a", "num_outputs": 2}
    job_folder.write(shared, {"prompt": "b", "key": "b"})
    await job_folder.run()
    (job_folder.path / "jobs.jsonl").rename(job_folder.path / "first.jsonl")
    text = (job_folder.out / "runs.jsonl").read_text().replace("jobs.jsonl", "first.jsonl")
    (job_folder.out / "runs.jsonl").write_text(text)
    job_folder.write({"prompt": "c", "key": "c"}, {**shared, "note": "of the last job"})
    await job_folder.run()
    rows = read(job_folder.out / "results.csv")
    assert [(row["job"], row["key"], row["line"], row["note"]) for row in rows] == [
        ("jobs.jsonl", "c", "1", ""),
        ("jobs.jsonl", "a", "2", "of the last job"),
        ("first.jsonl", "b", "2", ""),
    ]
    report = write_table(job_folder.out)
    assert read(report.path) == rows
    assert (report.rows, report.images) == (3, 4)
    assert report.credits == job_folder.emulator.counters.credits_reserved


async def test_a_journal_without_results_and_job_gives_a_table(job_folder: JobFolder):
    job_folder.write({"prompt": "a", "key": "a"}, {"prompt": "b", "key": "b"})
    await job_folder.run(name="{model}/{key}")
    (job_folder.out / "results.jsonl").unlink()
    RunLog(job_folder.out).path.unlink()
    report = write_table(job_folder.out, format="jsonl")
    rows = [json.loads(line) for line in report.path.read_text().splitlines()]
    assert [(row["key"], row["files"]) for row in rows] == [
        ("a", ["phota-image/a.png"]),
        ("b", ["phota-image/b.png"]),
    ]
    assert not (job_folder.out / "results.jsonl").exists()


async def test_paths_of_files_are_relative_to_the_table(job_folder: JobFolder):
    job_folder.write({"prompt": "a", "key": "a"})
    await job_folder.run(name="{model}/{key}")
    elsewhere = job_folder.path / "tables"
    elsewhere.mkdir()
    report = write_table(job_folder.out, output=elsewhere / "table.csv")
    (row,) = read(report.path)
    assert row["files"] == "../out/phota-image/a.png"
    assert (elsewhere / row["files"]).is_file()


async def test_a_table_that_cannot_be_written_is_noted_and_loses_nothing(job_folder: JobFolder):
    job_folder.write({"prompt": "a", "key": "a"})
    (job_folder.out / "results.csv").mkdir()
    _, summary = await job_folder.run()
    assert summary.is_done
    assert [path.name for path in job_folder.out.glob(".*.part")] == []
    with pytest.raises(ConfigurationError, match=r"results\.csv cannot be written"):
        write_table(job_folder.out)


def spell(own: dict[str, Any]) -> dict[str, Any]:
    return {
        "line": 1,
        "key": "k",
        "job": "jobs.jsonl",
        "own": own,
        "status": "completed",
        "files": ["a.png", "b.png"],
        "seconds": 1.5,
        **dict.fromkeys(("task_id", "outputs", "images", "credits", "error_code"), None),
        **dict.fromkeys(("error", "model"), None),
        "prompt": '=1+1; "quoted"\nÜber 🦊 \ud800',
    }


def test_the_formats_say_the_same_and_programs_read_them_back(tmp_path: Path):
    rows = [
        spell({"seed": 7, "status": "mine", "tag": "x", "ok": True, "list": [1, "a"]}),
        spell({"seed": 2.5, "tag": 3, "ok": None}),
    ]
    columns = table_formats.Columns(has_jobs=True)
    for row in rows:
        columns.add(row["own"])
    for form in table_formats.FORMATS:
        with (tmp_path / f"table.{form}").open("wb") as file:
            table_formats.write_rows(form, file, columns, rows)
    table = read(tmp_path / "table.csv")
    assert list(table[0])[:4] == ["line", "key", "job", "seed"]
    assert table[0]["own_status"] == "mine"
    assert [table[0][name] for name in ("seed", "ok", "list", "files", "status")] == [
        *("7", "true", '[1, "a"]', "a.png|b.png", "completed"),
    ]
    assert table[0]["prompt"] == '=1+1; "quoted"\nÜber 🦊 \\ud800'
    lines = [json.loads(line) for line in (tmp_path / "table.jsonl").read_text().splitlines()]
    assert lines == rows
    typed = parquet.read_table(tmp_path / "table.parquet")
    assert typed.column_names == list(table[0])
    first, second = typed.to_pylist()
    assert (first["seed"], second["seed"], first["tag"], second["tag"]) == (7.0, 2.5, "x", "3")
    assert (first["ok"], second["ok"], first["files"]) == (True, None, ["a.png", "b.png"])
    assert (first["line"], first["seconds"], first["credits"]) == (1, 1.5, None)


def test_no_names_of_columns_differ_only_in_case():
    columns = table_formats.Columns()
    columns.add({"Status": 1, "status": 2, "Seed": 3, "seed": 4, "own_Seed": 5})
    assert columns.own_names() == {
        "Status": "own_Status",
        "status": "own_own_status",
        "Seed": "Seed",
        "seed": "own_seed",
        "own_Seed": "own_own_Seed",
    }


def test_many_own_columns_share_one(tmp_path: Path):
    columns = table_formats.Columns()
    rows = [spell({f"c{n}": n for n in range(501)}), spell({"c0": 0})]
    for row in rows:
        columns.add(row["own"])
    with (tmp_path / "t.csv").open("wb") as file:
        table_formats.write_rows("csv", file, columns, rows)
    first, second = read(tmp_path / "t.csv")
    assert (first["c499"], first["own"], second["own"]) == ("499", '{"c500": 500}', "")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"foxapi-async\[parquet\]"):
        write_table(tmp_path, format="parquet")


@pytest.mark.parametrize("name", ["results.jsonl", "index.html", "runs.jsonl", "journal.sqlite"])
def test_no_table_replaces_a_file_that_jobs_write(tmp_path: Path, name: str):
    with pytest.raises(InvalidRequestError, match="choose another"):
        write_table(tmp_path, output=tmp_path / name)


def test_a_directory_without_results_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="there are no results in"):
        write_table(tmp_path)
    with pytest.raises(InvalidRequestError, match="must be one of csv, jsonl, parquet"):
        write_table(tmp_path, format="xlsx")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_job_file_that_changed_and_a_table_that_is_not_wanted(tmp_path: Path):
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    job = Job.read(path)
    journal = Journal(tmp_path / "none.sqlite")
    results = ResultsFile(tmp_path / "results.jsonl")
    try:
        wanted = write_job_table(tmp_path, results, journal, job, is_cancelled=lambda: True)
        assert wanted is None
        assert not (tmp_path / "results.csv").exists()
        path.write_text('{"prompt": "x"}\n{"prompt": "b"}\n')
        report = write_job_table(tmp_path, results, journal, job, is_cancelled=lambda: False)
    finally:
        results.close()
    assert report is not None
    assert report.rows == 0
    assert "jobs.jsonl: only lines with results are listed" in report.notes[0]
