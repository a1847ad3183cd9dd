"""`foxapi run --dry-run` refuses what the run would refuse, and says how long it takes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from foxapi_async.cli import main
from tests.bulk.test_run_log import begin, end


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("FOXAPI_API_KEY", "FOXAPI_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"prompt": "a fox", "key": "k", "num_outputs": 4}\n')
    return path


def dry_run(jobs: Path, directory: Path, *options: str) -> int:
    return main(["run", str(jobs), "-o", str(directory), "--dry-run", *options])


def test_what_was_paid_for_and_is_not_in_the_journal_is_refused(jobs, tmp_path, capsys):
    (tmp_path / "results.jsonl").write_text('{"key": "k", "line": 1, "status": "completed"}\n')
    assert dry_run(jobs, tmp_path) == 3
    assert "1 request that was paid for, but the journal" in capsys.readouterr().err


def test_the_time_is_estimated_by_the_last_run_with_a_rate(jobs, tmp_path, capsys):
    assert dry_run(jobs, tmp_path) == 0
    assert "it takes about" not in capsys.readouterr().err
    end(begin(tmp_path), rate=2.0)
    end(begin(tmp_path))
    assert dry_run(jobs, tmp_path, "--json") == 0
    said = capsys.readouterr()
    assert "it takes about 2 min at the rate of the last run, 2.0 images/min" in said.err
    assert json.loads(said.out)["plan"]["seconds"] == 120.0


def test_a_directory_that_cannot_be_used_is_refused(jobs, tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()
    for directory in (file, file / "below"):
        assert dry_run(jobs, directory) == 3
        assert f"nothing can be saved in {directory}: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--webhook", "nothing"], "--webhook must be a URL"),
        (["--proxy", "no proxy"], "proxy is not the URL of a proxy"),
        (["--base-url", "http://files.example"], "base_url: it is not HTTPS"),
        (["--key-file", "none"], "the key file none cannot be read"),
    ],
)
def test_what_a_session_or_webhook_would_refuse_is_refused(jobs, tmp_path, capsys, options, words):
    assert dry_run(jobs, tmp_path / "out", *options) in {2, 3}
    assert words in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_refused(jobs, tmp_path, capsys):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    for directory, reason in ((closed, "it is"), (closed / "new", f"{closed} is")):
        assert dry_run(jobs, directory) == 3
        said = capsys.readouterr().err
        assert f"nothing can be saved in {directory}: {reason} not writable" in said
