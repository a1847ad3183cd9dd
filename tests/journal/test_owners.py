"""Owners are alive exactly while they hold their lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foxapi_async.journal.sqlite.owners import Owner, is_alive, sweep


def files(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def test_an_owner_is_alive_until_it_is_released(path: Path):
    owner = Owner(path)
    assert is_alive(path, owner.id)
    sweep(path)
    assert is_alive(path, owner.id)
    assert files(path) == [f"jobs.db.{owner.id}.owner"]
    owner.release()
    owner.release()
    assert not is_alive(path, owner.id)
    assert files(path) == []


def test_no_owner_and_unknown_owners_are_dead(path: Path):
    assert not is_alive(path, None)
    assert not is_alive(path, "nobody")


def test_sweep_removes_unlocked_owner_files_and_no_others(path: Path):
    path.with_name("jobs.db.dead.owner").touch()
    path.with_name("jobs.dbx.dead.owner").touch()
    path.with_name("jobs.db.owner.txt").touch()
    sweep(path)
    assert files(path) == ["jobs.db.owner.txt", "jobs.dbx.dead.owner"]


def test_names_with_wildcards_are_taken_literally(tmp_path: Path):
    strange = tmp_path / "jobs[1]*?.db"
    (tmp_path / "jobs[1]*?.db.dead.owner").touch()
    (tmp_path / "jobs1xx.db.dead.owner").touch()
    sweep(strange)
    assert files(strange) == ["jobs1xx.db.dead.owner"]


def test_two_owners_of_one_process_know_each_other(path: Path):
    one, two = Owner(path), Owner(path)
    assert is_alive(path, one.id)
    assert is_alive(path, two.id)
    one.release()
    assert not is_alive(path, one.id)
    assert is_alive(path, two.id)
    two.release()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_other_processes_see_an_owner_as_alive_until_it_is_released(path: Path):
    script = """
import sys
from pathlib import Path
from foxapi_async.journal.sqlite.owners import is_alive, sweep
path = Path(sys.argv[1])
sweep(path)
sys.stdout.write(str(is_alive(path, sys.argv[2])))
"""

    def seen(owner: Owner) -> str:
        return subprocess.run(
            [sys.executable, "-c", script, path, owner.id],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
            timeout=30,
        ).stdout

    owner = Owner(path)
    assert seen(owner) == "True"
    owner.release()
    assert seen(owner) == "False"


def test_an_owner_file_that_cannot_be_opened_counts_as_alive(path: Path, monkeypatch):
    def refused(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refused)
    assert is_alive(path, "somebody")
