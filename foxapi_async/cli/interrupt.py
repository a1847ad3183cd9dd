"""Run a coroutine that Ctrl-C, SIGTERM and a terminal that goes away end in good order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

from foxapi_async.cli.exits import Exit

__all__ = ["Interrupted", "run"]

T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """A signal ended the work; all that was under way has been finished or undone."""

    def __init__(self, code: Exit) -> None:
        super().__init__(code.name)
        self.code = code


def run(
    main: Coroutine[Any, Any, T],
    *,
    on_first: Callable[[], object] = lambda: None,
    on_second: Callable[[], None] = lambda: None,
) -> T:
    """Run a coroutine in an event loop of its own.

    The first signal cancels it, unless ``on_first`` returns True because it has told the coroutine to
    come to its end: what must be finished (a POST under way) is finished. The second one ends the
    process at once, and so does SIGQUIT.

    Args:
        main: The coroutine.
        on_first: Called after the first signal, in the loop.
        on_second: Called after the second signal, last of all.

    Raises:
        Interrupted: A signal came.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        work = loop.create_task(main)

        def end_it() -> None:
            if on_first() is not True:
                work.cancel()

        caught = _Caught(lambda: loop.call_soon_threadsafe(end_it), on_second)
        try:
            with caught.listening():
                result = loop.run_until_complete(work)
        except asyncio.CancelledError:
            if caught.first is None:
                raise
            raise Interrupted(_code(caught.first)) from None
        if caught.first is not None:
            raise Interrupted(_code(caught.first))
        return result


class _Caught:
    """The signals of a run: the first one is told, the second one is the end."""

    def __init__(self, on_first: Callable[[], object], on_second: Callable[[], None]) -> None:
        self.first: int | None = None
        self._on_first = on_first
        self._on_second = on_second

    @contextmanager
    def listening(self) -> Generator[None, None, None]:
        """Take the signals within the block."""
        before = {number: signal.signal(number, self._take) for number in _signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if number == _QUIT:
            self._on_second()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif self.first is None:
            self.first = number
            self._on_first()
        elif (
            number != _HANGUP
        ):  # the shell and the system may both tell of one terminal that is gone
            self._on_second()
            os._exit(_code(number))


_HANGUP: Final[signal.Signals | None] = getattr(signal, "SIGHUP", None)
_QUIT: Final[signal.Signals | None] = getattr(signal, "SIGQUIT", None)
"""Windows has neither."""


def _signals() -> list[signal.Signals]:
    signals = [signal.SIGINT, signal.SIGTERM]
    # `nohup` lets a program outlive its terminal by having the signal ignored.
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        signals.append(_HANGUP)
    return signals if _QUIT is None else [*signals, _QUIT]


def _code(number: int) -> Exit:
    if number == _HANGUP:
        return Exit.HUNG_UP
    return Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED
