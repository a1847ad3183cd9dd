"""Start, stop, and what the emulator shows of itself."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import anyio
import pytest

import foxapi_async.emulator
from foxapi_async.emulator import Drop, Emulator, Fault, PillowMissingError
from foxapi_async.emulator.__main__ import main, serve
from tests.emulator.client import FOX, IMAGES, emulated


async def test_it_listens_on_loopback_on_a_free_port():
    async with Emulator() as one, Emulator() as other:
        assert one.url.startswith("http://127.0.0.1:")
        assert one.url != other.url
        assert one.files_url == one.url


async def test_it_takes_the_port_that_it_is_given_and_says_so_if_it_is_taken():
    async with Emulator() as one:
        port = int(one.url.rpartition(":")[2])
        taken = Emulator(port=port)
        with pytest.raises(OSError, match="address"):
            await taken.start()
        await taken.stop()
    async with Emulator(port=port) as again:
        assert again.url.endswith(f":{port}")


async def test_after_a_stop_nobody_answers_and_after_a_start_all_is_there_again():
    async with emulated(files_port=0) as (emulator, client):
        task = await client.submit()
        url, files_url = emulator.url, emulator.files_url
        with pytest.raises(RuntimeError, match="running"):
            await emulator.start()
        await emulator.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.ask("GET", "/v1/models")
        await anyio.sleep(11)
        await emulator.start()
        assert (emulator.url, emulator.files_url) == (url, files_url)
        assert (await client.poll(task["id"]))["status"] == "completed"


async def test_a_task_shows_what_the_server_knows_of_it():
    async with emulated(speed=2) as (emulator, client):
        task = await client.submit(num_outputs=2, resolution="4K")
        view = emulator.tasks[task["id"]]
        assert list(emulator.tasks) == [view.id]
        assert len(emulator.tasks) == 1
        assert (view.kind, view.model, view.prompt) == ("image", "phota-image", "a fox")
        assert (view.num_outputs, view.credits_reserved) == (2, 120_000)
        assert view.payload == FOX | {"num_outputs": 2, "resolution": "4K"}
        assert view.finishes_at - view.created_at == pytest.approx(5)
        assert view.status == "pending"
        await anyio.sleep(5)
        assert (view.status, view.polls) == ("completed", 0)


async def test_speed_shortens_lives_and_estimates_alike():
    async with emulated(speed=10, duration=100) as (_, client):
        task = await client.submit()
        assert task["task_info"]["estimated_time"] == 10
        await anyio.sleep(10.1)
        assert (await client.poll(task["id"]))["status"] == "completed"
    with pytest.raises(ValueError, match="speed"):
        Emulator(speed=0)


async def test_the_seed_decides_how_long_tasks_take():
    async def lives(seed: int) -> list[float]:
        async with emulated(seed=seed, duration=(5.0, 50.0)) as (emulator, client):
            for _ in range(4):
                await client.submit()
            views = emulator.tasks.values()
            return [round(view.finishes_at - view.created_at, 6) for view in views]

    assert await lives(1) == await lives(1) != await lives(2)


async def test_a_script_may_be_given_at_once():
    async with emulated(faults=[Fault("submit", Drop())]) as (emulator, client):
        assert len(emulator.faults.waiting) == 1
        with pytest.raises(aiohttp.ClientError):
            await client.submit()


async def test_without_pillow_it_does_not_start_and_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(PillowMissingError, match=r"foxapi-async\[emulator\]"):
        await Emulator().start()


@pytest.mark.ordinary_loop
async def test_as_a_program_it_prints_its_address_and_at_the_end_its_counters():
    command = [sys.executable, "-m", "foxapi_async.emulator", "--speed", "50", "--duration", "1"]
    program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert program.stdout is not None
    url = (await program.stdout.readline()).decode().strip()
    headers = {"Authorization": "Bearer sk-emulator"}
    async with (
        aiohttp.ClientSession(url, headers=headers) as http,
        http.post(IMAGES, json=FOX) as response,
    ):
        assert response.status == 200
    program.send_signal(signal.SIGTERM)
    printed, _ = await program.communicate()
    assert program.returncode == 0
    assert json.loads(printed)["images_billed"] == 1


@pytest.mark.ordinary_loop
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_program_ends_on_a_signal(number, capsys):
    emulator = Emulator()
    async with anyio.create_task_group() as group:
        group.start_soon(serve, emulator)
        while emulator.url.endswith(":0"):  # noqa: ASYNC110  it prints when it is ready, no more
            await anyio.sleep(0.001)
        os.kill(os.getpid(), number)
    url, counted = capsys.readouterr().out.splitlines()
    assert url == emulator.url
    assert json.loads(counted)["requests"] == 0


def test_the_program_fails_with_one_line_if_the_port_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1]), "--duration", "1"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1


def test_it_imports_nothing_of_the_client():
    for path in Path(foxapi_async.emulator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                top = name.partition(".")[0]
                ours = name.startswith("foxapi_async.emulator")
                assert ours or top in sys.stdlib_module_names | {
                    "aiohttp",
                    "anyio",
                    "attrs",
                    "PIL",
                }, f"{path.name} imports {name}"


def test_the_public_names_are_sorted_and_there():
    names = foxapi_async.emulator.__all__
    assert names == sorted(names)
    assert all(hasattr(foxapi_async.emulator, name) for name in names)
