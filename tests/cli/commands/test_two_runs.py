"""Two `foxapi run` on one folder at the same time."""

from __future__ import annotations

import json

import pytest

from foxapi_async.bulk import RunLog
from foxapi_async.emulator import Fault, error
from tests.cli.process import running

pytestmark = pytest.mark.ordinary_loop


async def test_runs_on_one_folder_say_so_and_fetch_no_file_twice(emulated, tmp_path):
    jobs, out = tmp_path / "jobs.jsonl", tmp_path / "out"
    jobs.write_text("".join(json.dumps({"prompt": f"p{n}"}) + "\n" for n in range(12)))
    arguments = ["run", str(jobs), "-o", str(out), "--yes"]
    async with (
        emulated() as (emulator, env),
        running(*arguments, env=env) as first,
        running(*arguments, env=env) as second,
    ):
        # None of the two may end before each has seen the other.
        emulator.script(Fault("poll", error(503), times=None))
        await first.says(f"another run is at work on {out}")
        await second.says(f"another run is at work on {out}")
        emulator.faults.clear()
        ends = [await first.end(), await second.end()]
        assert [end.code for end in ends] == [0, 0]
        assert (emulator.counters.tasks, emulator.counters.downloads) == (12, 12)
    assert len(list(out.glob("*.png"))) == 12
    assert [run.reason for run in RunLog(out).runs()] == ["done", "done"]
    assert not list(out.glob("runs.jsonl.*.*"))
