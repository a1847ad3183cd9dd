"""The HTML of the contact sheet: cards of pictures, lists of failures, links to pages. Pure.

Everything that comes from a job or a server is escaped here, or is data that the script of the page
shows as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files as package_files
from itertools import groupby
from string import Template
from typing import Final

import attrs

from foxapi_async.bulk.sheet.sheet_items import SheetFile, SheetItem, printable
from foxapi_async.bulk.sheet.thumbnails import SHEET_FOLDER

FAILURES: Final = (
    "unknown",
    "unsaved",
    "unfinished",
    "failed",
    "rejected",
    "not_submitted",
    "other",
)
"""In this order they are shown: first those that may have cost money and brought nothing."""

_TO_DO: Final = {
    "unknown": "May have been billed, and no task id was received. <code>foxapi unknown $directory</code> "
    "lists what the server said. Record a task that you find at the service with <code>foxapi resolve "
    "KEY TASK_ID -o $directory</code>. To submit these again, and perhaps pay twice, run the job with "
    "<code>--retry-unknown</code>.",
    "unsaved": "Completed and billed, but files could not be saved. Run the job again: it fetches them "
    "and submits nothing for it.",
    "unfinished": "Accepted and billed. Run the job again: it waits for them and submits nothing for it.",
    "failed": "The task ended without a result. To submit these again, billed again, run the job with "
    "<code>--retry-failed</code>.",
    "rejected": "Refused by the server, and not billed. Correct these lines, then run the job again.",
    "not_submitted": "Nothing was sent. Run the job again to submit them.",
    "other": "A newer version has written these results; <code>results.jsonl</code> has all of them.",
}

_PROMPT, _ALTERNATIVE, _REASON = 300, 100, 400
"""Characters on a page, whose size is bounded; the data for the search has more of them."""
_COLUMNS, _VALUE = 4, 60
_OPEN: Final = 8  # Failures that are shown unfolded; more would hide the first picture
_ROW_ENDS: Final = '<i class="end"></i>' * 8  # Keep the last row of pictures as high as the others


@attrs.frozen
class SheetAssets:
    """The template with the style and the script, and the hash that allows the script to run."""

    template: Template
    style: str
    script: str

    @property
    def script_hash(self) -> str:
        """What the content security policy calls the script."""
        return base64.b64encode(hashlib.sha256(self.script.encode()).digest()).decode()


@cache
def load_assets() -> SheetAssets:
    """Return the assets, which are read once: the package may be replaced on disk during a run."""
    folder = package_files("foxapi_async.bulk.sheet")
    page, style, script = (
        (folder / f"contact_sheet.{suffix}").read_text("utf-8") for suffix in ("html", "css", "js")
    )
    return SheetAssets(Template(page), style, script)


def page(**fields: str) -> str:
    """Return a page; the fields are HTML."""
    assets = load_assets()
    return assets.template.substitute(
        fields,
        style=assets.style,
        script=assets.script,
        script_hash=assets.script_hash,
        folder=SHEET_FOLDER,
    )


def search_data(rows: Sequence[object], *, is_last: bool) -> str:
    """Return a part of the data for the search, as a script: pages of ``file://`` may load no JSON."""
    # ASCII, so that neither a charset nor U+2028 matters; "<" could begin an end of a script.
    text = json.dumps(rows, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f"foxapiSheet({json.dumps(is_last)},{text})\n"


def cards(item: SheetItem) -> list[str]:
    """Return a card for each file of a request, or one if it has none."""
    files = item.files
    if not files:
        return [_card(item, _OTHER.format(_escape(item.data or "no file")), 1.0, "", "")]
    return [
        _card(
            item,
            _media(file, item),
            file.thumbnail.ratio if file.thumbnail else 1.0,
            file.link,
            f"{number} of {len(files)}  ·  " if len(files) > 1 else "",
        )
        for number, file in enumerate(files, 1)
    ]


def figures(shown: Iterable[str]) -> str:
    """Return the pictures of a page."""
    text = "\n".join(shown)
    return f'<div class="sheet">\n{text}\n{_ROW_ENDS}</div>' if text else ""


def failure_groups(
    items: Iterable[SheetItem],
    counts: Mapping[str, int],
    directory: str,
    *,
    more: Mapping[str, str] | None = None,
) -> str:
    """Return lists of failures, a list for each status, and what to do about it.

    Args:
        items: Failures, those of a status in a row.
        counts: The number of all failures of each status; one without items gets no list.
        directory: The directory of the job, as a command line names it.
        more: Where the failures of a status are listed that are not given; None if this is that page.
    """
    lists = {status: [failure(item) for item in group]
             for status, group in groupby(items, key=status_of)}  # fmt: skip
    total = sum(map(len, lists.values()))
    groups: list[str] = []
    for status in FAILURES:
        rows, number = lists.get(status, []), counts.get(status, 0)
        if not number or (more is None and not rows):
            continue
        body = ""
        if rows:
            listed = f"<ol>{''.join(rows)}</ol>"
            summary = f"<summary>Show {'it' if number == 1 else f'all {number:,}'}</summary>"
            is_open = " open" if total <= _OPEN else ""
            body = listed if more is None else f"<details{is_open}>{summary}{listed}</details>"
        elif more is not None and status in more:
            body = f'<p><a href="{more[status]}">Show all {number:,}</a></p>'
        groups.append(
            f'<section class="group {status}" id="{status}"><h3><span class="badge">{words(status)}</span> '
            f"{number:,}</h3><p>{to_do(status, directory)}</p>{body}</section>"
        )
    return f'<div class="groups">{"".join(groups)}</div>' if groups else ""


def failure(item: SheetItem) -> str:
    """Return a row of a list of failures."""
    line = f"line {item.line}" if item.line else ""
    ids = "  ·  ".join(filter(None, [line, item.key, item.task_id]))
    prompt = f'<b dir="auto">{_escape(_cut(item.prompt, _PROMPT))}</b>' if item.prompt else ""
    reason = f'<p dir="auto">{_escape(_cut(item.reason, _REASON))}</p>' if item.reason else ""
    command = f"<code>{_escape(item.command)}</code>" if item.command else ""
    return f'<li>{prompt}<span class="ids">{_escape(ids)}</span>{_own(item)}{reason}{command}</li>'


def status_of(item: SheetItem) -> str:
    """Return the status under which a failure is listed."""
    return item.status if item.status in FAILURES else "other"


def to_do(status: str, directory: str) -> str:
    """Return what to do about the failures of a status; ``directory`` is no HTML."""
    return Template(_TO_DO[status]).substitute(directory=_escape(directory))


def hints(statuses: Iterable[str], directory: str) -> str:
    """Return what to do about each status, for the script."""
    return "".join(f'<p data-status="{each}">{to_do(each, directory)}</p>' for each in statuses)


def chips(counts: Mapping[str, int], links: Mapping[str, str]) -> str:
    """Return the counts; the script makes those with a status filters, some are links without it."""
    items: list[str] = []
    for status, number in counts.items():
        if number:
            text = f"<b>{number:,}</b> {words(status)}"
            link = links.get(status)
            inner = (
                f'<a href="{link}" data-status="{status}">{text}</a>' if link else f"<i>{text}</i>"
            )
            items.append(f'<li class="{status}">{inner}</li>')
    return "".join(items)


def page_links(number: int, pages: Sequence[str]) -> str:
    """Return links to pages; ``number`` is that of this page and counts from 1."""
    if len(pages) < 2:  # noqa: PLR2004
        return ""
    near = {1, len(pages), *range(number - 2, number + 3)}
    links: list[str] = []
    last = 0
    for each in sorted(near & set(range(1, len(pages) + 1))):
        if each > last + 1:
            links.append(_gap(last, each, pages))
        last = each
        if each == number:
            links.append(f'<b aria-current="page">{each:,}</b>')
        else:
            links.append(f'<a href="{pages[each - 1]}">{each:,}</a>')
    before = f'<a rel="prev" href="{pages[number - 2]}">Previous</a>' if number > 1 else ""
    after = f'<a rel="next" href="{pages[number]}">Next</a>' if number < len(pages) else ""
    return f'<nav class="pages" aria-label="Pages">{before}{"".join(links)}{after}</nav>'


def words(name: str) -> str:
    """Return a status as words."""
    return _escape(name.replace("_", " "))


def heading(text: str) -> str:
    """Return a text as HTML."""
    return _escape(text)


_OTHER: Final = '<span class="other" dir="auto">{}</span>'


def _gap(last: int, following: int, pages: Sequence[str]) -> str:
    # A link into the middle of the gap, so that a page of many is few steps away.
    middle = (last + following) // 2
    return f'<a class="gap" href="{pages[middle - 1]}" title="Page {middle:,}">…</a>'


def _card(item: SheetItem, media: str, ratio: float, link: str, which: str) -> str:
    title = _escape(_cut(item.prompt or item.key, _PROMPT))
    line = f"line {item.line}  ·  " if item.line else ""
    details = _escape(f"{which}{line}{item.key}")
    if link and "<video" not in media and "<audio" not in media:
        media = f'<a href="{link}" target="_blank" rel="noopener">{media}</a>'
    elif link:
        details = f'<a href="{link}" target="_blank" rel="noopener">{details}</a>'
    return (
        f'<figure style="--r:{min(max(ratio, 0.4), 3.0):.4f}"><div class="media">{media}</div><figcaption>'
        f'<b dir="auto">{title}</b><span class="ids">{details}</span>{_own(item)}</figcaption></figure>'
    )


def _media(file: SheetFile, item: SheetItem) -> str:
    text = _escape(_cut(item.prompt or item.key, _ALTERNATIVE))
    if file.kind == "image":
        source = f"./{SHEET_FOLDER}/{file.thumbnail.name}" if file.thumbnail else file.link
        return f'<img src="{source}" alt="{text}" loading="lazy" decoding="async">'
    if file.kind in {"video", "audio"}:
        return f'<{file.kind} controls preload="none" src="{file.link}" aria-label="{text}"></{file.kind}>'
    return _OTHER.format(_escape(printable(file.path.rpartition(".")[2] or "file", 10)))


def _own(item: SheetItem) -> str:
    tags = "".join(
        f'<li dir="auto">{_escape(_cut(name, _VALUE))} <b>{_escape(_cut(value, _VALUE))}</b></li>'
        for name, value in item.own[:_COLUMNS]
    )
    return f'<ul class="own">{tags}</ul>' if tags else ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _escape(text: str) -> str:
    return html.escape(text)
