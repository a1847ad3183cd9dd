"""Output of a command: results go to standard output, everything else to standard error."""

from __future__ import annotations

import codecs
import logging
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Final, TextIO, cast

from rich.console import Console as RichConsole
from rich.text import Text

from foxapi_async.cli.exit_codes import ExitCode, most_severe
from foxapi_async.cli.formatting import json_text
from foxapi_async.cli.log_file import LogFile
from foxapi_async.cli.repeats import Repeats


class OutputStream:
    """A text stream whose reader may disappear (`| head -1`), or whose disk may be full.

    The work goes on in either case, because ending it would lose billed images. This is not an
    `io.TextIOBase`: one would close the underlying stream when it is collected.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream  # None if the shell has closed it: `>&-`
        self.write_error: OSError | None = None
        """Why something could not be written; a reader that disappeared does not count."""

    @property
    def encoding(self) -> str:
        """The encoding of the underlying stream."""
        return getattr(self._stream, "encoding", None) or "ascii"

    @property
    def is_unicode(self) -> bool:
        """Whether the stream can show more than ASCII."""
        return codecs.lookup(self.encoding).name.startswith("utf")

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write a text if possible. After a failure, later texts are tried again."""
        with self.errors_caught() as stream:
            if stream is not None:
                stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Send what has been written, if possible."""
        with self.errors_caught() as stream:
            if stream is not None:
                stream.flush()

    def finish(self) -> OSError | None:
        """Flush for the last time; return why not everything could be written."""
        with self.errors_caught() as stream:
            try:
                if stream is not None:
                    stream.flush()
            except OSError:
                self._discard()
                raise
        return self.write_error

    @contextmanager
    def errors_caught(self) -> Generator[TextIO | None, None, None]:
        """Continue after the block even if its writing fails."""
        try:
            yield self._stream
        except BrokenPipeError:
            self._discard()
        except OSError as error:
            # Later writes are still tried: the disk may have room again at the end of a long run.
            self.write_error = self.write_error or error

    def _discard(self) -> None:
        assert self._stream is not None
        # The interpreter flushes the rest of the buffer at its exit, which must not fail again.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self._stream.fileno())
        os.close(devnull)


def standard_output() -> OutputStream:
    """Return the stream for results; it shows unencodable characters as escapes."""
    return _tolerant(sys.stdout, _ESCAPE)


def standard_error() -> OutputStream:
    """Return the stream for everything else; it replaces some characters by plainer ones."""
    return _tolerant(sys.stderr, _SIMPLIFY)


def printable(text: str) -> str:
    """Return a text with spaces for what a terminal interprets or a reader cannot see.

    That is: controls, line and paragraph separators, and format characters, which can reorder a line
    (bidi controls) or hide in it. The joiners within emoji and words stay.
    """
    if text.isascii() and text.isprintable():
        return text
    # Together such bytes may be a control character in UTF-8.
    text = re.sub(f"[{_RAW_BYTES[0]}-{_RAW_BYTES[-1]}]+", _decode_again, text)
    return "".join(
        " " if unicodedata.category(c) in _INVISIBLE and c not in _JOINERS else c for c in text
    )


_RAW_BYTES: Final = "\udc80\udcff"
"""The range in which os.fsdecode keeps undecodable bytes."""

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})
_JOINERS: Final = "\u200c\u200d"


def _decode_again(raw: re.Match[str]) -> str:
    return raw[0].encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


_COLUMNS: Final = re.compile(r" +\w+ {2,}(?=\S)")
"""The beginning of a line in columns: a name, indented, and at least two spaces before what is told of it."""

_NARROWEST: Final = 16  # Characters of a line that is broken


class Console:
    """The output streams of a command."""

    def __init__(
        self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.output: OutputStream = standard_output()
        self.error_stream: OutputStream = standard_error()
        self.rich: RichConsole = RichConsole(
            file=cast("IO[str]", self.error_stream),
            force_terminal=None if self.error_stream.isatty() else False,
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=True,
        )
        self.dated: bool = False
        """Whether each line on standard error has date and time, unless that is a terminal."""
        self.last_document: Mapping[str, object] = {}
        """What `document` was given last, whether or not it was printed."""
        self._log_file: LogFile | None = None
        self._log_repeats = Repeats()
        self._held: list[str] | None = None
        self._configure_log(verbose=verbose)

    @property
    def shows_bars(self) -> bool:
        """Whether standard error is a terminal that can redraw lines, and bars are wanted."""
        return self.is_terminal and not self.quiet

    @property
    def is_terminal(self) -> bool:
        """Whether standard error is a terminal that can redraw lines."""
        return self.error_stream.isatty() and not self.rich.is_dumb_terminal

    def result(self, text: str) -> None:
        """Print a line of the result, unless the result is JSON."""
        if not self.as_json:
            self._print(printable(text))

    def document(self, **fields: object) -> None:
        """Print a JSON object on one line (indented on a terminal), if the result is JSON."""
        self.last_document = fields
        if self.as_json:
            indent = 2 if self.output.isatty() else None
            self._print(json_text(fields, indent=indent))

    def info(self, text: str, style: str = "") -> None:
        """Print to standard error, unless the command is quiet."""
        self._print_message(text, style, shown=not self.quiet)

    def warning(self, text: str) -> None:
        """Print a warning to standard error, even if the command is quiet."""
        self._print_message(text, "yellow")

    def error(self, text: str) -> None:
        """Print an error to standard error."""
        self._print_message(f"foxapi: {text}", "red")

    @contextmanager
    def results_held(self) -> Generator[None, None, None]:
        """Print results after the block if they would disturb bars on the same terminal."""
        if self.output.isatty():
            self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            for text in held or ():
                self._print(text)

    def finish(self, code: ExitCode) -> ExitCode:
        """Flush both streams and return the exit code, which also covers results that are lost."""
        for line in self._log_repeats.rest():
            self.warning(line)
        error = self.output.finish()
        if error is not None:
            self.error(f"not all results could be printed: {error.strerror or error}")
            code = most_severe([code, ExitCode.NOT_PRINTED])
        self.error_stream.finish()
        return code

    def _print(self, text: str) -> None:
        if self._held is not None:
            self._held.append(text)
            return
        self.output.write(text + "\n")
        self.output.flush()

    def log_to(self, path: Path) -> None:
        """Append all messages, and the log at INFO, to a file as well, each with date and time.

        Raises:
            ConfigurationError: The file cannot be opened.
        """
        self._log_file = LogFile(path)
        handler = _LogHandler(self._log_file.write)
        handler.setLevel(logging.INFO)
        logger = logging.getLogger("foxapi_async")
        logger.addHandler(handler)
        logger.setLevel(min(logger.level, logging.INFO))

    def log_warnings(self) -> None:
        """Print the warnings of the log, too, for a command that runs for long and shows little else."""
        for handler in logging.getLogger("foxapi_async").handlers:
            handler.removeFilter(_is_shown)

    def _print_message(self, text: str, style: str, *, shown: bool = True) -> None:
        now = datetime.now().astimezone()
        stamp = f"{now:%Y-%m-%d %H:%M:%S} " if self._is_dated else ""
        for line in text.split("\n"):
            if shown:
                for part in self._wrapped(Text(stamp + printable(line), style=style)):
                    self.rich.print(part)
            if self._log_file is not None and not self._log_file.write(printable(line)):
                self._report_log_file()

    def _wrapped(self, line: Text) -> Iterable[Text]:
        """Return the parts of a line between whose words a terminal is to break it.

        What is in columns goes on below its second one. Any other line that begins with a space is left to
        the terminal: it may be a command, which can be pasted only if it is one line.
        """
        columns = _COLUMNS.match(line.plain)
        if not self.is_terminal or (columns is None and line.plain.startswith(" ")):
            return [line]
        indent = columns.end() if columns is not None else 0
        head, rest = line[:indent], line[indent:]
        parts = rest.wrap(self.rich, max(self.rich.width - indent, _NARROWEST), overflow="fold")
        return [(head if not i else Text(" " * indent)) + part for i, part in enumerate(parts)]

    @property
    def _is_dated(self) -> bool:
        return self.dated and not self.error_stream.isatty()

    def _report_log_file(self) -> None:
        log_file, self._log_file = self._log_file, None
        assert log_file is not None
        # Only here, because this message must not be written to the file.
        self.warning(f"the log file {log_file.path} cannot be written: {log_file.error}")
        self._log_file = log_file

    def _configure_log(self, *, verbose: bool) -> None:
        logger = logging.getLogger("foxapi_async")
        # Without a handler, logging would print the package's warnings a second time. Errors are
        # always shown because nothing else reports them: a task id that a full disk keeps out of the
        # journal, for example.
        handler = _LogHandler(
            lambda line: self.rich.print(Text(line, style="dim")),
            "%H:%M:%S" if self.error_stream.isatty() else "%Y-%m-%d %H:%M:%S",
            None if verbose else self._log_repeats,
        )
        handler.setLevel(logging.DEBUG if verbose else logging.WARNING)
        if not verbose:
            handler.addFilter(_is_shown)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.DEBUG if verbose else logging.WARNING)


def _is_shown(record: logging.LogRecord) -> bool:
    # Commands tell themselves what other warnings say.
    return record.levelno >= logging.ERROR or record.name == "foxapi_async.journal.server"


class _LogHandler(logging.Handler):
    """Writes each line of a record; with ``repeats``, equal messages are counted."""

    def __init__(
        self, write: Callable[[str], object], date_format: str = "", repeats: Repeats | None = None
    ) -> None:
        super().__init__()
        self._write = write
        self._repeats = repeats
        time = "%(asctime)s " if date_format else ""
        self.setFormatter(
            logging.Formatter(f"{time}%(levelname)-7s %(name)s  %(message)s", date_format or None)
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._repeats is not None:
                now = datetime.now().astimezone()
                counted = self._repeats.add(record.getMessage(), now)
                if counted is None:
                    return
                if counted:
                    record = logging.makeLogRecord(record.__dict__)
                    record.msg, record.args, record.exc_info = counted, (), None
            for line in self.format(record).split("\n"):
                self._write(printable(line))
        except Exception:  # noqa: BLE001 - a log line that cannot be printed must not end the work
            self.handleError(record)


_ESCAPE: Final = "foxapi.escape"
_SIMPLIFY: Final = "foxapi.simplify"
"""What replaces characters that the encoding lacks: in results escapes, so that two results never look
the same; in messages plainer characters, so that people can read them."""


def _tolerant(stream: TextIO | None, errors: str) -> OutputStream:
    opened = OutputStream(stream)
    reconfigure: Callable[..., None] | None = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        with opened.errors_caught():  # reconfiguring flushes
            reconfigure(errors=errors)
    return opened


def _replace_with(plainer: Mapping[str, str]) -> Callable[[UnicodeError], tuple[bytes, int]]:
    def encode(c: str) -> bytes:
        if _RAW_BYTES[0] <= c <= _RAW_BYTES[-1]:
            return bytes([ord(c) - 0xDC00])
        return plainer.get(c, c).encode("ascii", "backslashreplace")

    def replace(error: UnicodeError) -> tuple[bytes, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return b"".join(map(encode, error.object[error.start : error.end])), error.end

    return replace


codecs.register_error(_ESCAPE, _replace_with({}))
codecs.register_error(_SIMPLIFY, _replace_with({"·": "|", "…": "..."}))
