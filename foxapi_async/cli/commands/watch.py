"""`foxapi watch`: the progress of the runs of a directory, from another terminal."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from rich.console import Group, RenderableType
from rich.text import Text
from typer import Argument

from foxapi_async.cli.console import printable
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.job_board import board, progress_text
from foxapi_async.cli.job_status import print_job_status
from foxapi_async.cli.places import records_of
from foxapi_async.cli.progress import live
from foxapi_async.errors import InvalidRequestError

if TYPE_CHECKING:
    from foxapi_async.bulk import RunRecord

_PERIOD: Final = 1.0
"""Seconds between two looks: runs report about once a second."""

_LINE_PAUSE: Final = 30.0  # Seconds between two lines where nothing is drawn


def watch(
    context: CommandContext,
    *,
    directory: Annotated[
        Path,
        Argument(
            metavar="DIR", parser=records_of, help="The directory of a job: the -o of `foxapi run`."
        ),
    ],
) -> ExitCode:
    """Show the progress of the runs at work on a directory until they end; Ctrl-C ends only the watching.

    It may be called from any terminal that sees the directory. Nothing is asked at the service.
    """
    from foxapi_async.bulk import RunLog  # noqa: PLC0415 - loads aiohttp

    console = context.console
    console.dated = True
    log = RunLog(directory.expanduser())
    if not log.directory.is_dir():
        raise InvalidRequestError(f"{directory} is not a directory", field="directory")
    watched = _Watched()
    next_line = time.monotonic()
    bars = live(console, watched.render, 2) if console.shows_bars else nullcontext()
    with bars:
        while watched.update(log.live()):
            if not console.shows_bars and time.monotonic() >= next_line:
                next_line = time.monotonic() + _LINE_PAUSE
                for run in watched.runs:
                    if run.progress is not None:
                        console.info(progress_text(run.progress))
            time.sleep(_PERIOD)
    return print_job_status(console, log.directory)


class _Watched:
    """The runs that are watched, drawn one below the other."""

    def __init__(self) -> None:
        self.runs: list[RunRecord] = []

    def update(self, runs: list[RunRecord]) -> bool:
        """Take the runs as they are now; return whether there are some."""
        self.runs = runs
        return bool(runs)

    def render(self) -> RenderableType:
        parts: list[RenderableType] = []
        for run in self.runs:
            if len(self.runs) > 1:
                name = f"process {run.pid} on {run.host}, {run.job.name}"
                parts.append(Text(printable(name), no_wrap=False, overflow="fold"))
            if run.progress is not None:
                parts.append(board(run.progress))
        return Group(*parts)
