"""`foxapi report`: the table of results of a directory."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from foxapi_async.cli.app import run
from tests.bulk.conftest import JobFolder, job_folder

__all__ = ["job_folder"]

pytestmark = [pytest.mark.ordinary_loop]


async def test_the_path_goes_to_stdout_and_the_counts_to_stderr(job_folder: JobFolder, capsys):
    job_folder.write({"prompt": "a", "key": "a"}, {"prompt": "b", "key": "b", "num_outputs": 2})
    await job_folder.run(table=False)
    table = job_folder.out / "results.csv"
    assert not table.exists()
    log = job_folder.out / "results.jsonl"
    log.write_text(log.read_text().replace('"credits": 60000, ', "").replace("30000", "1234567"))
    assert run(["report", str(job_folder.out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{table}\n"
    assert "2 lines: 2 completed\n3 images on disk, 1,234,567 credits reserved, " in printed.err
    assert "not known for 1 task\n" in printed.err
    with table.open(encoding="utf-8-sig", newline="") as file:
        assert [row["files"] for row in csv.DictReader(file)] == ["a.png", "b-0.png|b-1.png"]
    other = job_folder.path / "t.jsonl"
    assert (
        run(["report", str(job_folder.out), "--format", "jsonl", "-o", str(other), "--json"]) == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert (document["table"], document["rows"]) == (str(other), 2)
    assert (document["statuses"], document["images"]) == ({"completed": 2}, 3)
    assert (document["credits"], document["without_credits"]) == (1_234_567, 1)


def test_a_directory_without_results_is_a_wrong_configuration(tmp_path: Path, capsys):
    assert run(["report", str(tmp_path)]) == 3
    assert "there are no results" in capsys.readouterr().err
    assert run(["report", str(tmp_path / "none")]) == 3
    assert "none is not a directory" in capsys.readouterr().err
