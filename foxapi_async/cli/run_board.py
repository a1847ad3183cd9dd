"""How far a job is: two lines drawn again and again on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foxapi_async._concurrency import finish_despite_cancellation
from foxapi_async.bulk import JobRun, Result, Summary
from foxapi_async.bulk.results_file import lasting
from foxapi_async.cli.run_words import Meter, standing_of, time_left
from foxapi_async.cli.screen import Screen
from foxapi_async.cli.streams import plain
from foxapi_async.cli.words import count

__all__ = ["RunBoard"]

_FRAMES: Final = 4
"""Drawings in a second."""

_FIRST_LINE: Final = 5.0
_LONGEST: Final = 60.0
"""Seconds until the first line and, growing, between two lines where nothing can be drawn."""

_LOOK: Final = 0.25
"""Seconds between two looks whether the run has stopped submitting: no result may tell of it."""

_TROUBLES: Final = 20
"""Failures that are told one by one; the others are counted."""


class RunBoard:
    """Shows how far a job is."""

    def __init__(self, screen: Screen, run: JobRun) -> None:
        self._screen = screen
        self._run = run
        self._images = Meter()
        self._requests = Meter()
        self._told = 0
        self._hidden: set[bool] = set()
        self._said_that_it_stopped = False

    @asynccontextmanager
    async def shown(self) -> AsyncGenerator[None, None]:
        """Show it within the block."""
        if damaged := self._run.results.damaged:
            lines = count(damaged, "line")
            self._screen.warn(f"{lines} of {self._run.results.path} cannot be read and are skipped")
        watching = [self._watch()]
        with self._drawn() as is_drawn:
            if not is_drawn and not self._screen.quiet:
                watching.append(self._tell_now_and_then())
            # No task group: what ends the run must come out of the block as it is.
            tasks = [asyncio.create_task(each, name="foxapi progress") for each in watching]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await finish_despite_cancellation(lambda: asyncio.wait(tasks))

    @contextmanager
    def _drawn(self) -> Generator[bool, None, None]:
        """Draw again and again within the block, where that can be done and is wanted."""
        if self._screen.quiet or not self._screen.is_terminal:
            yield False
            return
        self._screen.hold()
        live = Live(
            console=self._screen.console,
            get_renderable=self.render,
            refresh_per_second=_FRAMES,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        try:
            with live:
                yield True
        finally:
            self._screen.release()

    def note(self, result: Result) -> None:
        """Tell of a request that went wrong."""
        if result.status == "completed":
            return
        self._told += 1
        if self._told <= _TROUBLES:
            words = result.error or result.error_code
            self._screen.warn(f"line {result.line}: {result.status}: {words}")
        else:
            self._hide(result)
        self._tell_if_stopped()

    def _hide(self, result: Result) -> None:
        is_written = bool(lasting([result]))
        if is_written in self._hidden:
            return
        self._hidden.add(is_written)
        where = self._run.summary.results
        self._screen.warn(
            f"more of them are in {where}"
            if is_written
            else f"more lines, from line {result.line} on, are {_in_words(result.status)}: they are only "
            "counted, and the next run takes them up"
        )

    def _tell_if_stopped(self) -> None:
        summary = self._run.summary
        if summary.stopped is None or self._said_that_it_stopped:
            return
        self._said_that_it_stopped = True
        if summary.interrupted:  # who asked for it was answered
            return
        home = f"; {count(summary.in_flight, 'task')} in flight will be brought home"
        self._screen.warn(
            f"nothing more is submitted: {summary.stopped}{home if summary.in_flight else ''}"
        )

    def render(self) -> RenderableType:
        """Draw what is known now; called by another thread as well."""
        summary = self._look()
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=1)
        table.add_column(justify="right", no_wrap=True)
        share = summary.decided / summary.requests
        bar = ProgressBar(1.0, share, complete_style="cyan", finished_style="green", pulse=False)
        table.add_row(bar, f"{summary.decided:,} of {summary.requests:,}  {100 * share:.0f} %")
        return Group(table, Text(plain(self._words(summary)), style="dim"))

    def _look(self) -> Summary:
        summary, now = self._run.summary, time.monotonic()
        self._images.note(now, summary.fetched)
        self._requests.note(now, summary.decided - summary.from_journal)
        return summary

    def _words(self, summary: Summary) -> str:
        rate = self._images.per_minute()
        parts = [standing_of(summary)]
        if rate:
            parts.append(f"{rate:.0f} images/min" if rate >= 10 else f"{rate:.1f} images/min")  # noqa: PLR2004
        parts.append(f"{count(summary.in_flight, 'task')} in flight")
        left = time_left(summary.not_submitted, self._requests.per_minute())
        if left is not None and summary.stopped is None:
            parts.append(f"about {left} left")
        return "  ·  ".join(parts)

    async def _watch(self) -> None:
        while True:
            self._tell_if_stopped()
            await anyio.sleep(_LOOK)

    async def _tell_now_and_then(self) -> None:
        pause = _FIRST_LINE
        while True:
            self._look()
            await anyio.sleep(pause)
            self._screen.say(self._words(self._look()))
            pause = min(pause * 1.5, _LONGEST)


def _in_words(status: str) -> str:
    return status.replace("_", " ")
