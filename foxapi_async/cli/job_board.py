"""How far a job is, as text and drawn; the same for a run and for whoever watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foxapi_async.cli import job_report
from foxapi_async.cli.console import printable
from foxapi_async.cli.formatting import count, rate_text, remaining_time

if TYPE_CHECKING:
    from foxapi_async.bulk import RunProgress


def board(progress: RunProgress, drawn: tuple[int, int] | None = None) -> RenderableType:
    """Draw the progress of a run; for ``drawn`` see `progress_text`."""
    summary = progress.summary
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    share = summary.decided / summary.requests if summary.requests else 0.0
    bar = ProgressBar(1.0, share, complete_style="cyan", finished_style="green", pulse=False)
    table.add_row(bar, f"{summary.decided:,} of {summary.requests:,}  {100 * share:.0f} %")
    # The console of messages does not wrap.
    text = Text(printable(progress_text(progress, drawn)), "dim", no_wrap=False, overflow="fold")
    return Group(table, text)


def progress_text(progress: RunProgress, drawn: tuple[int, int] | None = None) -> str:
    """Return the progress of a run in one line; ``drawn`` is that of its contact sheet, if known."""
    summary = progress.summary
    parts = [job_report.counts_text(summary)]
    if rate := progress.images_per_minute:
        parts.append(rate_text(rate))
    parts.append(f"{count(summary.in_flight, 'task')} in flight")
    if progress.paused_since is not None:
        since = progress.paused_since.astimezone()
        parts.append(f"submissions are paused since {since:%H:%M:%S}")
    if progress.stage == "table":
        parts.append("writing the table of results")
    if progress.stage == "sheet":
        part = f": {drawn[0]:,} of {count(drawn[1], 'picture')}" if drawn else ""
        parts.append(f"writing the contact sheet{part}")
    left = remaining_time(summary.not_submitted, progress.requests_per_minute)
    if left is not None and progress.stage == "running":
        parts.append(f"about {left} left")
    return "  ·  ".join(parts)


def waiting_text(progress: RunProgress, grace: float | None = None) -> str:
    """Return what a run that submits nothing more waits for, and at most how long."""
    parts = ["submissions under way"] if grace is not None else []
    if progress.summary.in_flight:
        parts.append(f"{count(progress.summary.in_flight, 'task')} in flight")
    if progress.saving:
        parts.append(f"the files of {count(progress.saving, 'task')}")
    text = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return text if grace is None or len(parts) == 1 else f"{text}, at most {grace:g} s"
