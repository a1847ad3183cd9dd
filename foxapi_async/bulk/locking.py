"""One process at a time in a file that several may append to."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["locked"]

if sys.platform == "win32":

    @contextmanager
    def locked(descriptor: int) -> Generator[None, None, None]:
        """Hold the file within the block; not on Windows, where one process at a time may run a job."""
        del descriptor
        yield

else:
    import fcntl

    @contextmanager
    def locked(descriptor: int) -> Generator[None, None, None]:
        """Hold the file within the block; the kernel lets go of it when the process dies."""
        # flock and not lockf: a lock of the latter is lost when any descriptor of the file closes.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
