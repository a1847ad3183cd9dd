"""`foxapi demo`: the first thing that a newcomer runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from foxapi_async.cli import demo
from foxapi_async.errors import DownloadError
from tests.cli.process import environment, foxapi

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
