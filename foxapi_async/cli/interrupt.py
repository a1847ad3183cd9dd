"""Run a coroutine that Ctrl-C and SIGTERM end in good order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

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
    process at once.

    Args:
        main: The coroutine.
        on_first: Called after the first signal, in the loop.
        on_second: Called after the second signal, last of all.

    Raises:
        Interrupted: A signal came.
    """
    caught: list[int] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        work = loop.create_task(main)

        def end_it() -> None:
            if on_first() is not True:
                work.cancel()

        def on_signal(number: int, _frame: FrameType | None) -> None:
            caught.append(number)
            if len(caught) == 1:
                loop.call_soon_threadsafe(end_it)
                return
            on_second()
            os._exit(_code(number))

        before = {number: signal.signal(number, on_signal) for number in _signals()}
        try:
            result = loop.run_until_complete(work)
        except asyncio.CancelledError:
            if not caught:
                raise
            raise Interrupted(_code(caught[0])) from None
        else:
            if caught:
                raise Interrupted(_code(caught[0]))
            return result
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _signals() -> tuple[signal.Signals, ...]:
    return (signal.SIGINT, signal.SIGTERM)


def _code(number: int) -> Exit:
    return Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED
