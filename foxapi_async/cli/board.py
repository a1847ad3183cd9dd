"""Progress bars on a terminal: one row for each task, drawn from what its track says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from foxapi_async.cli.screen import Screen
from foxapi_async.cli.streams import plain
from foxapi_async.cli.tracks import Track, Tracks, share_of
from foxapi_async.cli.words import count, seconds, standing

__all__ = ["Board", "stage"]

_BAR: Final = 16
_PERCENT: Final = len("~95 %")
_SECONDS: Final = len("59.9 s")
_STAGE: Final = 12
"""Columns of a row, in characters; the last two of them at least."""

_FRAMES: Final = 10
"""Drawings in a second."""

_MARGIN: Final = 4
"""Lines of the terminal that are left to others."""


class Board:
    """Draws the tracks while the block runs; the last drawing stays."""

    def __init__(self, screen: Screen, tracks: Tracks) -> None:
        self._screen = screen
        self._tracks = tracks
        self._console: Console = screen.console
        unicode = screen.error_stream.is_unicode
        self._spinner = Spinner("dots" if unicode else "line", style="cyan")
        self._done, self._lost, self._on = ("✓", "✗", "…") if unicode else ("+", "x", ".")
        self._live = Live(
            console=self._console,
            get_renderable=self.render,
            refresh_per_second=_FRAMES,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._screen.hold()
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()
        self._screen.release()

    def render(self) -> RenderableType:
        """Draw what is known now; called by another thread as well."""
        tracks = list(self._tracks.by_id.values())
        shown = _shown(tracks, self._console.height - _MARGIN)
        now = time.monotonic()
        table = self._table(shown)
        for track in shown:
            table.add_row(*self._row(track, now))
        below = _below(tracks, len(shown), len(self._tracks.posts))
        return Group(table, Text(below, style="dim")) if below else table

    def _table(self, shown: Sequence[Track]) -> Table:
        # Ids and prompts come first: what does not fit is cut from what else there is to say.
        room = self._console.width - 1 - _BAR - _PERCENT - _SECONDS - 6
        label = min(max((cell_len(track.label) for track in shown), default=1), room - _STAGE)
        said = max((cell_len(stage(track)) for track in shown), default=1)
        table = Table.grid(padding=(0, 1))
        for width in (1, max(label, _STAGE), _BAR):
            table.add_column(width=width, overflow="ellipsis", no_wrap=True)
        for width in (_PERCENT, _SECONDS):
            table.add_column(width=width, justify="right", no_wrap=True)
        said = max(_STAGE, min(said, room - label))
        table.add_column(width=said, overflow="ellipsis", no_wrap=True)
        return table

    def _row(self, track: Track, now: float) -> Sequence[RenderableType]:
        share = share_of(track, now)
        percent = Text("")
        bar = ProgressBar(total=None, pulse=not track.ended, width=_BAR, animation_time=now)
        if share is not None:
            near = "~" if share.guessed else ""
            percent = Text(f"{near}{100 * share.value:.0f} %", style="dim" if share.guessed else "")
            style = _style(track)
            bar = ProgressBar(
                1.0, share.value, width=_BAR, complete_style=style, finished_style=style
            )
        elif track.ended:
            bar = ProgressBar(1.0, 0.0, width=_BAR)
        return (
            self._mark(track),
            Text(plain(track.label)),
            bar,
            percent,
            Text(seconds(track.age(now)), style="cyan" if not track.ended else ""),
            Text(plain(stage(track)), style="dim"),
        )

    def _mark(self, track: Track) -> RenderableType:
        if not track.ended or track.unsaved:
            return self._spinner
        if track.completed:
            return Text(self._done, "green")
        return Text(self._on, "yellow") if track.unfinished else Text(self._lost, "red")


def stage(track: Track) -> str:
    """Return in a few words where a task stands."""
    if not track.ended:
        return standing(track.task)
    if track.error is not None:
        return _trouble(track)
    if track.saved:
        return f"{len(track.saved)} of {track.files} saved" if track.unsaved else "saved"
    if track.received:
        return "downloading"
    return "completed"


def _style(track: Track) -> str:
    if track.completed:
        return "green"
    if track.ended:
        return "yellow" if track.unfinished else "red"
    return "cyan"


def _trouble(track: Track) -> str:
    if track.unfinished:
        return "goes on"
    error = track.task.error
    word = "unknown" if track.is_unknown else standing(track.task)
    return word if error is None or error.code is None else f"{word}: {error.code}"


def _shown(tracks: Sequence[Track], room: int) -> Sequence[Track]:
    # What is done makes room for what is not, if there is not enough for all.
    if len(tracks) <= max(room, 1):
        return tracks
    return [track for track in tracks if not track.ended or track.unsaved][: max(room, 1)]


def _below(tracks: Sequence[Track], shown: int, posts: int) -> str:
    words: list[str] = []
    if posts:
        words.append(f"{count(posts, 'submission')} under way")
    if hidden := len(tracks) - shown:
        done = sum(track.completed for track in tracks)
        words.append(f"{count(hidden, 'task')} not shown, {done:,} of {len(tracks):,} completed")
    return "; ".join(words)
