"""`runs.jsonl`: which runs a folder had, which are at work, and how far they are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import ConfigurationError, FoxAPIError
from foxapi_async.bulk import RunLog, RunProgress, Summary
from foxapi_async.bulk.record.run_log import LiveRun, RunEnd
from foxapi_async.bulk.record.run_progress import summary_from_json
from tests.cli.process import environment

NOTHING = summary_from_json({}, Path("results.jsonl"))


def begin(
    folder: Path, job: Path = Path("/lists/jobs.csv"), journal: Path | None = None
) -> LiveRun:
    return RunLog(folder).begin(
        job=job, read={"format": "csv"}, journal=journal, options={"outputs": 32}
    )


def end(run: LiveRun, rate: float | None = None) -> None:
    summary = attrs.evolve(NOTHING, requests=3, completed=2, outputs_billed=4)
    run.end(RunEnd(reason="incomplete", summary=summary, credits=1.5, images_per_minute=rate))


def progress(**changes: object) -> RunProgress:
    return attrs.evolve(
        RunProgress(at=datetime.now(UTC), seconds=1.0, stage="running", summary=NOTHING), **changes
    )


def test_a_run_is_alive_until_its_end_is_recorded(tmp_path):
    log = RunLog(tmp_path)
    assert (log.runs(), log.last(), log.last_rate()) == ([], None, None)
    run = begin(tmp_path)
    (record,) = log.live()
    assert (record.id, record.read, record.options) == (
        run.id,
        {"format": "csv"},
        {"outputs": 32},
    )
    assert (record.job, record.journal, record.progress) == (Path("/lists/jobs.csv"), None, None)
    run.report(progress(summary=attrs.evolve(NOTHING, requests=3, completed=1)))
    (record,) = log.live()
    assert record.progress is not None
    assert record.progress.summary.completed == 1
    end(run, rate=12.5)
    (record,) = log.runs()
    assert log.live() == []
    assert (record.reason, record.credits, log.last_rate()) == ("incomplete", 1.5, 12.5)
    assert record.summary is not None
    assert record.summary.outputs_billed == 4
    assert record.ended is not None
    assert record.ended >= record.began
    assert [path.name for path in tmp_path.iterdir()] == ["runs.jsonl"]


KILLED = """
import os, pathlib, sys
from tests.bulk.test_run_log import NOTHING, begin, progress
run = begin(pathlib.Path(sys.argv[1]))
run.report(progress(summary=NOTHING, images_per_minute=7.0))
os.kill(os.getpid(), 9)
"""


def test_a_killed_run_is_known_to_be_dead_and_gets_its_end_from_the_next(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], env=environment(), check=False)
    (record,) = RunLog(tmp_path).runs()
    assert (record.is_alive, record.reason, record.ended) == (False, None, None)
    assert record.progress is not None
    assert RunLog(tmp_path).last_rate() == 7.0
    run = begin(tmp_path)
    killed, live = RunLog(tmp_path).runs()
    assert (killed.reason, killed.is_alive, killed.images_per_minute) == ("killed", False, 7.0)
    assert (live.id, live.is_alive) == (run.id, True)
    end(run)
    assert [path.name for path in tmp_path.iterdir()] == ["runs.jsonl"]


def test_runs_at_work_on_one_folder_see_each_other(tmp_path):
    first = begin(tmp_path)
    second = begin(tmp_path)
    assert [other.id for other in second.others] == [first.id]
    assert first.others == ()
    first.report(progress())
    first.report(progress())
    assert [other.id for other in first.others] == [second.id]
    end(first)
    end(second)
    assert begin(tmp_path).others == ()


def test_lines_that_were_cut_or_damaged_are_skipped(tmp_path):
    end(begin(tmp_path))
    path = tmp_path / "runs.jsonl"
    damage = '[1]\n{"event": "begin", "run": "x"}\n{"event": "end", "run": 3}\n{"event": "beg'
    path.write_text(path.read_text() + damage)
    end(begin(tmp_path))
    assert [record.reason for record in RunLog(tmp_path).runs()] == ["incomplete"] * 2
    assert json.loads(path.read_text().splitlines()[-1])["reason"] == "incomplete"


def test_what_is_in_the_folder_is_found_after_the_folder_was_moved(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    end(begin(folder, folder / "stdin.jsonl", folder / "own.sqlite"))
    end(begin(folder, journal=tmp_path / "elsewhere.sqlite"))
    shutil.move(folder, tmp_path / "moved")
    places = [(each.job, each.journal) for each in RunLog(tmp_path / "moved").runs()]
    assert places == [
        (tmp_path / "moved" / "stdin.jsonl", tmp_path / "moved" / "own.sqlite"),
        (Path("/lists/jobs.csv"), tmp_path / "elsewhere.sqlite"),
    ]


def test_a_folder_without_room_for_the_file_is_refused(tmp_path):
    (tmp_path / "runs.jsonl").mkdir()
    with pytest.raises(ConfigurationError, match=r"runs\.jsonl cannot be read"):
        begin(tmp_path)
    with pytest.raises(ConfigurationError, match=r"runs\.jsonl cannot be written"):
        begin(tmp_path / "missing")


numbers = st.integers(0, 10**12)
rates = st.none() | st.floats(0, 1e9)
moments = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 1, 1))  # noqa: DTZ001


@given(
    counts=st.tuples(numbers, numbers),
    rate=rates,
    paused=st.none() | moments,
    interrupted=st.booleans(),
    stopped=st.none() | st.text(),
)
def test_a_progress_is_read_as_it_was_written(*, counts, rate, paused, interrupted, stopped):
    requests, done = counts
    summary = attrs.evolve(NOTHING, requests=requests, completed=done, interrupted=interrupted)
    if stopped is not None:
        summary = attrs.evolve(summary, stopped=FoxAPIError(stopped))
    since = None if paused is None else paused.replace(microsecond=0, tzinfo=UTC)
    at = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=5)
    before = progress(at=at, summary=summary, images_per_minute=rate, paused_since=since)
    after = RunProgress.from_json(json.loads(json.dumps(before.to_json())), summary.results)
    assert attrs.evolve(after, summary=NOTHING) == attrs.evolve(before, summary=NOTHING)
    assert str(after.summary.stopped) == str(summary.stopped)
    plain: Summary = attrs.evolve(after.summary, stopped=summary.stopped)
    assert plain == summary
