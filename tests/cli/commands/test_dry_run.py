"""`foxapi run --dry-run` refuses what the run would refuse, and says how long it takes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.process import environment, foxapi

pytestmark = pytest.mark.ordinary_loop


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.jsonl"
    lines = ({"prompt": f"p{n}", "key": f"p{n}"} for n in range(3))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


async def test_what_was_paid_for_and_is_not_in_the_journal_is_refused(emulated, jobs, tmp_path):
    out = tmp_path / "out"
    arguments = ["run", str(jobs), "-o", str(out)]
    async with emulated() as (_, env):
        assert (await foxapi(*arguments, "--yes", env=env)).code == 0
        (out / "journal.sqlite").rename(tmp_path / "lost.sqlite")
        lost = await foxapi(*arguments, "--dry-run", env=env)
        other = tmp_path / "other.jsonl"
        other.write_text('{"prompt": "p9"}\n')
        await foxapi("run", str(other), "-o", str(tmp_path / "2"), "--yes", env=env)
        (tmp_path / "2" / "journal.sqlite").rename(out / "journal.sqlite")
        for options in (["--dry-run"], ["--yes"]):
            lines = await foxapi(*arguments, *options, env=env)
            assert lines.code == 3
            assert "says that 'p0' (line 1) is completed, but the journal" in lines.err
        (out / "journal.sqlite").unlink()
        (tmp_path / "lost.sqlite").rename(out / "journal.sqlite")
        again = await foxapi(*arguments, "--dry-run", env=env)
        (out / "p1.png").unlink()
        missing = await foxapi(*arguments, "--dry-run", "--json", env=env)
    assert lost.code == 3
    assert "3 requests that were paid for, but the journal" in lost.err
    assert again.code == 0
    assert "it takes about" not in again.err
    assert "it takes about" in missing.err
    assert "at the rate of the last run" in missing.err
    assert missing.document["plan"]["seconds"] > 0


async def test_a_directory_that_cannot_be_used_is_refused(jobs, tmp_path):
    file = tmp_path / "file"
    file.touch()
    for directory in (file, file / "below"):
        done = await foxapi("run", str(jobs), "-o", str(directory), "--dry-run", env=environment())
        assert done.code == 3
        assert f"nothing can be saved in {directory}: Not a directory" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_directory_without_permission_is_refused(jobs, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    for directory, reason in ((closed, "it is"), (closed / "new", f"{closed} is")):
        done = await foxapi("run", str(jobs), "-o", str(directory), "--dry-run", env=environment())
        assert done.code == 3
        assert f"nothing can be saved in {directory}: {reason} not writable" in done.err
