"""The contact sheet ``index.html``: pictures, prompts and failures of a job, to be seen in a browser.

It is made from ``results.jsonl`` and needs no server. The first pictures of a long job are shown, on
pages of bounded size; what is left out is said. Blocking, in bounded memory.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

from foxapi_async.bulk.results import ResultsFile
from foxapi_async.bulk.sheet_page import Exhibit, Failure, Head, link, page, page_name
from foxapi_async.bulk.summary import Summary
from foxapi_async.bulk.thumbnails import thumbnail

__all__ = ["PER_PAGE", "write_sheet"]

PER_PAGE: Final = 200
"""Pictures on a page: some five megabytes of thumbnails."""

_PAGES: Final = 5
_FAILURES: Final = 200
_PER_REQUEST: Final = 16
_LONGEST: Final = 600
"""Characters of a prompt or an error; the whole of it is in results.jsonl."""

_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif"})


def write_sheet(
    directory: Path,
    results: ResultsFile,
    summary: Summary,
    now: datetime,
    *,
    given_up: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Write the pages and return the first; None if it was given up.

    Args:
        directory: Where the pictures are.
        results: What became of each request.
        summary: How the job stands.
        now: The moment to write below the title.
        given_up: Asked before each page; True leaves the pages as they are.

    Raises:
        OSError: A page cannot be written.
    """
    room = PER_PAGE * _PAGES
    files = list(islice(_files(results), room + 1))
    cut, files = len(files) > room, files[:room]
    pages = max(1, -(-len(files) // PER_PAGE))
    failures = [_failure(each) for each in results.select(good=False, most=_FAILURES)]
    head = _head(directory, results, summary, now, _notes(results, len(files), cut=cut))
    # From the last page to the first: the one that people open is new only when all are.
    for number in range(pages, 0, -1):
        if given_up():
            return None
        some = files[(number - 1) * PER_PAGE : number * PER_PAGE]
        text = page(
            head,
            _exhibits(directory, some),
            failures if number == 1 else (),
            failed=_failed(results),
            number=number,
            pages=pages,
        )
        _publish(directory / page_name(number), text)
    return directory / page_name(1)


def _files(results: ResultsFile) -> Iterator[tuple[str, str, str]]:
    """Yield name, title and details of each file, in the order of the job."""
    for each in results.select(good=True, most=PER_PAGE * _PAGES + 1):
        names = [_name(file) for file in _list(each.get("files"))]
        for index, name in enumerate(names[:_PER_REQUEST]):
            if name:
                which = f"{index + 1} of {len(names)}  ·  " if len(names) > 1 else ""
                yield name, _title(each), f"{which}{_details(each)}"


def _exhibits(directory: Path, files: Sequence[tuple[str, str, str]]) -> list[Exhibit]:
    with ThreadPoolExecutor(2) as threads:
        thumbnails = list(threads.map(thumbnail, (directory / name for name, _, _ in files)))
        return [
            Exhibit(name, _source(name), 1.0, title, details)
            if small is None
            else Exhibit(name, small.uri, small.ratio, title, details)
            for (name, title, details), small in zip(files, thumbnails, strict=True)
        ]


def _source(name: str) -> str | None:
    return link(name) if Path(name).suffix.lower() in _PICTURES else None


def _head(
    directory: Path, results: ResultsFile, summary: Summary, now: datetime, notes: Sequence[str]
) -> Head:
    # Of all jobs whose results are in the file, as the pictures are.
    found = results.counts()
    waiting = {"unfinished": summary.unfinished, "not_submitted": summary.not_submitted}
    counts = {
        "completed": found.get("completed", 0),
        "pictures": results.files(),
        **{name: found.get(name, 0) for name in ("failed", "rejected", "unknown", "unsaved")},
        **waiting,
    }
    requests = sum((Counter(found) | Counter(waiting)).values())
    return Head(
        title=directory.resolve().name or str(directory),
        subtitle=f"{requests:,} requests  ·  {now:%Y-%m-%d %H:%M}",
        counts=[(name, number) for name, number in counts.items() if number],
        notes=notes,
    )


def _notes(results: ResultsFile, shown: int, *, cut: bool) -> list[str]:
    notes: list[str] = []
    if cut:
        completed = results.counts()["completed"]
        notes.append(
            f"These are the first {shown:,} pictures; {completed:,} requests are completed. All files "
            "are in this folder."
        )
    return notes


def _failed(results: ResultsFile) -> int:
    return sum(number for status, number in results.counts().items() if status != "completed")


def _failure(each: dict[str, Any]) -> Failure:
    error = _fields(each.get("error"))
    return Failure(
        status=_word(each.get("status")),
        line=str(each.get("line", "")),
        title=_title(each),
        details="  ·  ".join(_word(each[name]) for name in ("key", "task_id") if each.get(name)),
        error=_short(str(error.get("message") or error.get("code") or "")),
    )


def _title(each: dict[str, Any]) -> str:
    return _short(str(each.get("prompt") or each["key"]))


def _details(each: dict[str, Any]) -> str:
    return f"line {each.get('line')}  ·  {_short(each['key'])}"


def _word(value: object) -> str:
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _fields(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return list(cast("Iterable[Any]", value)) if isinstance(value, list) else []


def _name(file: object) -> str:
    path = _fields(file).get("path")
    return Path(path).name if isinstance(path, str) else ""


def _publish(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="replace")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
