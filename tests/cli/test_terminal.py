"""`foxapi run` on a terminal: what is drawn, and how the terminal is restored."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import Command, running, until

if sys.platform == "win32":
    pytest.skip("there are no pseudo terminals", allow_module_level=True)

import pty
import resource

pytestmark = pytest.mark.ordinary_loop

HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"


class Terminal:
    """A pseudo terminal and what has been drawn on it."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self._drawn = b""

    def read(self) -> None:
        try:
            self._drawn += os.read(self.master, 1 << 16)
        except OSError:  # nobody has it open any more
            asyncio.get_running_loop().remove_reader(self.master)

    @property
    def text(self) -> str:
        return self._drawn.decode(errors="replace")

    @property
    def hides_the_cursor(self) -> bool:
        return self.text.rfind(HIDDEN) > self.text.rfind(SHOWN)


@asynccontextmanager
async def on_a_terminal(*arguments: str, env: Any) -> AsyncIterator[tuple[Command, Terminal]]:
    """Start a command that has a terminal for its standard error."""
    terminal = Terminal()
    loop = asyncio.get_running_loop()
    loop.add_reader(terminal.master, terminal.read)
    try:
        env = {**env, "TERM": "xterm"}
        async with running(*arguments, env=env, stderr=terminal.slave) as command:
            yield command, terminal
    finally:
        loop.remove_reader(terminal.master)
        os.close(terminal.master)
        os.close(terminal.slave)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text("".join(json.dumps({"prompt": f"p{n}"}) + "\n" for n in range(8)))
    return ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes"]


async def test_a_second_ctrl_c_restores_the_cursor(emulated, arguments):
    async with (
        emulated(duration=60.0) as (emulator, env),
        on_a_terminal(*arguments, env=env) as (command, terminal),
    ):
        await until(lambda: emulator.counters.tasks == 8)
        await until(lambda: terminal.hides_the_cursor)
        command.interrupt()
        await until(lambda: "Interrupt again to exit at once" in terminal.text)
        command.interrupt()
        await until(lambda: command.process.poll() is not None)
        await until(lambda: "to go on, run it again" in terminal.text)
        assert not terminal.hides_the_cursor
    assert command.process.returncode == 130


@pytest.fixture
def no_core() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.mark.usefixtures("no_core")
async def test_ctrl_backslash_restores_the_cursor_and_prints_the_next_step(emulated, arguments):
    async with (
        emulated(duration=60.0) as (emulator, env),
        on_a_terminal(*arguments, env=env) as (command, terminal),
    ):
        await until(lambda: emulator.counters.tasks == 8)
        await until(lambda: terminal.hides_the_cursor)
        command.interrupt(signal.SIGQUIT)
        await until(lambda: command.process.poll() is not None)
        await until(lambda: "to go on, run it again" in terminal.text)
        assert not terminal.hides_the_cursor
    assert command.process.returncode == -signal.SIGQUIT


async def test_a_terminal_without_unicode_is_drawn_in_ascii(emulated, arguments):
    async with emulated() as (_, env):
        plain = {**env, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
        async with on_a_terminal(*arguments, env=plain) as (command, terminal):
            await until(lambda: command.process.poll() is not None)
            await until(lambda: "8 of 8 done" in terminal.text)
            assert "in flight" in terminal.text
            assert terminal.text.isascii()
            assert "\\x" not in terminal.text
    assert command.process.returncode == 0
