"""`foxapi generate`: its options, and the command as a process against an emulator."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from PIL import Image

from foxapi_async import GenerationRequest, InvalidRequestError, PhotaImage
from foxapi_async.cli import main
from foxapi_async.cli.commands.generate import (
    RequestOptions,
    parse_params,
    read_prompt,
    with_local_files,
)
from foxapi_async.emulator import Call, Deliver, Drop, Fate, Fault, Rewrite, error
from foxapi_async.emulator import text as edge_text
from tests.bulk.test_local_files import png
from tests.cli.process import Done, environment, foxapi, running

pytestmark = pytest.mark.ordinary_loop


async def test_images_are_saved_and_only_their_paths_are_on_stdout(emulated, tmp_path):
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


async def test_split_submits_one_task_per_image_and_json_is_one_document(emulated, tmp_path):
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


async def test_any_model_takes_any_parameters_and_outputs_without_files_are_printed(
    emulated, tmp_path
):
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


async def test_invalid_options_are_refused_before_anything_is_sent(emulated, monkeypatch, capsys):
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
            # In this process, because six interpreters take long to start.
            assert main(["generate", *arguments]) == code
            assert words in capsys.readouterr().err
    assert emulator.counters.requests == 0


async def test_each_outcome_has_its_exit_code(emulated, tmp_path):
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
            arguments = ["generate", name, "-o", str(tmp_path / name), "--json"]
            if name == "endless":
                arguments += ["--timeout", "1"]
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


async def test_a_closed_pipe_does_not_end_the_work(emulated, tmp_path):
    async with emulated() as (emulator, env):
        reader, writer = os.pipe()
        os.close(reader)  # as `| head -0` would
        arguments = ["generate", "a fox", "-n", "3", "--split", "-o", str(tmp_path)]
        async with running(*arguments, env=env, stdout=writer) as command:
            os.close(writer)
            done = await command.end()
    assert done.code == 0
    assert len(list(tmp_path.iterdir())) == emulator.counters.images_billed == 3


async def test_names_and_prompts_survive_an_ascii_locale(emulated, tmp_path):
    folder = tmp_path / "Füchse"
    async with emulated() as (_, env):
        ascii_only = {**env, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
        done = await foxapi("generate", "ein Füchslein", "-o", str(folder), env=ascii_only)
        again = await foxapi("status", done.lines[0].split("/")[-1][:-6], env=ascii_only)
    assert done.code == 0
    assert len(list(folder.iterdir())) == 1
    assert "F\\xfcchse" in done.out
    assert again.code == 0


async def test_the_log_does_not_contain_the_key(emulated, tmp_path):
    async with emulated(api_key="sk-secret-of-mine") as (_, env):
        secret = {**env, "FOXAPI_API_KEY": "sk-secret-of-mine"}
        done = await foxapi("generate", "a fox", "-v", "-o", str(tmp_path), env=secret)
    assert done.code == 0
    assert "DEBUG" in done.err
    assert "secret" not in done.err + done.out


async def test_without_a_key_the_error_names_its_sources():
    done = await foxapi("generate", "a fox", "--json", "-o", "/tmp", env=environment())
    assert done.code == 3
    assert "FOXAPI_API_KEY" in done.err
    assert done.document["error"] == "ConfigurationError"


def test_only_given_options_are_sent():
    assert RequestOptions("a fox").request() == PhotaImage("a fox")
    options = RequestOptions("a fox", outputs=2, aspect_ratio="3:4", resolution="4K")
    assert options.request() == PhotaImage(
        "a fox", num_outputs=2, aspect_ratio="3:4", resolution="4K"
    )
    assert RequestOptions("a fox", model="gpt-image-2").request().payload() == {
        "model": "gpt-image-2",
        "prompt": "a fox",
    }


def test_parameters_are_sent_to_any_model_and_the_kind_decides_the_path():
    options = RequestOptions(None, model="suno-v5", kind="audio", params=["lyrics=la la", "seed=7"])
    request = options.request()
    assert isinstance(request, GenerationRequest)
    assert request.payload() == {"model": "suno-v5", "lyrics": "la la", "seed": 7}
    assert request.path == "/v1/audios/generations"
    assert RequestOptions("x", params=["aspect_ratio=5:4"]).request().payload() == {
        "model": "phota-image",
        "prompt": "x",
        "aspect_ratio": "5:4",
    }


def test_a_value_is_json_or_text():
    given = ["a=1", 'b={"c": [true]}', "d=1:1", "e=", 'f="1"', "g=a=b", "h=null"]
    assert parse_params(given) == {
        "a": 1,
        "b": {"c": [True]},
        "d": "1:1",
        "e": "",
        "f": "1",
        "g": "a=b",
        "h": None,
    }


@pytest.mark.parametrize("given", [["a"], ["=1"], ["a={"], ['a="x'], ["a=1", "a=2"]])
def test_an_invalid_parameter_is_refused(given):
    with pytest.raises(InvalidRequestError):
        parse_params(given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (RequestOptions(None), "a prompt is needed"),
        (RequestOptions("  "), "prompt is"),
        (RequestOptions("x", outputs=0), "num_outputs is 0"),
        (RequestOptions("x", resolution="2K"), "--param resolution=2K"),
    ],
)
def test_errors_name_the_options_of_the_command_line(options, words):
    with pytest.raises(InvalidRequestError, match=words):
        options.request()


def test_a_dash_reads_the_prompt_from_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a fox\nin the snow\n"))
    assert read_prompt("-") == "a fox\nin the snow"
    assert read_prompt("a fox") == "a fox"
    assert read_prompt(None) is None
    monkeypatch.setattr("sys.stdin", None)
    assert read_prompt("-") == ""


def _asks(prompt: str) -> Callable[[Call], bool]:
    return lambda call: call.prompt == prompt


async def test_a_task_without_a_picture_and_files_that_are_late_are_failures(emulated, tmp_path):
    def without_picture(body):
        return {**body, "results": [{"text": "sorry"}]} if body["status"] == "completed" else body

    slow = Fault("download", Deliver(bytes_per_second=2000), times=None)
    async with (
        emulated(faults=[Fault("poll", Rewrite(without_picture), times=None)]) as (_, empty),
        emulated(faults=[slow], picture_scale=1) as (emulator, late),
    ):
        done: dict[str, Done] = {}

        async def run(name: str, *arguments: str, env: dict[str, str]) -> None:
            done[name] = await foxapi(*arguments, env=env)

        async with anyio.create_task_group() as group:
            folder = str(tmp_path)
            group.start_soon(lambda: run("empty", "generate", "x", "-o", folder, env=empty))
            group.start_soon(
                lambda: run("late", "generate", "x", "--timeout", "2", "-o", folder, env=late)
            )
        (task_id,) = emulator.tasks
        waited = await foxapi("wait", done["empty"].err.split("task ")[1].split(":")[0], env=empty)
    assert {name: each.code for name, each in done.items()} == {"empty": 8, "late": 8}
    assert waited.code == 8
    for each in (done["empty"], waited):
        assert "the server sent no picture; it sent [{'text': 'sorry'}]" in each.err
    assert f"task {task_id} is completed, but not all of its files" in done["late"].err
    assert f"foxapi wait {task_id} -o" in done["late"].err
    assert list(tmp_path.iterdir()) == []


async def test_a_local_file_is_uploaded_where_a_parameter_takes_a_url(emulated, tmp_path):
    png(tmp_path / "a.png")
    given = ["--model", "phota-image-edit", "--split", "-n", "2", "-o", str(tmp_path / "out")]
    urls = json.dumps([str(tmp_path / "a.png"), "https://x.test/b.png"])
    async with emulated() as (emulator, env):
        done = await foxapi("generate", "p", *given, "--param", f"image_urls={urls}", env=env)
        tasks = list(emulator.tasks.values())
    assert done.code == 0
    assert (len(tasks), emulator.counters.uploads) == (2, 1)
    for task in tasks:
        first, second = task.payload["image_urls"]
        assert first.startswith(emulator.files_url)
        assert second == "https://x.test/b.png"


def test_a_parameter_that_names_a_missing_file_is_refused():
    request = GenerationRequest("phota-image-enhance", {"image_url": "./gone.png"})
    with pytest.raises(InvalidRequestError, match=r"--param image_url: './gone.png' is neither"):
        with_local_files(request)
