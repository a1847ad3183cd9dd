"""`foxapi demo`: the first command that a newcomer runs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from foxapi_async.cli.commands import demo
from foxapi_async.cli.console import Console
from foxapi_async.emulator import Emulator, Fate, Fault, size_of
from foxapi_async.errors import DownloadError
from tests.cli.process import environment, foxapi, running

pytestmark = pytest.mark.ordinary_loop


async def test_it_needs_neither_key_nor_network_and_does_the_whole_job(tmp_path):
    folder = tmp_path / "show"
    nowhere = environment(FOXAPI_BASE_URL="http://127.0.0.1:9", FOXAPI_API_KEY="sk-of-mine")
    done = await foxapi("demo", "-o", str(folder), "--speed", "30", env=nowhere)
    assert done.code == 0, done.err
    paths = [Path(line) for line in done.lines]
    assert sorted(paths) == sorted(folder.iterdir())
    assert len(paths) == 9
    for path in paths:
        with Image.open(path) as picture:
            picture.load()
    assert paths[-1].name == demo.SHEET
    assert "8 of 8 images saved" in done.err
    assert "billed: 8 images by the server's count, 8 by the session's" in done.err
    assert done.err.count(": submitted, 1 output") == 8


def test_an_incomplete_image_is_detected(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 30)).save(path)
    assert demo._image_size(path) == (40, 30)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DownloadError):
        demo._image_size(path)


async def test_a_failure_costs_one_image_and_is_reported(tmp_path, monkeypatch, capsys):
    fault = Fault("submit", Fate(ends_as="failed"), when=lambda call: "rain" in call.prompt)
    odd = Fault("submit", Fate(outputs=2), when=lambda call: "sun" in call.prompt)
    tiny = {"picture_scale": 1 / 16, "faults": [fault, odd]}
    monkeypatch.setattr("foxapi_async.emulator.Emulator", partial(Emulator, **tiny))
    monkeypatch.setattr("foxapi_async.emulator.size_of", partial(size_of, scale=1 / 16))
    console = Console(as_json=True, quiet=True)
    with console.rich.capture() as said:
        shown = await demo._run(console, tmp_path, speed=100)
        code = demo._report(console, tmp_path, shown)
    assert code == 1
    assert "failed" in said.get()
    assert "8 images should have been billed and saved" in said.get()
    document = json.loads(capsys.readouterr().out)
    assert len(document["files"]) == 7
    assert document["billed"]["by_the_server"] == 8


async def test_it_can_be_interrupted_and_leaves_no_partial_image(tmp_path):
    async with running("demo", "-o", str(tmp_path), env=environment()) as command:
        await command.says("submitted")
        command.interrupt()
        done = await command.end()
    assert done.code == 130
    assert list(tmp_path.iterdir()) == []
