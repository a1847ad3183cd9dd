"""Runs that nobody watches: time limits, SIGTERM, nohup, and what is told at the end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foxapi_async.bulk import RunLog
from tests.cli.process import foxapi, running, until

pytestmark = pytest.mark.ordinary_loop

DATED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .*")


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{n}"}) + "\n" for n in range(6)))
    return path


def in_flight(directory: Path) -> int:
    return sum(run.summary.in_flight for run in RunLog(directory).live() if run.summary is not None)


async def test_the_time_limit_ends_a_run_that_the_next_one_completes(emulated, jobs, tmp_path):
    out, told, log = tmp_path / "out", tmp_path / "told.json", tmp_path / "night.log"
    arguments = ["run", str(jobs), "-o", str(out), "--yes", "--json", "--outputs", "1"]
    notices = ["--on-end", f"cat > {told}; exit 1", "--log-file", str(log)]
    async with emulated(duration=0.6) as (emulator, env):
        first = await foxapi(*arguments, "--max-time", "1.2s", *notices, env=env)
        billed = emulator.counters.images_billed
        summary = json.loads(told.read_text())
        second = await foxapi(*arguments, env=env)
        assert emulator.counters.images_billed == 6
    assert (first.code, second.code) == (10, 0)
    assert first.document == {name: summary[name] for name in first.document}
    assert (summary["exit_code"], summary["timed_out"], summary["completed"]) == (10, True, billed)
    assert "the time of the run is over (1.2 s)" in first.err
    assert "--on-end ended with exit code 1" in first.err
    assert all(DATED.fullmatch(line) for line in first.err.splitlines())
    logged = log.read_text()
    assert "the time of the run is over (1.2 s)" in logged
    assert "INFO    foxapi_async  task" in logged
    assert [run.reason for run in RunLog(out).runs()] == ["max_time", "done"]


async def test_after_sigterm_it_is_said_what_is_left(emulated, jobs, tmp_path):
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes"]
    async with emulated(duration=60.0) as (emulator, env):
        async with running(*arguments, env=env) as command:
            await until(lambda: in_flight(tmp_path / "out") == 6)
            command.interrupt(signal.SIGTERM)
            await command.says("and 6 tasks in flight, at most 6 s. Interrupt again")
            command.interrupt(signal.SIGTERM)
            await command.end()
        async with running(*arguments, "--grace", "0.1s", env=env) as command:
            await command.says("6 requests, 6 images  (already billed; continued)")
            await until(lambda: in_flight(tmp_path / "out") == 6)
            command.interrupt(signal.SIGTERM)
            done = await command.end()
        assert emulator.counters.tasks == 6
    assert done.code == 143
    assert "at most 0.1 s" in done.err
    assert f"left in flight: 6 tasks, billed; the ids are in {tmp_path}/out/journal" in done.err
    assert "to go on, run it again" in done.err


async def test_nohup_keeps_a_run_going_and_its_log_has_times(emulated, jobs, tmp_path):
    log = tmp_path / "nohup.log"
    command = ["nohup", sys.executable, "-m", "foxapi_async.cli", "run", str(jobs), "--yes"]
    async with emulated(duration=1.0) as (emulator, env):
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: ASYNC220 - it takes no time
                [*command, "-o", str(tmp_path / "out")],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        await until(lambda: emulator.counters.tasks > 0 or process.poll() is not None)
        process.send_signal(signal.SIGHUP)
        await until(lambda: process.poll() is not None)
    assert process.returncode == 0
    lines = log.read_text().splitlines()
    messages = [line for line in lines if not line.startswith(("nohup:", f"{tmp_path}/out/"))]
    assert f"{tmp_path}/out/results.jsonl" in lines
    assert messages
    assert all(DATED.fullmatch(line) for line in messages)


async def test_failures_of_earlier_runs_are_summed_up_and_errors_are_told(jobs, emulated, tmp_path):
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes"]
    told = tmp_path / "told.json"
    async with emulated(fail_rate=1.0) as (_, env):
        first = await foxapi(*arguments, env=env)
        second = await foxapi(*arguments, env=env)
        wrong = await foxapi(
            *arguments, "--key-file", "/none", "--on-end", f"cat > {told}", env=env
        )
    assert first.err.count(": failed: task") == 6
    assert ": failed: task" not in second.err
    assert "6 lines failed in earlier runs: " in second.err
    assert "--retry-failed submits them again" in second.err
    assert (first.code, second.code, wrong.code) == (1, 1, 3)
    assert json.loads(told.read_text())["exit_code"] == 3
    assert "exit code 3 (configuration" in json.loads(told.read_text())["text"]
