"""`foxapi unknown`: what is doubtful, and the two ways on, which work when they are pasted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from foxapi_async.cli import main
from foxapi_async.emulator import Fault, html
from tests.cli.process import environment, foxapi

pytestmark = pytest.mark.ordinary_loop

KEYS = ["a,b", "-dash", "plain", "fine"]


async def test_each_doubtful_line_is_listed_and_both_commands_settle_it(
    emulated, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    lines = [{"key": key, "prompt": f"p {key}"} for key in KEYS]
    (tmp_path / "my jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = ("run", "my jobs.jsonl", "-o", "out", "--no-sheet")
    async with emulated() as (emulator, env):
        lost = html(502, "<b>oh</b>" * 40, carried_out=True)
        emulator.script(
            Fault("submit", lost, when=lambda call: call.prompt != "p fine", times=None)
        )
        first = await foxapi(*run, "--outputs", "1", "--yes", env=env)
        emulator.faults.clear()
        assert first.code == 6
        assert "  foxapi unknown out\n" in first.err

        shown = await foxapi("unknown", "out", env=environment())
        listed = await foxapi("unknown", "out", "--json", env=environment())
        assert (shown.code, listed.code) == (6, 6)
        assert "3 requests, 3 images: perhaps billed" in shown.err
        described = {each["key"]: each for each in listed.document["unknown"]}
        assert {key: each["line"] for key, each in described.items()} == {
            "a,b": 1, "-dash": 2, "plain": 3
        }  # fmt: skip
        assert all(each["response"].count("oh") >= 40 for each in described.values())
        assert "  prompt    p a,b" in shown.lines
        assert "plain, line 3" in shown.lines
        for each in described.values():
            assert f"  if billed {each['if_billed']}" in shown.lines
            assert f"  if not    {each['if_not_billed']}" in shown.lines

        ids = {view.prompt: task_id for task_id, view in emulator.tasks.items()}
        for key in ("a,b", "-dash"):
            command = described[key]["if_billed"].replace("TASK_ID", ids[f"p {key}"])
            assert main(shlex.split(command)[1:]) == 0
        again = shlex.split(described["plain"]["if_not_billed"])[1:]
        assert "--outputs" in again
        posts = emulator.counters.posts
        done = await foxapi(*again, "--yes", "--json", env=env)
        assert emulator.counters.posts == posts + 1
        assert (done.code, done.document["requests"], done.document["completed"]) == (0, 1, 1)
        home = await foxapi(*run, "--yes", "--json", env=env)
        assert (home.code, home.document["completed"]) == (0, 4)
        assert emulator.counters.posts == posts + 1
    none = await foxapi("unknown", "--journal", "out/journal.sqlite", env=environment())
    assert (none.code, none.out) == (0, "")


def test_what_is_wrong_is_said(tmp_path, capsys):
    for options, code, words in [
        ([], 2, "which journal?"),
        ([str(tmp_path)], 3, "there is no journal"),
        (["--journal", str(tmp_path / "x")], 3, "there is no journal"),
    ]:
        assert main(["unknown", *options]) == code
        assert words in capsys.readouterr().err
