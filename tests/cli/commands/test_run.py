"""`foxapi run`: the estimate, the agreement, the run, and the next step."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from foxapi_async.cli.profile_record import record_profile
from foxapi_async.emulator import Delay, Drop, Fate, Fault, Hang, error
from tests.cli.commands.test_profile import a_profile
from tests.cli.process import environment, foxapi, running, until

pytestmark = pytest.mark.ordinary_loop


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    return write(tmp_path / "jobs.jsonl", *({"prompt": f"p{n}", "key": f"p{n}"} for n in range(8)))


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


async def test_a_job_is_estimated_run_and_summarised(emulated, jobs, tmp_path):
    out = tmp_path / "out"
    async with emulated() as (emulator, env):
        done = await foxapi("run", str(jobs), "-o", str(out), "--yes", "--json", env=env)
        again = await foxapi("run", str(jobs), "-o", str(out), env=env)
    assert done.code == 0
    assert "to be billed: 8 images" in done.err
    document = done.document
    assert (document["completed"], document["pictures"], document["exit_code"]) == (8, 8, 0)
    assert document["billed"] == {"outputs": 8, "outputs_unknown": 0}
    assert document["plan"]["submit"] == 8
    assert again.code == 0
    assert again.lines == [
        str(out / name) for name in ("results.jsonl", "results.csv", "index.html")
    ]
    assert "to be billed: 0 images" in again.err
    assert emulator.counters.images_billed == 8
    assert len(list(out.glob("*.png"))) == 8


async def test_a_dry_run_needs_no_key_and_writes_nothing(jobs, tmp_path):
    out = tmp_path / "out"
    env = environment()
    done = await foxapi("run", str(jobs), "-o", str(out), "--dry-run", "--json", env=env)
    assert done.code == 0
    assert done.document["plan"]["outputs_to_bill"] == 8
    assert not out.exists()


async def test_without_a_terminal_and_without_yes_nothing_is_spent(emulated, jobs, tmp_path):
    async with emulated() as (emulator, env):
        done = await foxapi("run", str(jobs), "-o", str(tmp_path / "out"), env=env, stdin=b"y\n")
    assert done.code == 2
    assert "--yes" in done.err
    assert emulator.counters.posts == 0


async def test_an_unusable_directory_is_a_configuration_error(emulated, jobs):
    async with emulated() as (emulator, env):
        done = await foxapi("run", str(jobs), "-o", "/dev/null/out", "--yes", "--json", env=env)
    assert done.code == done.document["exit_code"] == 3
    assert "nothing can be saved in /dev/null/out" in done.err
    assert emulator.counters.posts == 0


async def test_all_problems_of_the_file_are_reported_before_anything_is_sent(emulated, tmp_path):
    jobs = write(tmp_path / "bad.jsonl", {"prompt": ""}, {"prompt": "a"}, {"promt": "b"})
    async with emulated() as (emulator, env):
        done = await foxapi("run", str(jobs), "-o", str(tmp_path), "--yes", "--json", env=env)
    assert done.code == done.document["exit_code"] == 2
    assert done.document["error"] == "JobFileError"
    for words in ("line 1, prompt", "line 3, promt: did you mean 'prompt'?"):
        assert words in done.err
    assert emulator.counters.posts == 0


async def test_keys_of_other_requests_are_reported_before_anything_is_sent(
    emulated, jobs, tmp_path
):
    out = str(tmp_path / "out")
    async with emulated() as (emulator, env):
        await foxapi("run", str(jobs), "-o", out, "--yes", env=env)
        write(jobs, {"prompt": "new", "key": "new"}, {"prompt": "other", "key": "p3"})
        done = await foxapi("run", str(jobs), "-o", out, "--yes", env=env)
    assert done.code == 2
    assert "line 2, key" in done.err
    assert emulator.counters.tasks == 8


async def test_max_images_is_a_hard_limit_and_the_next_run_continues(emulated, jobs, tmp_path):
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes", "--max-images", "5"]
    async with emulated() as (emulator, env):
        first = await foxapi(*arguments, env=env)
        assert emulator.counters.images_billed == 5
        second = await foxapi(*arguments, env=env)
    assert (first.code, second.code) == (4, 0)
    assert "to be billed: 5 images, at most 5" in first.err
    assert first.err.splitlines()[-1].endswith(f"{jobs} -o {tmp_path / 'out'} --max-images 5")
    assert emulator.counters.images_billed == 8


async def test_only_selected_lines_are_run_and_the_others_stay_as_they_are(
    emulated, jobs, tmp_path
):
    keys = tmp_path / "keys.txt"
    keys.write_text("p6\np7\n")
    run = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes"]
    async with emulated() as (emulator, env):
        some = await foxapi(*run, "--lines", "2-3", "--keys", f"@{keys}", "--json", env=env)
        assert {view.prompt for view in emulator.tasks.values()} == {"p1", "p2", "p6", "p7"}
        wrong = await foxapi(*run, "--lines", "3-4,9", "--keys", "p1,q", env=env)
        assert emulator.counters.tasks == 4
        retried = await foxapi(*run, "--retry-failed", "--lines", "2-3", env=env)
        rest = await foxapi(*run, "--json", env=env)
    assert (some.code, some.document["requests"]) == (0, 4)
    assert some.document["plan"]["outputs_to_bill"] == 4
    assert "selected" in some.err
    assert wrong.code == 2
    assert "no request begins at line 9; no line has the key 'q'; nothing was sent" in wrong.err
    assert "2 of the 2 selected lines are not failed, so there is nothing to retry" in retried.err
    assert (rest.document["completed"], emulator.counters.tasks) == (8, 8)


async def test_a_402_is_reported_and_tasks_in_flight_are_saved(emulated, jobs, tmp_path):
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes", "--outputs", "2"]
    async with emulated(credits=90_000) as (_, env):
        done = await foxapi(*arguments, env=env)
    assert done.code == 4
    assert "402" in done.err
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


async def test_a_refused_field_is_wrong_usage(emulated, tmp_path):
    jobs = write(tmp_path / "jobs.jsonl", {"prompt": "a"}, {"prompt": "b"})
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes"]
    async with emulated() as (emulator, env):
        emulator.script(Fault("submit", error(422), times=None))
        done = await foxapi(*arguments, env=env)
    assert "2 rejected" in done.err
    assert done.code == 2


async def test_a_stop_is_reported_while_tasks_are_in_flight(emulated, jobs, tmp_path):
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes", "--grace", "0"]
    async with (
        emulated(credits=90_000, duration=60.0) as (_, env),
        running(*arguments, env=env) as command,
    ):
        await command.says("submitting has stopped: POST")
        await command.says("waiting for 3 tasks in flight")
        assert command.process.poll() is None
        command.interrupt()
        await command.end()


async def test_an_outage_is_reported_while_tasks_are_in_flight(emulated, tmp_path):
    jobs = write(tmp_path / "jobs.jsonl", *({"prompt": f"p{n}"} for n in range(40)))
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes", "--grace", "0"]
    async with emulated(duration=60.0) as (emulator, env):
        cut_off = Fault("submit", Drop(), when=lambda call: call.prompt != "p0", times=None)
        emulator.script(cut_off)
        async with running(*arguments, env=env) as command:
            await command.says("submissions are paused since")
            assert command.process.poll() is None
            command.interrupt()
            await command.end()


async def test_failures_that_are_not_in_the_results_file_are_only_counted(emulated, tmp_path):
    jobs = write(tmp_path / "jobs.jsonl", *({"prompt": f"p{n}"} for n in range(22)))
    results = tmp_path / "out" / "results.jsonl"
    arguments = ["run", str(jobs), "-o", str(results.parent), "--yes"]
    async with emulated(duration=3.0, fail_rate=1.0) as (_, env):
        first = await foxapi(*arguments, "--timeout", "0.1", env=env)
        assert results.read_text() == ""
        second = await foxapi(*arguments, env=env)
    assert (first.code, second.code) == (7, 1)
    assert "are unfinished: they are only counted, and the next run continues them" in first.err
    assert str(results) not in first.err
    assert f"more failures are in {results}" in second.err


async def test_damaged_lines_of_the_results_are_skipped_and_reported(emulated, jobs, tmp_path):
    results = tmp_path / "out" / "results.jsonl"
    arguments = ["run", str(jobs), "-o", str(results.parent), "--yes"]
    async with emulated() as (emulator, env):
        await foxapi(*arguments, env=env)
        damage = ['{"key": "p1", "status": ["completed"]}', "]"]
        results.write_text("\n".join([*damage, results.read_text()]))
        done = await foxapi(*arguments, env=env)
        assert emulator.counters.tasks == 8
    assert done.code == 0
    assert f"2 lines of {results} cannot be read and are skipped" in done.err


async def test_failures_are_reported_with_their_line_and_the_next_step(emulated, jobs, tmp_path):
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes"]
    async with emulated() as (emulator, env):
        emulator.script(
            Fault("submit", Fate(ends_as="failed"), when=lambda call: call.prompt == "p2"),
            Fault("submit", Drop(carried_out=True), when=lambda call: call.prompt == "p4"),
        )
        first = await foxapi(*arguments, env=env)
        emulator.faults.clear()
        second = await foxapi(*arguments, "--retry-unknown", env=env)
        third = await foxapi(*arguments, "--retry-failed", env=env)
    assert (first.code, second.code, third.code) == (6, 1, 0)
    assert "line 3: failed" in first.err
    assert "line 5: unknown" in first.err
    assert first.err.splitlines()[-1].endswith(" --retry-unknown")
    assert "--retry-failed" in second.err.splitlines()[-1]
    assert emulator.counters.tasks == 10


async def test_a_line_above_the_limit_is_a_problem_of_the_file(emulated, tmp_path):
    jobs = write(tmp_path / "jobs.jsonl", {"prompt": "a"}, {"prompt": "b", "num_outputs": 40})
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes"]
    async with emulated() as (emulator, env):
        by_default = await foxapi(*arguments, env=env)
        raised = await foxapi(*arguments, "--outputs", "39", env=env)
        assert emulator.counters.posts == 0
        enough = await foxapi(*arguments, "--outputs", "40", env=env)
    assert (by_default.code, raised.code, enough.code) == (2, 2, 0)
    assert (
        "line 2, num_outputs: num_outputs is 40, and 32 images may be in flight" in by_default.err
    )
    assert "and 39 images may be in flight; split it into several lines" in raised.err
    assert "--outputs" in raised.err
    assert emulator.counters.images_billed == 41


@pytest.fixture
def hangups_not_ignored() -> Iterator[None]:
    """Let commands receive SIGHUP even if the tests were started with ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups_not_ignored")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_after_one_signal_the_tasks_in_flight_are_saved(
    emulated, jobs, tmp_path, number, code
):
    out = tmp_path / "out"
    arguments = ["run", str(jobs), "-o", str(out), "--yes", "--outputs", "2", "--json"]
    async with emulated(duration=1.0) as (emulator, env):
        async with running(*arguments, env=env) as command:
            await until(lambda: emulator.counters.tasks == 2)
            command.interrupt(number)
            done = await command.end()
        assert done.code == code
        assert emulator.counters.tasks <= 3
        assert done.document["completed"] == emulator.counters.tasks
        assert done.document["interrupted"] is True
        assert f"foxapi run {jobs} -o {out}" in done.err
        assert (await foxapi(*arguments, env=env)).code == 0
    assert emulator.counters.tasks == 8


