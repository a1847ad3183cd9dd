"""A page of the contact sheet as HTML, from values. Pure; every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import attrs

__all__ = ["Exhibit", "Failure", "Head", "page", "page_name"]


_FEW: Final = 8
"""Requests without pictures that are listed without being asked for."""


@attrs.frozen
class Exhibit:
    """One file of a request: its name, what it is shown by (None for the name alone), its words."""

    name: str
    source: str | None
    ratio: float
    title: str
    details: str


@attrs.frozen
class Failure:
    """A request without its pictures."""

    status: str
    line: str
    title: str
    details: str
    error: str


@attrs.frozen(kw_only=True)
class Head:
    """What stands above the pictures: ``counts`` are words for each number that is not 0."""

    title: str
    subtitle: str
    counts: Sequence[tuple[str, int]]
    notes: Sequence[str] = ()


def page_name(number: int) -> str:
    """Return the file name of a page, from 1."""
    return "index.html" if number == 1 else f"index-{number}.html"


def page(
    head: Head,
    exhibits: Sequence[Exhibit],
    failures: Sequence[Failure] = (),
    *,
    failed: int = 0,
    number: int = 1,
    pages: int = 1,
) -> str:
    """Return a whole page that needs nothing but itself and the pictures beside it.

    Args:
        head: The heading.
        exhibits: What is shown, in order.
        failures: What is listed above the pictures.
        failed: How many of them there are, if more than are listed.
        number: The page, from 1.
        pages: How many there are.
    """
    links = _pages(number, pages)
    return "".join(
        (
            _TOP.replace("{title}", _text(head.title)),
            _head(head),
            _failures(failures, failed),
            links,
            '<main class="sheet">',
            *map(_figure, exhibits),
            "</main>",
            links,
            _FOOT,
        )
    )


def _head(head: Head) -> str:
    counts = "".join(
        f'<li class="{_text(name)}"><b>{number:,}</b> {_words(name)}</li>'
        for name, number in head.counts
    )
    notes = "".join(f'<p class="note">{_text(note)}</p>' for note in head.notes)
    return (
        f"<header><h1>{_text(head.title)}</h1><p>{_text(head.subtitle)}</p>"
        f"<ul>{counts}</ul>{notes}</header>"
    )


def _figure(exhibit: Exhibit) -> str:
    if exhibit.source is None:
        shown = f'<span class="other">{_text(exhibit.name.rpartition(".")[2] or "file")}</span>'
    else:
        shown = (
            f'<img src="{_text(exhibit.source)}" alt="{_text(exhibit.title)}" loading="lazy" '
            'decoding="async">'
        )
    return (
        f'<figure style="--r:{exhibit.ratio:.4f}"><a href="{link(exhibit.name)}" target="_blank">'
        f'{shown}</a><figcaption title="{_text(exhibit.title)}"><b>{_text(exhibit.title)}</b>'
        f"<span>{_text(exhibit.details)}</span></figcaption></figure>"
    )


def _failures(failures: Sequence[Failure], failed: int) -> str:
    if not failures:
        return ""
    rows = "".join(
        f'<tr><td><i class="{_text(each.status)}">{_words(each.status)}</i></td>'
        f"<td>{_text(each.line)}</td><td><b>{_text(each.title)}</b><small>{_text(each.details)}</small>"
        f"</td><td>{_text(each.error)}</td></tr>"
        for each in failures
    )
    # Long lists stay closed: they would stand before the first picture.
    is_open = " open" if len(failures) <= _FEW else ""
    number = f"{len(failures):,}" + (f" of {failed:,}" if failed > len(failures) else "")
    return (
        f"<details{is_open}><summary>Without pictures <small>{number}</small></summary>"
        "<table><thead><tr><th>Status</th><th>Line</th><th>Request</th><th>Why</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )


def _pages(number: int, pages: int) -> str:
    if pages == 1:
        return ""
    links = (
        f"<b>{each}</b>" if each == number else f'<a href="{page_name(each)}">{each}</a>'
        for each in range(1, pages + 1)
    )
    return f"<nav>Page {' '.join(links)}</nav>"


def link(name: str) -> str:
    """Return a relative link to a file beside the page."""
    try:
        raw = name.encode("utf-8", "surrogateescape")  # as the system hides an odd byte
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "replace")
    return "./" + quote(raw)


def _words(name: str) -> str:
    return _text(name.replace("_", " "))


def _text(text: str) -> str:
    legible = "".join(c if c.isprintable() or c == "\u200d" else " " for c in text)
    return html.escape(legible, quote=True)


_COLOURS: Final = {
    "completed": ("#17774a", "#5fce94"),
    "unsaved": ("#8a5300", "#ffb54d"),
    "unfinished": ("#1f62b5", "#6db5ff"),
    "unknown": ("#7b3fb3", "#d79bff"),
    "rejected": ("#b3261e", "#ff8f86"),
    "failed": ("#b3261e", "#ff8f86"),
    "not_submitted": ("#5d6472", "#9298a6"),
}
"""What tells the statuses apart, on a light ground and on a dark one."""


def _colours(index: int) -> str:
    return "".join(f"--{status}:{pair[index]};" for status, pair in _COLOURS.items())


_THEMES: Final = f"""
:root{{color-scheme:light dark;--ground:#fafafb;--raised:#fff;--line:#dfe1e6;--ink:#1a1c22;
--faint:#5d6472;--accent:#bf4d0b;{_colours(0)}}}
@media(prefers-color-scheme:dark){{:root{{--ground:#13151b;--raised:#1b1e26;--line:#2a2e39;--ink:#eceef3;
--faint:#9298a6;--accent:#ff9252;{_colours(1)}}}}}
"""

_STYLE: Final = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1720px;padding:44px clamp(16px,3.2vw,56px) 56px;background:var(--ground);
color:var(--ink);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
header{border-left:6px solid var(--accent);padding-left:20px;margin-bottom:30px}
h1{margin:0;font-size:30px;line-height:1.2;font-weight:650;letter-spacing:-.01em;overflow-wrap:anywhere}
header p{margin:5px 0 0;color:var(--faint)}
header .note{color:var(--accent)}
ul{display:flex;flex-wrap:wrap;gap:8px;margin:16px 0 0;padding:0;list-style:none}
li{background:var(--raised);border:1px solid var(--line);border-radius:999px;padding:4px 14px;
color:var(--faint)}
li b{color:var(--c,var(--ink));font-weight:650;font-variant-numeric:tabular-nums}
.sheet{display:flex;flex-wrap:wrap;gap:26px 22px}
.sheet::after{content:"";flex:1000 0 0}
figure{margin:0;flex:calc(var(--r)*100) 1 calc(var(--r)*250px);min-width:150px;
max-width:calc(var(--r)*390px)}
figure a{display:block;border-radius:11px;overflow:hidden;background:var(--raised);
aspect-ratio:var(--r);outline-offset:3px}
figure a:hover img{filter:brightness(1.08)}
img{display:block;width:100%;height:100%;object-fit:cover;color:var(--faint);font-size:12px}
.other{display:grid;place-items:center;height:100%;color:var(--faint);font-size:26px;
text-transform:uppercase;letter-spacing:.08em}
figcaption{padding:9px 2px 0;contain:inline-size}
figcaption b{display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden;
font-weight:520;overflow-wrap:anywhere}
figcaption span{display:block;color:var(--faint);font-size:12.5px;white-space:nowrap;overflow:hidden;
text-overflow:ellipsis}
details{margin:0 0 34px;background:var(--raised);border:1px solid var(--line);border-radius:13px}
summary{padding:13px 18px;cursor:pointer;font-weight:600}
summary small{margin-left:6px;color:var(--faint);font-weight:400}
table{border-collapse:collapse;width:100%}
th,td{padding:9px 18px;text-align:left;vertical-align:top;border-top:1px solid var(--line);
overflow-wrap:anywhere}
th,td:nth-child(1),td:nth-child(2){overflow-wrap:normal;white-space:nowrap}
th{color:var(--faint);font-size:12.5px;font-weight:500}
td:nth-child(2){font-variant-numeric:tabular-nums;color:var(--faint)}
td:nth-child(3){width:36%}
td:nth-child(4){color:var(--faint)}
td b{font-weight:520}
td small{display:block;color:var(--faint);font-size:12px}
i{font-style:normal;color:var(--c,var(--ink));white-space:nowrap}
nav{margin:26px 0;color:var(--faint)}
nav a,nav b{display:inline-block;min-width:34px;padding:4px 10px;margin-left:5px;border-radius:8px;
text-align:center;background:var(--raised);color:var(--ink);text-decoration:none}
nav b{background:var(--accent);color:var(--ground)}
footer{margin-top:44px;color:var(--faint);font-size:13px}
@media(max-width:720px){thead{display:none}
tr{display:grid;grid-template-columns:auto 1fr;padding:10px 18px;border-top:1px solid var(--line)}
td{padding:0;border:0}
td:nth-child(2)::before{content:"line ";margin-left:8px}
td:nth-child(n+3){grid-column:1/-1;width:auto}}
""" + "".join(f".{status}{{--c:var(--{status})}}" for status in _COLOURS)

_TOP: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1">'
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; img-src data: file: *\">"
    f"<title>{{title}}</title><style>{_THEMES}{_STYLE}</style></head><body>"
)

_FOOT: Final = (
    "<footer>The pictures are beside this page; a click opens one. What became of every request is "
    "in <code>results.jsonl</code>.</footer></body></html>\n"
)
