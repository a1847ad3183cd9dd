"""`foxapi resolve`: no key, no network; the next run brings the task home."""

from __future__ import annotations

import json

import pytest

from foxapi_async.cli import main
from foxapi_async.emulator import Fault, html
from tests.cli.process import environment, foxapi

pytestmark = pytest.mark.ordinary_loop


async def test_the_next_run_brings_home_what_was_resolved(emulated, tmp_path):
    jobs, out = tmp_path / "jobs.jsonl", tmp_path / "out"
    jobs.write_text('{"key": "fox", "prompt": "a fox"}\n')
    run = ("run", str(jobs), "-o", str(out), "--yes", "--json")
    async with emulated() as (emulator, env):
        emulator.script(Fault("submit", html(502, carried_out=True)))
        lost = await foxapi(*run, env=env)
        assert lost.code == 6
        [line] = map(json.loads, (out / "results.jsonl").read_text().splitlines())
        assert line["status"] == "unknown"
        assert "<html" in line["error"]["response"]
        assert len(line["error"]["message"]) < 1000
        assert "foxapi resolve KEY TASK_ID" in lost.err
        [task_id] = emulator.tasks

        done = await foxapi("resolve", "fox", task_id, "-o", str(out), "--json", env=environment())
        assert done.code == 0
        assert done.document == {
            "key": "fox",
            "task_id": task_id,
            "status": "accepted",
            "exit_code": 0,
            "model": "phota-image",
            "num_outputs": 1,
        }
        home = await foxapi(*run, env=env)
        assert home.code == 0
        assert (emulator.counters.posts, len(list(out.glob("*.png")))) == (1, 1)


def test_what_is_wrong_is_said(tmp_path, capsys):
    journal = tmp_path / "journal.sqlite"
    for options, code, words in [
        (["k", "task-1"], 2, "which journal?"),
        (["k", "task-1", "-o", str(tmp_path)], 3, "there is no journal"),
        (["k", "task-1", "--journal", str(tmp_path)], 3, "there is no journal"),
        (["k"], 2, "TASK_ID"),
    ]:
        assert main(["resolve", *options]) == code
        assert words in capsys.readouterr().err
    assert not journal.exists()
    journal.touch()
    assert main(["resolve", "k", "task-1", "--journal", str(journal)]) == 2
    assert "no entry of the key" in capsys.readouterr().err
    assert main(["resolve", "k", "a/b", "-o", str(tmp_path), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"] == "InvalidRequestError"