@pytest.mark.usefixtures("hangups_not_ignored")
async def test_two_hangups_of_one_terminal_count_once(emulated, jobs, tmp_path):
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes", "--outputs", "2"]
    async with emulated(duration=1.0) as (emulator, env):
        async with running(*arguments, env=env) as command:
            await until(lambda: emulator.counters.tasks == 2)
            command.interrupt(signal.SIGHUP)
            await command.says("Interrupt again to exit at once")
            command.interrupt(signal.SIGHUP)
            done = await command.end()
        assert done.code == 129
        assert f"{emulator.counters.tasks} of 8 done" in done.err


async def test_with_nohup_the_work_continues(emulated, jobs, tmp_path):
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes", "--outputs", "2"]
    async with emulated() as (emulator, env):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            async with running(*arguments, env=env) as command:
                await until(lambda: emulator.counters.tasks == 2)
                command.interrupt(signal.SIGHUP)
                done = await command.end()
        finally:
            signal.signal(signal.SIGHUP, before)
    assert (done.code, emulator.counters.tasks) == (0, 8)


async def test_the_end_of_the_grace_and_a_second_signal_exit_at_once(emulated, jobs, tmp_path):
    out = tmp_path / "out"
    arguments = ["run", str(jobs), "-o", str(out), "--yes", "--outputs", "2"]
    async with emulated(duration=60.0) as (emulator, env):
        async with running(*arguments, "--grace", "0.1", env=env) as command:
            await until(lambda: emulator.counters.tasks == 2)
            command.interrupt()
            done = await command.end()
        assert (done.code, "2 unfinished" in done.err) == (130, True)
        async with running(*arguments, env=env) as command:
            await command.says("2 requests, 2 images  (already billed; continued)")
            await until(lambda: emulator.counters.polls >= 3)
            command.interrupt()
            await command.says("Interrupt again to exit at once")
            command.interrupt()
            done = await command.end()
    assert done.code == 130
    assert "what is billed is not billed again" in done.err
    assert emulator.counters.tasks == 2


