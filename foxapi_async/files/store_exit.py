"""Lets the threads of obstore end their work with Python before the interpreter does.

They are no threads of Python. One that has told the event loop a result still has to let go of it, and if
the interpreter ends in between, the process dies of SIGABRT instead: of 30 short processes on a busy
machine, 6 did.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from functools import cache
from typing import Final

_PAUSE: Final = 0.03
_LONGEST: Final = 2.0


@cache
def settle_at_exit() -> None:
    """Have `settle` called when the process ends, once."""
    atexit.register(settle)


def settle() -> None:
    """Wait until no foreign thread executes Python, at most two seconds."""
    deadline = time.monotonic() + _LONGEST
    is_settled = False
    while not is_settled and time.monotonic() < deadline:
        time.sleep(_PAUSE)  # also lets a thread begin that is about to
        known = {thread.ident for thread in threading.enumerate()}
        is_settled = not sys._current_frames().keys() - known  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - it is documented
