"""The contact sheet ``index.html``: all pictures and failures of a folder, to be opened in a browser.

It is made from ``results.jsonl`` and needs no server, no network, and no script except for its search:

- ``index.html``, ``index-2.html``, …: 200 pictures each; the first one begins with the failures.
- ``index-failures.html``, ``index-failures-2.html``, …: all failures, if they are many.
- ``contact-sheet/``: thumbnails, and the data for the search over all pages.

Blocking, in bounded memory.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import attrs

from foxapi_async.bulk.results.results_file import ResultsFile
from foxapi_async.bulk.sheet import sheet_html
from foxapi_async.bulk.sheet.sheet_html import FAILURES
from foxapi_async.bulk.sheet.sheet_items import (
    SheetFile,
    SheetItem,
    printable,
    quoted_directory,
    read_item,
)
from foxapi_async.bulk.sheet.thumbnails import (
    SHEET_FOLDER,
    Thumbnail,
    find_thumbnail,
    make_thumbnail,
    publish,
    remove_unused,
)

SHEET_NAME: Final = "index.html"
PER_PAGE: Final = 200

_FEW: Final = 20  # Failures of a status on the first page; more are on pages of their own
_PART: Final = 1_000_000  # Characters of search data in a file; a page reads one after the other
_WITH_FILES: Final = ("completed", "unsaved")

_PAGE: Final = re.compile(r"index(-failures)?(?:-(\d+))?\.html")
_DATA: Final = re.compile(r"data-(\d+)\.js")


class _Cancelled(Exception):  # noqa: N818 - no error
    pass


@attrs.frozen(kw_only=True)
class SheetOptions:
    """How a contact sheet is drawn.

    ``is_cancelled`` is asked before each picture, also in other threads. ``report`` is told after each
    picture how many are done. Without ``new_thumbnails``, pictures that have none are shown themselves.
    ``thread`` is where thumbnails are made; None for a new one.
    """

    is_cancelled: Callable[[], bool] = lambda: False
    report: Callable[[int], None] = lambda _: None
    new_thumbnails: bool = True
    thread: ThreadPoolExecutor | None = None


def write_sheet(
    directory: Path,
    results: ResultsFile,
    waiting: Mapping[str, int],
    now: datetime,
    options: SheetOptions | None = None,
) -> Path | None:
    """Write the pages and return the path of the first; None if it was cancelled.

    ``waiting`` counts, by status, the requests that have no line in the results.
    """
    options = options or SheetOptions()
    sheet = _Sheet(directory, results, waiting, now, options)
    try:
        if options.thread is not None:
            sheet.write(options.thread)
        else:
            with ThreadPoolExecutor(1) as thread:
                sheet.write(thread)
    except _Cancelled:
        return None
    return directory / SHEET_NAME


def load_template() -> None:
    """Read what the sheet needs of the package, which may be replaced on disk during a run."""
    sheet_html.load_assets()


class _Sheet:
    def __init__(
        self,
        directory: Path,
        results: ResultsFile,
        waiting: Mapping[str, int],
        now: datetime,
        options: SheetOptions,
    ) -> None:
        self._directory = directory
        self._results = results
        self._options = options
        self._now = now
        self._place = quoted_directory(directory)
        counts = Counter(results.counts())
        self._listed = {status: counts[status] for status in FAILURES if counts[status]}
        self._counts = counts + Counter(waiting)
        self._pictures = results.outputs()
        self._pages = _page_names("index", self._pictures)
        self._many = {status for status, number in self._listed.items() if number > _FEW}
        failures = sum(self._listed[status] for status in self._many)
        self._failure_pages = _page_names("index-failures", failures) if failures else []
        self._data = _SearchData(directory / SHEET_FOLDER)
        self._drawn = 0

    def write(self, thread: ThreadPoolExecutor) -> None:
        (self._directory / SHEET_FOLDER).mkdir(exist_ok=True)
        first_failures = self._write_failures(thread)
        cards = self._cards(thread)
        # The first page is published last, when all that it leads to is there.
        first = list(islice(cards, PER_PAGE))
        for number in range(2, len(self._pages) + 1):
            self._write_page(number, list(islice(cards, PER_PAGE)))
        for _ in cards:  # reads to the end, so that the data is complete
            pass
        self._data.close()
        self._write_page(1, first, first_failures)
        self._remove_old()

    def _write_failures(self, thread: ThreadPoolExecutor) -> list[SheetItem]:
        """Write the pages of failures and return those for the first page."""
        shown: list[SheetItem] = []
        batch: list[SheetItem] = []
        number = 0
        for item in chain.from_iterable(self._items(thread, status) for status in self._listed):
            self._data.add(item)
            if sheet_html.status_of(item) not in self._many:
                shown.append(item)
                continue
            batch.append(item)
            if len(batch) == PER_PAGE:
                self._write_failure_page(number := number + 1, batch)
                batch = []
        if batch:
            self._write_failure_page(number + 1, batch)
        return shown

    def _write_failure_page(self, number: int, items: list[SheetItem]) -> None:
        links = sheet_html.page_links(number, self._failure_pages)
        groups = sheet_html.failure_groups(items, self._listed, self._place)
        back = f'<p><a href="{SHEET_NAME}">All pictures</a></p>'
        self._publish(
            self._failure_pages[number - 1], f"<h2>Needs attention</h2>{back}{links}{groups}{links}"
        )

    def _write_page(
        self, number: int, cards: list[str], failures: list[SheetItem] | None = None
    ) -> None:
        attention = ""
        if failures is not None:
            groups = sheet_html.failure_groups(
                failures, self._counts, self._place, more=self._status_links()
            )
            attention = f"<h2>Needs attention</h2>{groups}<h2>Pictures</h2>" if groups else ""
        links = sheet_html.page_links(number, self._pages)
        content = sheet_html.figures(cards) or '<p class="empty">No pictures yet.</p>'
        self._publish(self._pages[number - 1], f"{attention}{links}{content}{links}")

    def _publish(self, name: str, content: str) -> None:
        counts = {"completed": self._counts["completed"]}
        counts |= {status: self._counts[status] for status in FAILURES}
        filters = {status: f"{SHEET_NAME}#{status}" for status in self._listed}
        filters |= {"completed": SHEET_NAME}
        pictures = f"{self._pictures:,} picture{'' if self._pictures == 1 else 's'}"
        requests = sum(self._counts.values())
        text = sheet_html.page(
            title=sheet_html.heading(
                printable(self._directory.resolve().name or str(self._directory), 200)
            ),
            subtitle=(
                f"{pictures}  ·  {requests:,} request{'' if requests == 1 else 's'}  ·  "
                f"{self._now:%Y-%m-%d %H:%M}"
            ),
            chips=sheet_html.chips(counts, filters),
            hints=sheet_html.hints(self._listed, self._place),
            content=content,
        )
        publish(self._directory / name, text.encode("utf-8", "replace"))

    def _status_links(self) -> dict[str, str]:
        """Return where the failures of each status begin that are on pages of their own."""
        links: dict[str, str] = {}
        before = 0
        for status in filter(self._many.__contains__, self._listed):
            links[status] = f"{self._failure_pages[before // PER_PAGE]}#{status}"
            before += self._listed[status]
        return links

    def _cards(self, thread: ThreadPoolExecutor) -> Iterator[str]:
        for item in self._items(thread, *_WITH_FILES):
            if item.status == "completed":
                self._data.add(item)
            if item.files or item.status == "completed":
                yield from sheet_html.cards(item)
                self._drawn += max(1, len(item.files))
                self._options.report(self._drawn)

    def _items(self, thread: ThreadPoolExecutor, *statuses: str) -> Iterator[SheetItem]:
        lines = self._results.select(*statuses)
        while batch := list(islice(lines, PER_PAGE)):
            yield from thread.map(self._item, batch)

    def _item(self, fields: dict[str, Any]) -> SheetItem:
        if self._options.is_cancelled():
            raise _Cancelled
        item = read_item(fields, self._directory)
        files = tuple(
            attrs.evolve(file, thumbnail=self._thumbnail(file)) if file.kind == "image" else file
            for file in item.files
        )
        return attrs.evolve(item, files=files) if files else item

    def _thumbnail(self, file: SheetFile) -> Thumbnail | None:
        if not self._options.new_thumbnails:
            return find_thumbnail(self._directory, file.sha256)
        return make_thumbnail(self._directory, self._directory / file.path, file.sha256)

    def _remove_old(self) -> None:
        """Remove the pages and the data of a longer sheet, and thumbnails that are not used any more."""
        current = {*self._pages, *self._failure_pages}
        for path in self._directory.glob("index*.html"):
            if _PAGE.fullmatch(path.name) and path.name not in current:
                path.unlink(missing_ok=True)
        for path in (self._directory / SHEET_FOLDER).glob("data-*.js"):
            match = _DATA.fullmatch(path.name)
            if match and int(match[1]) > self._data.parts:
                path.unlink(missing_ok=True)
        remove_unused(self._directory, time.time())


class _SearchData:
    """The data for the search, in files of bounded size."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[object] = []
        self._size = 0
        self.parts = 0

    def add(self, item: SheetItem) -> None:
        if self._size >= _PART:
            self._write(is_last=False)
        self._rows.append(item.row())
        columns = sum(len(name) + len(value) for name, value in item.own)
        self._size += 200 + len(item.prompt) + len(item.reason) + columns

    def close(self) -> None:
        self._write(is_last=True)

    def _write(self, *, is_last: bool) -> None:
        self.parts += 1
        text = sheet_html.search_data(self._rows, is_last=is_last)
        publish(self._folder / f"data-{self.parts}.js", text.encode())
        self._rows, self._size = [], 0


def _page_names(stem: str, entries: int) -> list[str]:
    pages = max(1, -(-entries // PER_PAGE))
    return [f"{stem}.html", *(f"{stem}-{number}.html" for number in range(2, pages + 1))]
