"""The contact sheet ``index.html``: pictures, prompts and failures of a job, to be opened in a browser.

It is made from ``results.jsonl`` and needs no server. It shows the first pictures of a long job, on pages
of bounded size, and says how many there are. Blocking, in bounded memory.
"""

from __future__ import annotations

import base64
import html
import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache
from importlib.resources import files as package_files
from itertools import islice
from pathlib import Path
from string import Template
from typing import Any, Final
from urllib.parse import quote

import attrs

from foxapi_async._typeguards import is_array, is_object
from foxapi_async.bulk.results_file import ResultsFile

PER_PAGE: Final = 200  # Pictures on a page: about five megabytes of thumbnails
_PAGES: Final = 5
_FAILURES: Final = 200
_FEW: Final = 8  # Failures that are shown unfolded; a longer list would hide the first picture
_PER_REQUEST: Final = 16
_LONGEST: Final = 600  # Characters of a prompt or an error; results.jsonl has all of it
_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif"})
"""What browsers show as a picture."""

_HEIGHT: Final = 320  # Pixels of a thumbnail: sharp on a display with two pixels per point
_WIDEST: Final = 4 * _HEIGHT
_LARGEST: Final = 100_000_000  # Pixels of a picture; to decode a larger one takes too much memory


@attrs.frozen
class _SheetPicture:
    name: str
    title: str
    details: str


