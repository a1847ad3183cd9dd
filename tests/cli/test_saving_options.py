"""How a job saves its files, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from foxapi_async.cli.app import run


def test_a_dry_run_refuses_a_pattern_that_does_not_suit(tmp_path: Path, capsys):
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text(json.dumps({"prompt": "a fox"}))
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--dry-run", "--name"]
    assert run([*arguments, "{prompt}/{line}"]) == 0
    assert run([*arguments, "{colour}"]) == 2
    assert run([*arguments, "../{key}"]) == 2
    said = capsys.readouterr().err
    assert "no line has a field 'colour'" in said
    assert "cannot leave the directory" in said
    assert not (tmp_path / "out").exists()
