"""`foxapi demo`: the first thing that a newcomer runs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from foxapi_async.cli import demo
from foxapi_async.cli.screen import Screen
from foxapi_async.emulator import Emulator, Fate, Fault, size_of
from foxapi_async.errors import DownloadError
from tests.cli.process import environment, foxapi, running

pytestmark = pytest.mark.ordinary_loop


async def test_it_needs_no_key_and_no_network_and_shows_the_whole_job(tmp_path):
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
    assert "8 of 8 pictures saved" in done.err
    assert "billed: 8 images by the server's count, 8 by the session's" in done.err
    assert done.err.count(": submitted, 1 output") == 8


def test_a_picture_that_is_not_whole_is_noticed(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 30)).save(path)
    assert demo._size_of_picture(path) == (40, 30)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DownloadError):
        demo._size_of_picture(path)


async def test_a_fault_costs_one_picture_and_is_told(tmp_path, monkeypatch, capsys):
    fault = Fault("submit", Fate(ends_as="failed"), when=lambda call: "rain" in call.prompt)
    odd = Fault("submit", Fate(outputs=2), when=lambda call: "sun" in call.prompt)
    tiny = {"picture_scale": 1 / 16, "faults": [fault, odd]}
    monkeypatch.setattr(demo, "Emulator", partial(Emulator, **tiny))
    monkeypatch.setattr(demo, "size_of", partial(size_of, scale=1 / 16))
    screen = Screen(as_json=True, quiet=True)
    with screen.console.capture() as said:
        shown = await demo._show(screen, tmp_path, speed=100)
        code = demo._report(screen, tmp_path, shown)
    assert code == 1
    assert "failed" in said.get()
    assert "8 pictures should have been billed and saved" in said.get()
    document = json.loads(capsys.readouterr().out)
    assert len(document["files"]) == 7
    assert document["billed"]["by_the_server"] == 8


async def test_it_can_be_interrupted_and_leaves_only_whole_pictures(tmp_path):
    async with running("demo", "-o", str(tmp_path), env=environment()) as command:
        await command.says("submitted")
        command.interrupt()
        done = await command.end()
    assert done.code == 130
    assert list(tmp_path.iterdir()) == []
