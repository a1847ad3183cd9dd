"""A process that has imported the command line and forks one process per command.

A command that is started this way saves the second of processor time that the imports take. Otherwise it
is a process of its own: with its arguments, environment, working directory and standard streams, and with
signals, exit code and end of the interpreter as after `python -m foxapi_async.cli`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

import PIL.Image

import foxapi_async

FORKABLE = {"FOXAPI_API_KEY", "FOXAPI_BASE_URL", "HOME", "PATH", "PYTHONPATH", "TERM",
            "XDG_CONFIG_HOME", "XDG_STATE_HOME"}  # fmt: skip
"""Variables that are read only after the imports. A command with others needs a new interpreter."""

_LONGEST = 1 << 20


class ForkedProcess:
    """The part of `subprocess.Popen` that tests use."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        self._server.receive()
        return self._update()

    def wait(self) -> int:
        while (code := self._update()) is None:
            self._server.receive(wait=True)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _update(self) -> int | None:
        self.returncode = self._server.codes.get(self.pid)
        return self.returncode


class ForkServer:
    """The server, as its clients see it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.codes: dict[int, int] = {}
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(
        self, arguments: Sequence[str], env: Mapping[str, str], streams: Sequence[int]
    ) -> ForkedProcess:
        """Start a command with three file descriptors as its standard streams."""
        order = {
            "arguments": arguments,
            "env": dict(env),
            "folder": os.getcwd(),  # noqa: PTH109
            "ignored": [n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN],
            "core": resource.getrlimit(resource.RLIMIT_CORE),
        }
        socket.send_fds(self._connection, [json.dumps(order).encode()], list(streams))
        while (pid := self._read()) is None:
            pass
        return ForkedProcess(self, pid)

    def receive(self, *, wait: bool = False) -> None:
        """Take note of processes that have ended."""
        with contextlib.suppress(BlockingIOError):
            self._read(0 if wait else socket.MSG_DONTWAIT)

    def close(self) -> None:
        self._connection.close()
        self._process.wait()

    def _read(self, flags: int = 0) -> int | None:
        # The pid of a started process; None after the message that one has ended.
        said = self._connection.recv(_LONGEST, flags)
        assert said, "the fork server has ended"
        message = json.loads(said)
        if "ended" in message:
            self.codes[message["ended"]] = message["code"]
            return None
        self.codes.pop(message["started"], None)  # of an earlier process with this pid
        return int(message["started"])


@functools.cache
def fork_server(**env: str) -> ForkServer:
    """Return the server of this process."""
    server = ForkServer(env)
    atexit.register(server.close)
    return server


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork processes until the client closes the connection; return the order in a forked process."""
    child_ended, by_signal = socket.socketpair()
    for end in (child_ended, by_signal):
        end.setblocking(False)
    signal.set_wakeup_fd(by_signal.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(child_ended, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is child_ended:
                    child_ended.recv(_LONGEST)
                    _report_ends(connection)
                    continue
                said, fds, _, _ = socket.recv_fds(connection, _LONGEST, 3)
                if not said:
                    return None
                if (pid := os.fork()) == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    child_ended.close()
                    by_signal.close()
                    return {**json.loads(said), "streams": fds}
                for fd in fds:
                    os.close(fd)
                _say(connection, started=pid)


def _report_ends(connection: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(connection, ended=pid, code=os.waitstatus_to_exitcode(status))


def _say(connection: socket.socket, **message: int) -> None:
    connection.send(json.dumps(message).encode())


def _become(order: dict[str, Any]) -> None:
    """Take over what belongs to a process: streams, environment, folder and arguments."""
    for target, fd in enumerate(order["streams"]):
        os.dup2(fd, target)
        os.close(fd)
    sys.stdin = sys.__stdin__ = _stream(sys.stdin, 0, "r")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(sys.stdout, 1, "w")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(sys.stderr, 2, "w")  # type: ignore[misc]
    # What the interpreter has set by itself, such as LC_CTYPE, it would set in a new process, too.
    for name in FORKABLE - set(order["env"]):
        os.environ.pop(name, None)
    os.environ.update(order["env"])
    os.chdir(order["folder"])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        # This process may ignore others than the test that asks, if nohup has started both.
        is_ignored = number in order["ignored"]
        if is_ignored != (signal.getsignal(number) is signal.SIG_IGN):
            signal.signal(number, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, order["core"])
    sys.argv[1:] = order["arguments"]


def _stream(like: Any, fd: int, mode: str) -> IO[str]:
    line_buffered = fd == 2 or os.isatty(fd)
    return open(
        fd,
        mode,
        buffering=1 if line_buffered else -1,
        encoding=like.encoding,
        errors=like.errors,
        closefd=False,
    )


def _import_everything() -> None:
    for module in pkgutil.walk_packages(foxapi_async.__path__, "foxapi_async."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    PIL.Image.init()
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _import_everything()
    with socket.socket(fileno=int(sys.argv[1])) as _connection:
        _order = _serve(_connection)
    if _order is not None:
        _become(_order)
        runpy.run_module("foxapi_async.cli", run_name="__main__", alter_sys=True)
