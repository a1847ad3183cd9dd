"""`foxapi generate` as a process, against an emulator that counts what it bills."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from PIL import Image

from foxapi_async.cli import main
from foxapi_async.emulator import Call, Drop, Fate, Fault, error
from foxapi_async.emulator import text as edge_text
from tests.cli.process import Done, environment, foxapi, running

pytestmark = pytest.mark.ordinary_loop


async def test_pictures_are_saved_and_their_paths_are_all_that_stdout_says(emulated, tmp_path):
    async with emulated() as (emulator, env):
        done = await foxapi(
            "generate", "Ein Fuchs im Schnee", "-n", "2", "--aspect-ratio", "3:4",
            "-o", str(tmp_path / "out"), env=env,
        )  # fmt: skip
    assert done.code == 0
    paths = [Path(line) for line in done.lines]
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width / picture.height == pytest.approx(3 / 4, rel=0.02)
    assert emulator.counters.posts == 1
    assert emulator.counters.images_billed == 2
    (task_id,) = emulator.tasks
    assert f"task {task_id}: submitted, 2 outputs" in done.err
    assert f"task {task_id}: completed after" in done.err
    assert "billed: 2 outputs, 60,000 credits reserved" in done.err


async def test_split_makes_one_task_for_each_image_and_json_is_one_document(emulated, tmp_path):
    async with emulated() as (emulator, env):
        done = await foxapi(
            "generate", "-", "-n", "3", "--split", "--json", "-q", "-o", str(tmp_path),
            env=env, stdin="Ein Fuchs, schön\n".encode(),
        )  # fmt: skip
    assert done.code == 0
    assert done.err == ""
    assert {task.prompt for task in emulator.tasks.values()} == {"Ein Fuchs, schön"}
    assert emulator.counters.tasks == 3
    document = done.document
    assert {task["id"] for task in document["tasks"]} == set(emulator.tasks)
    files = {task["outputs"][0]["file"] for task in document["tasks"]}
    assert files == {str(path) for path in tmp_path.iterdir()}
    assert document["billed"] == {"outputs": 3, "outputs_unknown": 0, "credits_reserved": 90000}
    assert document["open"] == []


async def test_any_model_takes_any_parameters_and_what_is_no_file_is_printed(emulated, tmp_path):
    async with emulated() as (emulator, env):
        done = await foxapi(
            "generate", "--model", "phota-create-profile",
            "--param", "image_archive_url=https://files.example/me.zip", "-o", str(tmp_path),
            env=env,
        )  # fmt: skip
    assert done.code == 0
    (task,) = emulator.tasks.values()
    assert dict(task.payload) == {
        "model": "phota-create-profile",
        "image_archive_url": "https://files.example/me.zip",
    }
    assert '"profile_id"' in done.out
    assert list(tmp_path.iterdir()) == []


async def test_what_cannot_be_right_ends_before_anything_is_sent(emulated, monkeypatch, capsys):
    wrong = {
        (): (2, "a prompt is needed"),
        ("x", "-n", "0"): (2, "num_outputs is 0"),
        ("x", "--aspect-ratio", "5:4"): (2, "--param aspect_ratio=5:4"),
        ("x", "--param", "novalue"): (2, "NAME=VALUE"),
        ("x", "-o", "/dev/null/folder"): (3, "nothing can be saved"),
        ("x", "--timeout", "-1"): (2, "--timeout"),
    }
    async with emulated() as (emulator, env):
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        for arguments, (code, words) in wrong.items():
            # In this process, because six interpreters would take longer than they tell.
            assert main(["generate", *arguments]) == code
            assert words in capsys.readouterr().err
    assert emulator.counters.requests == 0


async def test_each_end_has_its_exit_code(emulated, tmp_path):
    ends = {
        "failed": (Fault("submit", Fate(ends_as="failed"), when=_asks("failed")), 1),
        "refused": (Fault("submit", error(400, "no such thing"), when=_asks("refused")), 2),
        "forbidden": (Fault("submit", error(403), when=_asks("forbidden")), 3),
        "poor": (Fault("submit", error(402, "the balance is too low"), when=_asks("poor")), 4),
        "unknown": (Fault("submit", Drop(carried_out=True), when=_asks("unknown")), 6),
        "endless": (Fault("submit", Fate(duration=math.inf), when=_asks("endless")), 7),
        "gone": (Fault("download", edge_text(418, "teapot"), times=None, when=_asks("gone")), 8),
    }
    done: dict[str, Done] = {}

    async with emulated(faults=[fault for fault, _ in ends.values()]) as (emulator, env):

        async def run(name: str) -> None:
            arguments = ["generate", name, "--timeout", "1", "-o", str(tmp_path / name), "--json"]
            nowhere = {"FOXAPI_BASE_URL": "http://127.0.0.1:9"} if name == "nowhere" else {}
            done[name] = await foxapi(*arguments, env={**env, **nowhere})

        async with anyio.create_task_group() as together:
            for name in (*ends, "nowhere"):
                together.start_soon(run, name)

    codes = {name: code for name, (_, code) in ends.items()} | {"nowhere": 5}
    for name, code in codes.items():
        ended = done[name]
        assert (name, ended.code, ended.document["exit_code"]) == (name, code, code)
        assert (name, ended.document["open"] != []) == (name, code in {7, 8})
        if code in {7, 8}:
            (task_id,) = ended.document["open"]
            assert f"foxapi wait {task_id} -o {tmp_path / name}" in ended.err
        assert list((tmp_path / name).iterdir()) == []
    assert emulator.counters.posts == len(ends)


async def test_a_reader_who_leaves_early_does_not_end_the_work(emulated, tmp_path):
    async with emulated() as (emulator, env):
        reader, writer = os.pipe()
        os.close(reader)  # as `| head -0` would
        arguments = ["generate", "a fox", "-n", "3", "--split", "-o", str(tmp_path)]
        async with running(*arguments, env=env, stdout=writer) as command:
            os.close(writer)
            done = await command.end()
    assert done.code == 0
    assert len(list(tmp_path.iterdir())) == emulator.counters.images_billed == 3


async def test_names_and_prompts_survive_a_locale_that_knows_only_ascii(emulated, tmp_path):
    folder = tmp_path / "Füchse"
    async with emulated() as (_, env):
        ascii_only = {**env, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
        done = await foxapi("generate", "ein Füchslein", "-o", str(folder), env=ascii_only)
        again = await foxapi("status", done.lines[0].split("/")[-1][:-6], env=ascii_only)
    assert done.code == 0
    assert len(list(folder.iterdir())) == 1
    assert "F\\xfcchse" in done.out
    assert again.code == 0


async def test_the_log_never_holds_the_key(emulated, tmp_path):
    async with emulated(api_key="sk-secret-of-mine") as (_, env):
        secret = {**env, "FOXAPI_API_KEY": "sk-secret-of-mine"}
        done = await foxapi("generate", "a fox", "-v", "-o", str(tmp_path), env=secret)
    assert done.code == 0
    assert "DEBUG" in done.err
    assert "secret" not in done.err + done.out


async def test_without_a_key_it_says_where_one_may_come_from():
    done = await foxapi("generate", "a fox", "--json", "-o", "/tmp", env=environment())
    assert done.code == 3
    assert "FOXAPI_API_KEY" in done.err
    assert done.document["error"] == "ConfigurationError"


def _asks(prompt: str) -> Callable[[Call], bool]:
    return lambda call: call.prompt == prompt
