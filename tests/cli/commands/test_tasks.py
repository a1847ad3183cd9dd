"""`foxapi wait`, `status` and `upload`: free calls."""

from __future__ import annotations

import json
import math

import pytest

from foxapi_async import PhotaImage, Session
from foxapi_async.cli import main
from foxapi_async.emulator import Emulator, Fate, Fault, error, rate_limit
from tests.cli.process import KEY, environment, foxapi

pytestmark = pytest.mark.ordinary_loop


async def test_several_tasks_are_saved_and_a_failure_costs_one_task(emulated, tmp_path):
    async with emulated() as (emulator, env):
        emulator.script(Fault("submit", Fate(ends_as="failed")), Fault("poll", error(503), times=2))
        ids = [await _submitted(emulator) for _ in range(3)]
        done = await foxapi("wait", *ids, "-o", str(tmp_path), "--json", env=env)
    assert done.code == 1
    assert [task["status"] for task in done.document["tasks"]].count("completed") == 2
    assert len(list(tmp_path.iterdir())) == 2
    assert done.document["billed"]["outputs"] == 0
    assert "a poll failed and is repeated" in done.err
    assert f"task {ids[0]} failed" in done.err


async def test_without_a_directory_the_links_are_printed_and_the_wait_times_out(emulated):
    async with emulated() as (emulator, env):
        emulator.script(Fault("submit", Fate(duration=math.inf), nth=2))
        there, endless = [await _submitted(emulator) for _ in range(2)]
        done = await foxapi("wait", there, endless, "--timeout", "1.5", env=env)
    assert done.code == 7
    (link,) = done.lines
    assert link.startswith(f"{emulator.url}/files/{there}/0.png?")
    assert done.err.splitlines()[-1].strip() == f"foxapi wait {endless}"


async def test_a_rate_limit_is_reported_once(emulated, tmp_path):
    async with emulated() as (emulator, env):
        emulator.script(Fault("submit", rate_limit(1)))
        done = await foxapi("generate", "a fox", "-o", str(tmp_path), env=env)
    assert done.code == 0
    assert done.err.count("the server limits the rate (429): slowing down; it asks to wait 1") == 1


async def test_the_printed_command_has_the_options_that_find_the_task(emulated, tmp_path):
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    key_file.chmod(0o644)
    async with emulated(duration=math.inf) as (emulator, _):
        task_id = await _submitted(emulator)
        done = await foxapi(
            "wait", task_id, "--timeout", "0.2", "--base-url", emulator.url,
            "--key-file", str(key_file), env=environment(),
        )  # fmt: skip
    assert f"foxapi wait {task_id} --base-url {emulator.url} --key-file {key_file}" in done.err
    assert f"chmod 600 {key_file}" in done.err


async def test_status_polls_once_and_prints_the_task(emulated):
    async with emulated() as (emulator, env):
        emulator.script(Fault("submit", Fate(duration=math.inf)))
        task_id = await _submitted(emulator)
        polls = emulator.counters.polls
        done = await foxapi("status", task_id, env=env)
        assert emulator.counters.polls == polls + 1
        assert done.code == 0
        assert done.lines[0].split() == ["status", "pending"]

        emulator.script(Fault("submit", Fate(duration=0, ends_as="failed")))
        done = await foxapi("status", await _submitted(emulator), "--json", env=env)
        assert (done.code, done.document["task_status"]) == (1, "failed")

        done = await foxapi("status", "nobody-knows-this", "--json", env=env)
        assert (done.code, done.document["error"]) == (2, "NotFoundError")


async def test_a_file_is_uploaded_and_its_link_is_printed(emulated, tmp_path):
    file = tmp_path / "face.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    async with emulated() as (emulator, env):
        done = await foxapi("upload", str(file), "--json", env=env)
        missing = await foxapi("upload", str(tmp_path / "none.png"), env=env)
    assert done.code == 0
    assert done.document["url"].startswith(emulator.files_url)
    assert "face.png (108 B); kept for 72 hours" in done.err
    assert missing.code == 2
    assert emulator.counters.uploads == 1


def test_an_invalid_id_is_refused_before_anything_is_sent(capsys, monkeypatch):
    for name, value in environment(
        FOXAPI_BASE_URL="http://127.0.0.1:9", FOXAPI_API_KEY=KEY
    ).items():
        monkeypatch.setenv(name, value)
    for command in ("wait", "status"):
        assert main([command, "../v1/models", "--json"]) == 2
        assert "task_id" in capsys.readouterr().err


async def _submitted(emulator: Emulator) -> str:
    async with Session(KEY, base_url=emulator.url) as session:
        handle = await session.submit(PhotaImage("a fox"))
        return handle.id


def test_an_error_is_one_json_document(capsys, monkeypatch):
    monkeypatch.setenv("HOME", "/nonexistent")
    for name in ("FOXAPI_API_KEY", "FOXAPI_API_KEY_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert main(["status", "task-1", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["exit_code"] == 3
