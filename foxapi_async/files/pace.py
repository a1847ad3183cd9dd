"""When a download has stalled, and when the process has no descriptors left for it."""

from __future__ import annotations

import errno
import logging
import random
import socket
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

import anyio
import attrs

from foxapi_async._concurrency import run_in_thread
from foxapi_async.errors import FoxAPIError
from foxapi_async.retry import backoff

T = TypeVar("T")
P = TypeVarTuple("P")

MIN_RATE: Final = 1024
"""Bytes per second below which a download counts as stalled."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_DOUBTFUL: Final = 3
"""Attempts at a database that cannot be opened, whatever the reason."""

_OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})

_log = logging.getLogger("foxapi_async.files")


@attrs.define
class Pace:
    """Judges a transfer by the bytes that came in while it was waited for, in periods of ``stall`` seconds.

    Time that the disk takes does not count, because the server is not to blame for it.
    """

    stall: float
    _waited: float = 0.0
    _received: int = 0

    def is_stalled(self, waited: float, received: int) -> bool:
        """Add a wait of so many seconds, which brought so many bytes; return whether that is too slow."""
        self._waited += waited
        self._received += received
        if self._waited < self.stall:
            return False
        is_slow = self._received < MIN_RATE * self._waited
        self._waited, self._received = 0.0, 0
        return is_slow


def is_out_of_descriptors(error: BaseException | None) -> bool:
    """Return whether an error came from having no file descriptor left."""
    while error is not None:
        number = getattr(error, "errno", None)
        if number in _OUT_OF_DESCRIPTORS:
            return True
        if number is not None and number > 0:  # any other reason
            return False
        error = error.__cause__
    # Resolving a host name and SQLite fail without saying why.
    try:
        socket.socket().close()
    except OSError as trouble:
        return trouble.errno in _OUT_OF_DESCRIPTORS
    return False


async def pause_for_descriptors(attempt: int) -> None:
    """Wait before the next attempt to get a descriptor; ``attempt`` counts from 1."""
    if attempt == 1:
        _log.warning(
            "no file descriptors are left (see `ulimit -n`); downloads pause until some are free"
        )
    await anyio.sleep(
        backoff(attempt, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE, jitter=random.random())  # noqa: S311
    )


async def run_with_descriptors(function: Callable[[*P], T], *args: *P) -> T:
    """Run a function in a worker thread, again and again while it finds no descriptor.

    The function must have changed nothing when it raises for that reason.
    """
    attempt = 0
    while True:
        try:
            return await run_in_thread(function, *args)
        except (OSError, FoxAPIError) as error:
            # SQLite (which most sessions do not load) does not say why, and meanwhile a descriptor
            # may have become free.
            may_be = attempt < _DOUBTFUL and type(error.__cause__).__module__ == "sqlite3"
            if not may_be and not is_out_of_descriptors(error):
                raise
        attempt += 1
        await pause_for_descriptors(attempt)
