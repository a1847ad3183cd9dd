"""Ctrl-C and SIGTERM, as real signals to a real process."""

from __future__ import annotations

import json
import math
import signal

import pytest
from PIL import Image

from foxapi_async.emulator import Delay, Deliver, Fault, Hang
from tests.cli.process import environment, foxapi, running, until

pytestmark = pytest.mark.ordinary_loop


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_the_tasks_in_flight_are_printed_with_the_command_that_continues_them(
    emulated, tmp_path, number, code
):
    folder = tmp_path / "my pictures"
    arguments = ["generate", "a fox", "-n", "2", "--split", "-o", str(folder), "--json"]
    async with (
        emulated(duration=30.0) as (emulator, env),
        running(*arguments, env=env) as command,
    ):
        await until(lambda: emulator.counters.tasks == 2)
        for task_id in emulator.tasks:
            await command.says(task_id)
        command.interrupt(number)
        done = await command.end()
    assert done.code == code
    assert sorted(done.document["open"]) == sorted(emulator.tasks)
    assert {task["status"] for task in done.document["tasks"]} == {"unfinished"}
    (advice,) = [line for line in done.err.splitlines() if "foxapi wait" in line]
    assert all(task_id in advice for task_id in emulator.tasks)
    assert advice.endswith(f"-o '{folder}'")
    assert list(folder.iterdir()) == []


async def test_the_printed_command_continues_the_task(emulated, tmp_path):
    async with emulated(duration=1.5) as (emulator, env):
        async with running("generate", "a fox", "-o", str(tmp_path), env=env) as command:
            await command.says("submitted")
            command.interrupt()
            await command.end()
        (task_id,) = emulator.tasks
        done = await foxapi("wait", task_id, "-o", str(tmp_path), env=env)
    assert done.code == 0
    assert len(done.lines) == len(list(tmp_path.iterdir())) == 1
    assert emulator.counters.images_billed == 1


async def test_a_submission_under_way_is_finished_and_its_task_is_printed(emulated, tmp_path):
    async with emulated(duration=30.0) as (emulator, env):
        emulator.script(Fault("submit", Delay(0.5, carried_out=True)))
        async with running("generate", "a fox", "-o", str(tmp_path), env=env) as command:
            await until(lambda: emulator.counters.tasks == 1)
            command.interrupt()
            done = await command.end()
    assert done.code == 130
    assert "finishing 1 submission under way" in done.err
    (task_id,) = emulator.tasks
    assert f"foxapi wait {task_id}" in done.err


async def test_a_second_signal_exits_at_once_and_says_what_may_have_been_billed(emulated, tmp_path):
    async with emulated() as (emulator, env):
        emulator.script(Fault("submit", Hang(carried_out=True)))
        async with running("generate", "a fox", "-n", "2", "-o", str(tmp_path), env=env) as command:
            await until(lambda: emulator.counters.tasks == 1)
            command.interrupt()
            await command.says("finishing")
            command.interrupt()
            done = await command.end()
    assert done.code == 130
    assert "1 submission cut off: 2 outputs may have been billed" in done.err


async def test_an_interrupted_download_leaves_no_partial_file(emulated, tmp_path):
    async with emulated() as (emulator, env):
        emulator.script(Fault("download", Deliver(stall_at=0.5), times=None))
        async with running("generate", "a fox", "-o", str(tmp_path), env=env) as command:
            await until(lambda: emulator.counters.downloads > 0)
            command.interrupt()
            done = await command.end()
    assert done.code == 130
    assert list(tmp_path.iterdir()) == []
    (task_id,) = emulator.tasks
    assert f"foxapi wait {task_id} -o {tmp_path}" in done.err


async def test_wait_can_be_interrupted(emulated):
    async with emulated(duration=math.inf) as (emulator, env):
        async with running("generate", "a fox", "-o", "/tmp", env=env) as command:
            await command.says("submitted")
            command.interrupt()
            await command.end()
        (task_id,) = emulator.tasks
        async with running("wait", task_id, env=env) as command:
            await until(lambda: emulator.counters.polls > 0)
            command.interrupt()
            done = await command.end()
    assert done.code == 130
    assert done.err.rstrip().endswith(f"foxapi wait {task_id}")


async def test_the_emulator_stops_cleanly_and_prints_its_counters():
    async with running("emulator", "--json", env=environment()) as command:
        await command.says("Ctrl-C")
        command.interrupt()
        done = await command.end()
    assert done.code == 0
    assert '"event": "started"' in done.lines[0]
    assert '"event": "stopped"' in done.lines[1]
    assert "0 images billed" in done.err


async def test_an_interrupt_while_the_contact_sheet_is_drawn_leaves_it_to_the_next_run(
    emulated, tmp_path
):
    jobs, out = tmp_path / "jobs.txt", tmp_path / "out"
    jobs.write_text("hills\n")
    arguments = ["run", str(jobs), "-o", str(out), "--yes"]
    async with emulated() as (_, env):
        assert (await foxapi(*arguments, "--no-sheet", env=env)).code == 0
        # Results of another job in the folder, whose pictures take a while to decode.
        Image.effect_noise((2000, 2000), 50).save(out / "large.png")
        with (out / "results.jsonl").open("a") as results:
            for number in range(40):
                file = {"path": "large.png", "size": 1, "sha256": f"{number:02}" * 32}
                line = {"key": f"k{number}", "status": "completed", "job": "other", "files": [file]}
                results.write(json.dumps(line) + "\n")
        async with running(*arguments, env=env) as command:
            await until(lambda: len(list(out.glob("contact-sheet/*.jpg"))) > 1)
            command.interrupt()
            done = await command.end()
    assert done.code == 130
    assert "interrupted: the next run draws the contact sheet" in done.err
    assert "1 of 1 done" in done.err
    assert not (out / "index.html").exists()
