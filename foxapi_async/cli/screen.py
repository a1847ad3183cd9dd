"""Where a command speaks: results go to standard output, everything else to standard error."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import IO, cast

from rich.console import Console
from rich.text import Text

from foxapi_async.cli.exits import Exit, gravest
from foxapi_async.cli.streams import Stream, plain, standard_error, standard_output
from foxapi_async.cli.words import error_json
from foxapi_async.errors import FoxAPIError

__all__ = ["Screen"]


class Screen:
    """The two streams of a command.

    Args:
        as_json: Results are JSON; lines for people are not printed on standard output.
        quiet: Only warnings and errors go to standard error.
        verbose: The package's log goes to standard error, at DEBUG.
    """

    def __init__(
        self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.output: Stream = standard_output()
        self.error_stream: Stream = standard_error()
        self.console: Console = Console(
            file=cast("IO[str]", self.error_stream),
            force_terminal=None if self.error_stream.isatty() else False,
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=True,
        )
        self._held: list[str] | None = None
        self._log(verbose=verbose)

    @property
    def is_terminal(self) -> bool:
        """Whether standard error is a terminal on which lines can be drawn again."""
        return self.error_stream.isatty() and not self.console.is_dumb_terminal

    def result(self, text: str) -> None:
        """Print a line of the result, unless the result is JSON."""
        if not self.as_json:
            self._print(plain(text))

    def document(self, value: Mapping[str, object]) -> None:
        """Print a JSON document on one line (indented for a person), if the result is JSON.

        It is ASCII, so that it survives any locale.
        """
        if self.as_json:
            self._print(json.dumps(value, indent=2 if self.output.isatty() else None, default=str))

    def say(self, text: str, style: str = "") -> None:
        """Tell how it goes, unless that is not wanted."""
        if not self.quiet:
            self._tell(text, style)

    def warn(self, text: str) -> None:
        """Tell what should be known even if nothing else is wanted."""
        self._tell(text, "yellow")

    def fail(self, text: str) -> None:
        """Tell what went wrong."""
        self._tell(f"foxapi: {text}", "red")

    def fail_with(self, error: FoxAPIError, code: Exit) -> Exit:
        """Tell what ended the command, in words and as JSON, and return the exit code."""
        self.fail(str(error))
        self.document(error_json(error, code))
        return code

    def hold(self) -> None:
        """Keep results back while progress bars are drawn on the same terminal."""
        if self.output.isatty():
            self._held = []

    def release(self) -> None:
        """Print what was kept back."""
        held, self._held = self._held, None
        for text in held or ():
            self._print(text)

    def leave(self) -> None:
        """Give the terminal back as it was, because the process ends without cleaning up."""
        self.console.show_cursor()

    def finish(self, code: Exit) -> Exit:
        """Send what has been printed, and return the code to end with: also of results that are lost."""
        trouble = self.output.finish()
        if trouble is not None:
            self.fail(f"not all results could be printed: {trouble.strerror or trouble}")
            code = gravest([code, Exit.UNPRINTED])
        self.error_stream.finish()
        return code

    def _print(self, text: str) -> None:
        if self._held is not None:
            self._held.append(text)
            return
        self.output.write(text + "\n")
        self.output.flush()

    def _tell(self, text: str, style: str) -> None:
        for line in text.split("\n"):
            self.console.print(Text(plain(line), style=style))

    def _log(self, *, verbose: bool) -> None:
        logger = logging.getLogger("foxapi_async")
        # Without a handler of its own the package's warnings would come out once more, bare. Its errors
        # are told to nobody else: the id of a task, say, that a full disk keeps from being written.
        lines = _Lines(self)
        lines.setLevel(logging.DEBUG if verbose else logging.ERROR)
        logger.handlers = [lines]
        logger.propagate = False
        logger.setLevel(logging.DEBUG if verbose else logging.WARNING)


class _Lines(logging.Handler):
    """Log records as dim lines among the others, so that progress bars stay whole."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen
        self.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(name)s  %(message)s", "%H:%M:%S")
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            for line in text.splitlines():
                self._screen.console.print(Text(plain(line), style="dim"))
        except Exception:  # noqa: BLE001 - what cannot be told must not end the work
            self.handleError(record)
