"""Standard streams that bear any text, a reader who has gone, and a disk that is full."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, TextIO

__all__ = ["Stream", "plain", "standard_error", "standard_output"]

_EXACT: Final = "foxapi.exact"
_SPOKEN: Final = "foxapi.spoken"
"""How characters that an encoding lacks are written: results so that none is taken for another, words
for people so that they can be read."""

_PLAINER: Final = {"·": "|", "…": "..."}


class Stream:
    """A text stream whose reader may go away (`| head -1`), or whose disk may be full.

    The work goes on in either case: giving it up would lose what is paid for. It is no
    `io.TextIOBase`, because that would close itself when it is collected, and with it a stream that is
    not its own.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream  # None if the shell has closed it: `>&-`
        self.trouble: OSError | None = None
        """Why something could not be written; None also if nobody reads any more."""

    @property
    def encoding(self) -> str:
        """The encoding of the stream beneath."""
        return getattr(self._stream, "encoding", None) or "ascii"

    @property
    def is_unicode(self) -> bool:
        """Whether the stream can show more than ASCII."""
        return codecs.lookup(self.encoding).name.startswith("utf")

    def isatty(self) -> bool:
        """Return whether a person sits at the other end."""
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write a text, if that can be done; a later one is tried again."""
        with self.troubles_borne() as stream:
            if stream is not None:
                stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Send what has been written, if that can be done."""
        with self.troubles_borne() as stream:
            if stream is not None:
                stream.flush()

    def finish(self) -> OSError | None:
        """Send what has been written for the last time; return why not all of it could be."""
        try:
            if self._stream is not None:
                self._stream.flush()
        except OSError as error:
            self._write_no_more()
            if not isinstance(error, BrokenPipeError):
                self.trouble = self.trouble or error
        return self.trouble

    @contextmanager
    def troubles_borne(self) -> Generator[TextIO | None, None, None]:
        """Go on after the block, whether or not what it writes can be written."""
        try:
            yield self._stream
        except BrokenPipeError:
            self._write_no_more()
        except OSError as error:
            # Not for good: a disk that is full now may have room for the last words of a long run.
            self.trouble = self.trouble or error

    def _write_no_more(self) -> None:
        assert self._stream is not None
        # What is left in the buffer is flushed once more when the interpreter ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def standard_output() -> Stream:
    """Return the stream for results."""
    return _opened(sys.stdout, _EXACT)


def standard_error() -> Stream:
    """Return the stream for everything that is no result."""
    return _opened(sys.stderr, _SPOKEN)


def plain(text: str) -> str:
    """Return a text without what a terminal would obey: control characters become spaces."""
    return "".join(" " if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text)  # noqa: PLR2004


def _opened(stream: TextIO | None, errors: str) -> Stream:
    opened = Stream(stream)
    reconfigure: Callable[..., None] | None = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        with opened.troubles_borne():  # it flushes
            reconfigure(errors=errors)
    return opened


def _exact(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write the raw bytes of a file name as they are, and anything else as a backslash escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return b"".join(map(_raw, error.object[error.start : error.end])), error.end


def _spoken(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write our own typography in plain ASCII, and anything else as `_exact` does."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return b"".join(
        _PLAINER[c].encode() if c in _PLAINER else _raw(c) for c in characters
    ), error.end


def _raw(c: str) -> bytes:
    if 0xDC80 <= ord(c) <= 0xDCFF:  # noqa: PLR2004 - how os.fsdecode hides an odd byte
        return bytes([ord(c) - 0xDC00])
    return c.encode("ascii", "backslashreplace")


codecs.register_error(_EXACT, _exact)
codecs.register_error(_SPOKEN, _spoken)