def write_sheet(
    directory: Path,
    results: ResultsFile,
    waiting: Mapping[str, int],
    now: datetime,
    *,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Write the pages and return the path of the first; None if it was cancelled before a page.

    ``waiting`` counts, by status, the requests that have no line in the results.
    """
    room = PER_PAGE * _PAGES
    pictures = list(islice(_pictures(results), room + 1))
    counts = results.counts()
    note = ""
    if len(pictures) > room:
        del pictures[room:]
        note = (
            f'<p class="note">These are the first {room:,} pictures; {counts["completed"]:,} requests '
            "are completed. All files are in this directory.</p>"
        )
    # The counts in the file are of all jobs of the directory, as the pictures are.
    requests = sum((Counter(counts) | Counter(waiting)).values())
    shown = {"completed": counts.get("completed", 0), "pictures": results.files()}
    shown |= {name: counts.get(name, 0) for name in ("failed", "rejected", "unknown", "unsaved")}
    fields = {
        "title": _escape(directory.resolve().name or str(directory)),
        "subtitle": f"{requests:,} requests  ·  {now:%Y-%m-%d %H:%M}",
        "counts": "".join(
            f'<li class="{name}"><b>{number:,}</b> {_words(name)}</li>'
            for name, number in [*shown.items(), *waiting.items()]
            if number
        ),
        "note": note,
    }
    failures = _failures(results, sum(counts.values()) - counts.get("completed", 0))
    pages = max(1, -(-len(pictures) // PER_PAGE))
    # The last page first, so that the first one is only replaced when all others are.
    for number in range(pages, 0, -1):
        if is_cancelled():
            return None
        text = load_template().substitute(
            fields,
            failures=failures if number == 1 else "",
            pages=_links(number, pages),
            figures=_figures(directory, pictures[(number - 1) * PER_PAGE : number * PER_PAGE]),
        )
        _publish(directory / _page_name(number), text)
    return directory / _page_name(1)


@cache
def load_template() -> Template:
    """Return the template, which is read once: the package may be replaced on disk during a run."""
    return Template((package_files("foxapi_async.bulk") / "contact_sheet.html").read_text("utf-8"))


def _pictures(results: ResultsFile) -> Iterator[_SheetPicture]:
    for fields in results.select(good=True, most=PER_PAGE * _PAGES + 1):
        saved = fields.get("files")
        paths = [file.get("path") for file in saved if is_object(file)] if is_array(saved) else []
        for index, path in enumerate(paths[:_PER_REQUEST], 1):
            name = Path(path).name if isinstance(path, str) else ""
            if name:
                which = f"{index} of {len(paths)}  ·  " if len(paths) > 1 else ""
                details = f"{which}line {fields.get('line')}  ·  {_short(fields['key'])}"
                yield _SheetPicture(name, _title(fields), details)


def _figures(directory: Path, pictures: list[_SheetPicture]) -> str:
    with ThreadPoolExecutor(2) as threads:
        paths = [directory / picture.name for picture in pictures]
        return "\n".join(map(_figure, pictures, threads.map(_thumbnail, paths)))


def _figure(picture: _SheetPicture, thumbnail: tuple[str, float] | None) -> str:
    link, title = _link(picture.name), _escape(picture.title)
    source, ratio = thumbnail or (link, 1.0)
    if thumbnail is None and Path(picture.name).suffix.lower() not in _SUFFIXES:
        image = f'<span class="other">{_escape(picture.name.rpartition(".")[2] or "file")}</span>'
    else:
        image = f'<img src="{source}" alt="{title}" loading="lazy" decoding="async">'
    return (
        f'<figure style="--r:{ratio:.4f}"><a href="{link}" target="_blank">{image}</a>'
        f'<figcaption title="{title}"><b>{title}</b><span>{_escape(picture.details)}</span></figcaption>'
        "</figure>"
    )


def _failures(results: ResultsFile, total: int) -> str:
    rows = [_failure_row(fields) for fields in results.select(good=False, most=_FAILURES)]
    if not rows:
        return ""
    number = f"{len(rows):,}" + (f" of {total:,}" if total > len(rows) else "")
    return (
        f"<details{' open' if len(rows) <= _FEW else ''}><summary>Without pictures "
        f"<small>{number}</small></summary><table><thead><tr><th>Status</th><th>Line</th>"
        f"<th>Request</th><th>Reason</th></tr></thead><tbody>{''.join(rows)}</tbody></table></details>"
    )


def _failure_row(fields: dict[str, Any]) -> str:
    error = fields.get("error")
    reason = error.get("message") or error.get("code") if is_object(error) else None
    ids = [_short(str(fields[name])) for name in ("key", "task_id") if fields.get(name)]
    status = _short(fields["status"])
    return (
        f'<tr><td><i class="{_escape(status)}">{_words(status)}</i></td>'
        f"<td>{_escape(str(fields.get('line', '')))}</td>"
        f"<td><b>{_escape(_title(fields))}</b><small>{_escape('  ·  '.join(ids))}</small></td>"
        f"<td>{_escape(_short(str(reason or '')))}</td></tr>"
    )


def _links(number: int, pages: int) -> str:
    links = (
        f"<b>{each}</b>" if each == number else f'<a href="{_page_name(each)}">{each}</a>'
        for each in range(1, pages + 1)
    )
    return f"<nav>Page {' '.join(links)}</nav>" if pages > 1 else ""


def _page_name(number: int) -> str:
    return "index.html" if number == 1 else f"index-{number}.html"


def _link(name: str) -> str:
    try:
        raw = name.encode("utf-8", "surrogateescape")  # bytes of a name that are not UTF-8
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "replace")
    return _escape("./" + quote(raw))


def _title(fields: dict[str, Any]) -> str:
    return _short(str(fields.get("prompt") or fields["key"]))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _words(name: str) -> str:
    return _escape(name.replace("_", " "))


def _escape(text: str) -> str:
    # Emoji are made of several characters that U+200D joins, which does not count as printable.
    return html.escape("".join(c if c.isprintable() or c == "\u200d" else " " for c in text))


def _thumbnail(path: Path) -> tuple[str, float] | None:
    """Return a data URI and width / height; None without Pillow, or if the file is not a picture."""
    try:
        from PIL import Image  # noqa: PLC0415 - an extra

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                if picture.width * picture.height > _LARGEST:
                    return None
                # Lets JPEG skip most of the decoding.
                picture.draft("RGB", (_WIDEST, _HEIGHT))
                small = picture.convert("RGB")
            small.thumbnail((_WIDEST, _HEIGHT))
    except Exception:  # noqa: BLE001 - ImportError, or anything that a decoder raises
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/jpeg;base64,{data}", small.width / small.height


def _publish(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="replace")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
