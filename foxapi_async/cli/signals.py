"""Run a coroutine so that Ctrl-C, SIGTERM and a closed terminal end it cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

from foxapi_async.cli.exit_codes import ExitCode

T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818 - an interrupt is not an error
    """A signal ended the work; everything under way has been finished or undone."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code.name)
        self.code = code


def run_interruptible(
    main: Coroutine[Any, Any, T],
    *,
    on_first: Callable[[int], object] = lambda _: None,
    on_second: Callable[[], None] = lambda: None,
) -> T:
    """Run a coroutine in its own event loop; raise `Interrupted` if a signal arrived.

    The first signal cancels the coroutine, unless ``on_first``, which gets its number, returns True
    because it has told the coroutine to finish by itself. A POST under way is finished in both cases. The second signal, like
    SIGQUIT, ends the process right after ``on_second``.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)

        def interrupt(number: int) -> None:
            if on_first(number) is not True:
                task.cancel()

        received = _SignalReceiver(
            lambda number: loop.call_soon_threadsafe(interrupt, number), on_second
        )
        try:
            with received.installed():
                result = loop.run_until_complete(task)
        except asyncio.CancelledError:
            if received.first is None:
                raise
            raise Interrupted(_exit_code(received.first)) from None
        if received.first is not None:
            raise Interrupted(_exit_code(received.first))
        return result


class _SignalReceiver:
    def __init__(self, on_first: Callable[[int], object], on_second: Callable[[], None]) -> None:
        self.first: int | None = None
        self._on_first = on_first
        self._on_second = on_second

    @contextmanager
    def installed(self) -> Generator[None, None, None]:
        before = {number: signal.signal(number, self._handle) for number in _signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number == _QUIT:
            self._on_second()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif self.first is None:
            self.first = number
            self._on_first(number)
        elif number != _HANGUP:
            # A second hang-up does not count: the shell and the kernel may both report one closed
            # terminal.
            self._on_second()
            os._exit(_exit_code(number))


# Windows has neither.
_HANGUP: Final[signal.Signals | None] = getattr(signal, "SIGHUP", None)
_QUIT: Final[signal.Signals | None] = getattr(signal, "SIGQUIT", None)


def _signals() -> list[signal.Signals]:
    signals = [signal.SIGINT, signal.SIGTERM]
    # `nohup` keeps a program alive after its terminal by having the signal ignored.
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        signals.append(_HANGUP)
    return signals if _QUIT is None else [*signals, _QUIT]


def _exit_code(number: int) -> ExitCode:
    if number == _HANGUP:
        return ExitCode.HUNG_UP
    return ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
