"""The contact sheet of a run: thumbnails while the results come, the pages after the last one."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from foxapi_async._concurrency import Signal, run_in_thread
from foxapi_async.bulk.results.results_file import Result, ResultsFile
from foxapi_async.bulk.sheet.contact_sheet import SHEET_NAME, SheetOptions, write_sheet
from foxapi_async.bulk.sheet.sheet_items import SheetFile, sheet_file
from foxapi_async.bulk.sheet.thumbnails import SHEET_FOLDER, make_thumbnail
from foxapi_async.bulk.summary import Summary

_log = logging.getLogger("foxapi_async")

_WAITING: Final = 1000
"""Pictures that may wait for their thumbnails during the run; `draw` makes those of the others."""


class RunSheet:
    """The contact sheet of a run in a directory.

    A thumbnail of a 4K PNG takes half a second of one core. One thread makes them during the run, so
    that its end need not wait for thousands of them. Pillow decodes without the interpreter's lock, so
    the event loop goes on. Without ``thumbnails``, because the pictures are not in the directory, the
    sheet shows the pictures themselves.
    """

    def __init__(self, directory: Path, *, thumbnails: bool = True) -> None:
        self._has_thumbnails = thumbnails
        self._directory = directory
        self._pictures: deque[SheetFile] = deque(maxlen=_WAITING)
        self._changed = Signal()
        self._thread = ThreadPoolExecutor(1, "foxapi thumbnails")
        self._is_complete = False
        self._progress: tuple[int, int] | None = None

    @property
    def progress(self) -> tuple[int, int] | None:
        """Pictures that are drawn, and all of them; None before and after the drawing."""
        return self._progress

    def add(self, result: Result) -> None:
        """Have thumbnails made of the pictures that the run has fetched."""
        if result.fetched and self._has_thumbnails:
            files = (sheet_file(file.path, file.sha256) for file in result.files)
            self._pictures.extend(file for file in files if file.kind == "image")
            self._changed.set()

    async def make_thumbnails(self) -> None:
        """Make thumbnails, one after the other, until `finish` is called."""
        loop = asyncio.get_running_loop()
        while not self._is_complete:
            if not self._pictures:
                await self._changed.wait()
                continue
            file = self._pictures.popleft()
            make = partial(
                make_thumbnail, self._directory, self._directory / file.path, file.sha256
            )
            await loop.run_in_executor(self._thread, make)

    def finish(self) -> None:
        """End `make_thumbnails` after the thumbnail that it makes now."""
        self._is_complete = True
        self._changed.set()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def draw(
        self, results: ResultsFile, summary: Summary, *, is_cancelled: Callable[[], bool]
    ) -> None:
        """Write the pages, unless those that are there show all results.

        Args:
            results: All that is shown.
            summary: Tells how many requests have no result. After an interrupted run no thumbnails
                are made any more.
            is_cancelled: Asked before each picture, in another thread.
        """
        if await run_in_thread(self._is_up_to_date, results.path):
            return
        waiting = {"unfinished": summary.unfinished, "not_submitted": summary.not_submitted}
        total = results.outputs()

        def report(drawn: int) -> None:
            self._progress = (drawn, total)

        report(0)
        options = SheetOptions(
            is_cancelled=is_cancelled,
            report=report,
            new_thumbnails=self._has_thumbnails and not summary.interrupted,
            thread=self._thread,
        )
        now = datetime.now().astimezone()
        try:
            await run_in_thread(write_sheet, self._directory, results, waiting, now, options)
        except OSError as error:
            _log.warning("cannot write the contact sheet in %s: %s", self._directory, error)
        finally:
            self._progress = None

    def _is_up_to_date(self, results: Path) -> bool:
        try:
            drawn = (self._directory / SHEET_NAME).stat().st_mtime_ns
            has_folder = (self._directory / SHEET_FOLDER).is_dir()
            return has_folder and drawn > results.stat().st_mtime_ns
        except OSError:
            return False
