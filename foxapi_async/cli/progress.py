"""Progress of tasks: bars on a terminal, one line per event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from foxapi_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    Event,
    FoxAPIError,
    InvalidResponseError,
    TaskStatus,
    events,
)
from foxapi_async.cli.console import Console, printable
from foxapi_async.cli.formatting import count, duration, file_size, status_text
from foxapi_async.cli.repeats import Repeats
from foxapi_async.cli.task_state import TaskState, TaskStates, progress_of

_BAR: Final = 16
_PERCENT: Final = len("~95 %")
_SECONDS: Final = len("59.9 s")
_STAGE: Final = 12
"""Widths of columns in characters; labels and stages get at least ``_STAGE``."""

_FRAMES_PER_SECOND: Final = 10
_MARGIN: Final = 4  # Lines of the terminal that the bars leave free


@contextmanager
def show_progress(
    console: Console, states: TaskStates
) -> Generator[Callable[[Event], None], None, None]:
    """Show progress within the block; yield the function that takes the session's events."""
    retries = RetryMessages(console)
    lines = None if console.shows_bars else _EventLines(console)

    def on_event(event: Event) -> None:
        states.update(event)
        if lines is not None:
            lines.print_event(event)
        retries.print_event(event)

    try:
        if lines is not None:
            yield on_event
            return
        with live(console, ProgressBars(console, states).render, _FRAMES_PER_SECOND):
            yield on_event
    finally:
        retries.finish()