@pytest.mark.parametrize(
    ("fault", "signals", "unknown"),
    [(Delay(0.5, carried_out=True), 1, 0), (Hang(carried_out=True), 2, 1)],
)
async def test_a_signal_during_a_submission_finishes_it_and_a_second_one_cuts_it_off(
    emulated, jobs, *, tmp_path, fault, signals, unknown
):
    arguments = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes", "--outputs", "1"]
    async with emulated(duration=0.1) as (emulator, env):
        emulator.script(Fault("submit", fault))
        async with running(*arguments, env=env) as command:
            await until(lambda: emulator.counters.tasks == 1)
            command.interrupt()
            if signals > 1:
                await command.says("Interrupt again to exit at once")
                command.interrupt()
            done = await command.end()
        assert done.code == 130
        plan = await foxapi(*arguments, "--dry-run", "--json", env=env)
    assert plan.document["plan"]["unknown"] == unknown
    assert plan.document["plan"]["done"] == 1 - unknown


async def test_a_profile_that_was_never_used_is_doubted_before_the_question(emulated, tmp_path):
    lines = [{"prompt": f"[[abc]] number {n}"} for n in range(4)]
    path = write(tmp_path / "jobs.jsonl", {"prompt": "[[mine]]"}, *lines)
    state = tmp_path / "state" / "foxapi"
    state.mkdir(parents=True)
    record_profile(state, attrs.evolve(a_profile(1), profile_id="mine"))
    words = "line 2 and 3 others use the profile 'abc', which was neither created on this machine"
    async with emulated() as (emulator, env):
        env["XDG_STATE_HOME"] = str(tmp_path / "state")
        refused = await foxapi("run", str(path), "-o", str(tmp_path / "out"), env=env)
        posts = emulator.counters.posts
        done = await foxapi("run", str(path), "-o", str(tmp_path / "out"), "--yes", env=env)
    assert (refused.code, posts, done.code) == (2, 0, 0)
    assert words in refused.err
    assert words in done.err
    assert "'mine'" not in done.err
