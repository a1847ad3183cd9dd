"""`foxapi status DIR` and `foxapi watch DIR`, from the run log alone."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from foxapi_async import FoxAPIError
from foxapi_async.bulk import RunLog
from foxapi_async.cli.console import Console
from foxapi_async.cli.job_status import is_job_directory, print_job_status, status_lines
from tests.bulk.test_run_log import KILLED, NOTHING, begin, end, progress
from tests.cli.process import environment, foxapi, running

pytestmark = pytest.mark.ordinary_loop

HALF = attrs.evolve(
    NOTHING, requests=100, completed=40, failed=10, not_submitted=50, in_flight=7, outputs_billed=57
)


def lines(directory) -> str:
    (record,) = RunLog(directory).runs()[-1:]
    return "\n".join(status_lines(record, datetime.now().astimezone()))


def test_a_run_at_work_shows_progress_rate_rest_and_pause(tmp_path):
    run = begin(tmp_path)
    assert "at work since" in lines(tmp_path)
    now = datetime.now(UTC)
    run.report(
        progress(
            summary=HALF,
            images_per_minute=12.0,
            requests_per_minute=10.0,
            paused_since=now - timedelta(days=2),
            saving=3,
        )
    )
    text = lines(tmp_path)
    for words in (
        "progress   50 %, 40 of 100 done, 10 failed",
        "left       50 requests, about 5 min, until ",
        "rate       12 images/min",
        "in flight  7 tasks, 3 tasks being saved",
        "billed     57 images in this run",
        "paused     since 2",
        "job        /lists/jobs.csv",
    ):
        assert words in text
    end(run)


def test_the_last_run_shows_how_it_ended(tmp_path):
    run = begin(tmp_path)
    end(run, rate=3.0)
    text = lines(tmp_path)
    assert "it ended, and not everything is done" in text
    assert "in flight" not in text
    assert "rate       3.0 images/min" in text


def test_a_killed_run_shows_what_was_last_seen(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], env=environment(), check=False)
    assert "it was killed, last seen at" in lines(tmp_path)


def test_json_has_all_runs_at_work(tmp_path, capsys):
    runs = [begin(tmp_path), begin(tmp_path)]
    stopped = attrs.evolve(HALF, stopped=FoxAPIError("402"))
    runs[0].report(progress(summary=stopped, requests_per_minute=10.0))
    assert print_job_status(Console(as_json=True), tmp_path) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["runs"], document["exit_code"]) == (2, 0)
    first, second = document["shown"]
    assert (first["is_alive"], first["seconds_left"]) == (True, 300.0)
    assert (first["progress"]["completed"], first["progress"]["stopped"]) == (40, "402")
    assert (second["is_alive"], second["progress"]) == (True, None)
    for run in runs:
        end(run)


def test_a_directory_is_no_id_if_it_has_results_or_its_name_cannot_be_one(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("task-1").mkdir()
    assert not is_job_directory("task-1")
    assert is_job_directory("./task-1")
    assert is_job_directory(str(tmp_path))
    assert is_job_directory(".")
    assert not is_job_directory("./task-2")
    Path("task-1/results.jsonl").touch()
    assert is_job_directory("task-1")
    print_job_status(Console(), tmp_path)
    assert "no run of" in capsys.readouterr().out


async def test_watching_needs_no_key_and_ends_with_the_run(tmp_path):
    run = begin(tmp_path)
    run.report(progress(summary=HALF))
    async with running("watch", str(tmp_path), env=environment()) as command:
        await command.says("40 of 100 done, 10 failed  ·  7 tasks in flight")
        end(run)
        done = await command.end()
    status = await foxapi("status", str(tmp_path), env=environment())
    assert (done.code, status.code) == (0, 0)
    assert done.out == status.out
    assert "it ended, and not everything is done" in done.out