@contextmanager
def live(
    console: Console, render: Callable[[], RenderableType], frames_per_second: float
) -> Generator[None, None, None]:
    """Redraw something on the terminal within the block; results are printed after it."""
    drawing = Live(
        console=console.rich,
        get_renderable=render,
        refresh_per_second=frames_per_second,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with console.results_held(), drawing:
        yield


class ProgressBars:
    """Draws one row per task."""

    def __init__(self, console: Console, states: TaskStates) -> None:
        self._console = console.rich
        self._states = states
        unicode = console.error_stream.is_unicode
        self._spinner = Spinner("dots" if unicode else "line", style="cyan")
        done, failed, unfinished = ("✓", "✗", "…") if unicode else ("+", "x", ".")
        self._done = Text(done, "green")
        self._failed = Text(failed, "red")
        self._unfinished = Text(unfinished, "yellow")

    def render(self) -> RenderableType:
        """Draw the current state; also called by rich's refresh thread."""
        states = list(self._states.by_id.values())
        shown = _visible(states, max(1, self._console.height - _MARGIN))
        now = time.monotonic()
        table = self._table(shown)
        for state in shown:
            table.add_row(*self._row(state, now))
        footer = _footer(states, len(shown), len(self._states.submissions))
        return Group(table, Text(footer, style="dim")) if footer else table

    def _table(self, shown: Sequence[TaskState]) -> Table:
        # Ids and prompts have priority: if the terminal is too narrow, stages are cut.
        room = self._console.width - 1 - _BAR - _PERCENT - _SECONDS - 6
        label = max((cell_len(state.label) for state in shown), default=1)
        label = max(min(label, room - _STAGE), _STAGE)
        stage = max((cell_len(_stage(state)) for state in shown), default=1)
        stage = max(min(stage, room - label), _STAGE)
        table = Table.grid(padding=(0, 1))
        for width in (1, label, _BAR):
            table.add_column(width=width, overflow="ellipsis", no_wrap=True)
        for width in (_PERCENT, _SECONDS):
            table.add_column(width=width, justify="right", no_wrap=True)
        table.add_column(width=stage, overflow="ellipsis", no_wrap=True)
        return table

    def _row(self, state: TaskState, now: float) -> Sequence[RenderableType]:
        progress = progress_of(state, now)
        percent = Text("")
        bar = ProgressBar(total=None, pulse=not state.ended, width=_BAR, animation_time=now)
        if progress is not None:
            prefix, style = ("~", "dim") if progress.estimated else ("", "")
            percent = Text(f"{prefix}{100 * progress.value:.0f} %", style)
            style = _bar_style(state)
            bar = ProgressBar(
                1.0, progress.value, width=_BAR, complete_style=style, finished_style=style
            )
        elif state.ended:
            bar = ProgressBar(1.0, 0.0, width=_BAR)
        return (
            self._mark(state),
            Text(printable(state.label)),
            bar,
            percent,
            Text(duration(state.age(now)), style="" if state.ended else "cyan"),
            Text(printable(_stage(state)), style="dim"),
        )

    def _mark(self, state: TaskState) -> RenderableType:
        if not state.ended or state.unsaved:
            return self._spinner
        if state.completed:
            return self._done
        return self._unfinished if state.unfinished else self._failed


class _EventLines:
    """Prints a line for each event that a person waits for. The command prints errors itself."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed: dict[str, str] = {}

    def print_event(self, event: Event) -> None:
        match event:
            case events.TaskSubmitted(task, request):
                outputs = count(request.num_outputs, "output")
                seconds = task.task_info.estimated_time
                estimate = "" if seconds is None else f", about {duration(seconds)}"
                self._console.info(f"task {task.id}: submitted, {outputs}{estimate}")
            case events.TaskUpdated(task):
                progress = "" if task.progress is None else f", {task.progress} %"
                text = f"{status_text(task)}{progress}"
                # A completed task has a line of its own, and nothing is printed twice.
                if task.status is not TaskStatus.COMPLETED and self._printed.get(task.id) != text:
                    self._printed[task.id] = text
                    self._console.info(f"task {task.id}: {text}")
            case events.TaskEnded(task_id, error=None, seconds=seconds):
                self._console.info(f"task {task_id}: completed after {duration(seconds)}")
            case events.Downloaded(_, path, size=size):
                self._console.info(f"saved {path} ({file_size(size)})")
            case _:
                pass


class RetryMessages:
    """Prints what fails and is retried. What repeats is counted: one cause, one line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._repeats = Repeats()

    def print_event(self, event: Event) -> None:
        """Print a message if the event is a new kind of failure, or if a count of it is due."""
        match event:
            case events.RateLimited(retry_after):
                pause = "" if retry_after is None else f"; it asks to wait {duration(retry_after)}"
                text = f"the server limits the rate (429): slowing down{pause}"
                self._print("429 (the server limits the rate)", text)
            case events.SubmissionsPaused(since, reason, next_try):
                self._console.info(
                    f"submissions are paused since {since.astimezone():%H:%M:%S}, because {reason}; "
                    f"next try in {duration(next_try)}",
                    "yellow",
                )
            case events.SubmissionsResumed(seconds):
                self._console.info(f"submissions go on after a pause of {duration(seconds)}")
            case events.PollFailed(task_id, error):
                text = f"task {task_id}: a poll failed and is repeated: {error}"
                self._print(f"{_cause_of(error)} on polls", text)
            case _:
                pass

    def finish(self) -> None:
        """Print the counts that were not printed yet."""
        for line in self._repeats.rest():
            self._console.info(line, "yellow")

    def _print(self, cause: str, text: str) -> None:
        line = self._repeats.add(cause, datetime.now().astimezone())
        if line is not None:
            self._console.info(line or text, "yellow")


def _cause_of(error: FoxAPIError) -> str:
    """Return what the errors of one cause have in common."""
    if isinstance(error, APIStatusError):
        return f"{error.status}" + (f" ({error.code})" if error.code else "")
    if isinstance(error, APITimeoutError):
        return "no answer in time"
    if isinstance(error, InvalidResponseError):
        return "unusable answers"
    return "no connection" if isinstance(error, APIConnectionError) else type(error).__name__


def _stage(state: TaskState) -> str:
    if not state.ended:
        return status_text(state.task)
    if state.unfinished:
        return "unfinished"
    if state.error is not None:
        error = state.task.error
        status = "not found" if state.not_found else status_text(state.task)
        return status if error is None or error.code is None else f"{status}: {error.code}"
    if state.saved:
        return f"{len(state.saved)} of {state.files} saved" if state.unsaved else "saved"
    return "downloading" if state.downloading else "completed"


def _bar_style(state: TaskState) -> str:
    if not state.ended:
        return "cyan"
    if state.completed:
        return "green"
    return "yellow" if state.unfinished else "red"


def _visible(states: Sequence[TaskState], lines: int) -> Sequence[TaskState]:
    # If there is no room for all tasks, those under way are shown.
    if len(states) <= lines:
        return states
    return [state for state in states if not state.ended or state.unsaved][:lines]


def _footer(states: Sequence[TaskState], shown: int, submissions: int) -> str:
    parts: list[str] = []
    if submissions:
        parts.append(f"{count(submissions, 'submission')} under way")
    if hidden := len(states) - shown:
        done = sum(state.completed for state in states)
        parts.append(f"{count(hidden, 'task')} not shown, {done:,} of {len(states):,} completed")
    return "; ".join(parts)
