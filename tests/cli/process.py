"""Run the real command as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import anyio
import attrs

import foxapi_async
from tests.cli.fork_server import FORKABLE, ForkedProcess, fork_server

ROOT = Path(foxapi_async.__file__).parents[1]
KEY = "sk-emulator"

Process = ForkedProcess | subprocess.Popen[bytes]


@attrs.frozen
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.out.splitlines()


def environment(**changes: str | None) -> dict[str, str]:
    """Return an environment without the user's own settings."""
    ours = {"PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "PATH": os.environ["PATH"]}
    # Coverage measures the processes that tests start through these.
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    everything = {**ours, **measured, **changes}
    return {name: value for name, value in everything.items() if value is not None}


@attrs.frozen(eq=False)
class Command:
    """A running command; its output goes to files, so it never blocks on a pipe."""

    process: Process
    out: IO[bytes]
    err: IO[bytes]

    async def says(self, words: str) -> None:
        """Wait until it has printed something on standard error."""
        await until(lambda: words in _text(self.err) or self.process.poll() is not None)
        assert words in _text(self.err)

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    async def end(self) -> Done:
        """Wait until it has ended, and check that it did not crash."""
        await until(lambda: self.process.poll() is not None)
        done = Done(self.process.returncode, _text(self.out), _text(self.err))
        assert "Traceback" not in done.err, done.err
        assert "Exception ignored" not in done.err, done.err
        return done


@asynccontextmanager
async def running(
    *arguments: str,
    env: Mapping[str, str],
    stdin: bytes = b"",
    stdout: int | None = None,
    stderr: int | None = None,
) -> AsyncIterator[Command]:
    """Start a command, and kill it after the block."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(stdin)
        given.seek(0)
        streams = [
            given.fileno(),
            out.fileno() if stdout is None else stdout,
            err.fileno() if stderr is None else stderr,
        ]
        process = _start(arguments, env, streams)
        try:
            yield Command(process, out, err)
        finally:
            process.kill()
            process.wait()


def _start(arguments: Sequence[str], env: Mapping[str, str], streams: Sequence[int]) -> Process:
    if env.keys() <= FORKABLE:
        return fork_server(**environment()).start(arguments, env, streams)
    stdin, stdout, stderr = streams
    command = [sys.executable, "-m", "foxapi_async.cli", *arguments]
    return subprocess.Popen(command, env=dict(env), stdin=stdin, stdout=stdout, stderr=stderr)


async def foxapi(*arguments: str, env: Mapping[str, str], stdin: bytes = b"") -> Done:
    """Run a command and return how it ended."""
    async with running(*arguments, env=env, stdin=stdin) as command:
        return await command.end()


async def together(*commands: Callable[[], Awaitable[Done]]) -> list[Done]:
    """Run several commands concurrently and return their results in order."""
    ends: dict[int, Done] = {}

    async def run(index: int) -> None:
        ends[index] = await commands[index]()

    async with anyio.create_task_group() as group:
        for index in range(len(commands)):
            group.start_soon(run, index)
    return [ends[index] for index in range(len(commands))]


async def until(holds: Callable[[], bool]) -> None:
    """Poll until a condition holds."""
    while not holds():  # noqa: ASYNC110 - another process sets no event
        await anyio.sleep(0.01)


def _text(file: IO[bytes]) -> str:
    # The process has the same file and its own place in it only if ours is not moved.
    return os.pread(file.fileno(), 1 << 24, 0).decode(errors="surrogateescape")
