"""What a paid task needs later is there: modules that were removed, and descriptors that are taken."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest

from foxapi_async.emulator import Emulator, Fault, cut

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.once]


async def run(module: str, url: str, folder: Path) -> str:
    command = [sys.executable, "-m", f"tests.files.{module}", url, str(folder)]
    with anyio.fail_after(60):
        done = await anyio.run_process(command, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


async def test_a_session_imports_nothing_after_it_was_opened(tmp_path):
    async with Emulator(duration=0.1, picture_scale=1 / 16) as emulator:
        emulator.script(Fault("download", cut(0.5)))
        # The name of a host needs modules that an address does not need.
        url = emulator.url.replace("127.0.0.1", "localhost")
        assert await run("after_upgrade", url, tmp_path) == "[]"
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
async def test_without_descriptors_downloads_wait(tmp_path):
    async with Emulator(duration=0.1, picture_scale=1 / 16) as emulator:
        output = await run("few_descriptors", emulator.url, tmp_path)
    assert output == "12 saved, 0 not"
