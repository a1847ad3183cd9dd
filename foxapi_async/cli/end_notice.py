"""Tell a command and a webhook of the user's how a run ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs

from foxapi_async.cli.exit_codes import MEANINGS, ExitCode
from foxapi_async.cli.formatting import count, json_text

if TYPE_CHECKING:
    from foxapi_async.cli.console import Console

_TIMEOUT: Final = 60.0  # Seconds that the command may take


@attrs.frozen(kw_only=True)
class EndNotice:
    """What is told of the end of a run, and to whom. A failure is a warning and changes no exit code.

    Raises:
        InvalidRequestError: The URL of the webhook cannot be used.
    """

    console: Console
    command: str | None = None
    webhook: str | None = attrs.field(default=None, repr=False)
    proxy: str | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.webhook is not None:
            from foxapi_async.cli.webhook import check_url  # noqa: PLC0415 - loads aiohttp

            check_url(self.webhook)

    def send(self, document: Mapping[str, object], code: int) -> None:
        """Run the command and post to the webhook; each gets the document as JSON."""
        content = {**document, "text": end_text(document, code), "exit_code": int(code)}
        body = json_text(content).encode()
        try:
            if self.command is not None:
                self._run(self.command, body, code)
            if self.webhook is not None:
                self._post(self.webhook, body)
        except KeyboardInterrupt:
            self.console.warning("interrupted: the notice of the end was not completed")

    def _run(self, command: str, body: bytes, code: int) -> None:
        environment = {**os.environ, "FOXAPI_EXIT_CODE": str(int(code))}
        try:
            # By the shell, because people write pipes and redirections. What it prints goes to standard
            # error: standard output has the results only.
            process = subprocess.Popen(  # noqa: S602
                command,
                shell=True,
                stdin=subprocess.PIPE,
                stdout=_standard_error(),
                stderr=_standard_error(),
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self.console.warning(f"--on-end could not be started: {error}")
            return
        try:
            process.communicate(body, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            _kill(process)
            self.console.warning(f"--on-end was stopped after {_TIMEOUT:g} s")
            return
        except BaseException:
            _kill(process)
            raise
        if process.returncode:
            self.console.warning(f"--on-end ended with exit code {process.returncode}")

    def _post(self, webhook: str, body: bytes) -> None:
        from foxapi_async.cli.webhook import check_url, post, shown  # noqa: PLC0415

        url = check_url(webhook)
        if (reason := asyncio.run(post(url, body, self.proxy))) is not None:
            self.console.warning(f"the webhook {shown(url)} was not told: {reason}")


def end_text(document: Mapping[str, object], code: int) -> str:
    """Return the end of a run in a line, as chat services show the field ``text``."""
    known = {int(each): each for each in ExitCode}
    meaning = MEANINGS[known[code]] if code in known else "a fault of the program"
    done, requests = document.get("completed"), document.get("requests")
    counts = ""
    if isinstance(done, int) and isinstance(requests, int):
        counts = f"{done:,} of {count(requests, 'request')} done; "
    message = document.get("message")
    why = f": {message}" if isinstance(message, str) else ""
    return f"foxapi: {counts}exit code {int(code)} ({meaning}){why}"


def _standard_error() -> int:
    with suppress(AttributeError, OSError, ValueError):
        return sys.stderr.fileno()
    return subprocess.DEVNULL


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
