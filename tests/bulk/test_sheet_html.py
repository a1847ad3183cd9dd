"""The HTML of the contact sheet: nothing that a job or a server says becomes a part of a page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxapi_async.bulk.sheet import sheet_html
from foxapi_async.bulk.sheet.sheet_items import SheetItem, link_to, printable, read_item

TRICKY = st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title>", "' onclick='x", "&lt;",
     "\u202egnp", "\u2028", "javascript:alert(1)", "$title", "\x00", "]]>", "<!--", "\U0001f98a\u200d"]
)  # fmt: skip
TEXTS = st.lists(TRICKY | st.text(max_size=8), max_size=4).map("".join)
JSON = st.sampled_from([None, True, -1, float("nan"), [], ["x"], {}, {"message": 1}]) | TEXTS
LINES = st.fixed_dictionaries(
    {"key": TEXTS, "status": st.sampled_from(sheet_html.FAILURES) | TEXTS},
    optional={
        "prompt": TEXTS | JSON,
        "line": JSON,
        "own": st.dictionaries(TEXTS, JSON, max_size=2) | JSON,
        "error": st.fixed_dictionaries({"message": JSON, "code": JSON, "response": JSON}) | JSON,
        "files": st.lists(st.fixed_dictionaries({"path": TEXTS, "sha256": JSON}), max_size=3)
        | JSON,
        "data": JSON,
        "task_id": JSON,
    },
)
ALLOWED = {
    *("figure", "div", "a", "img", "video", "audio", "figcaption", "b", "span", "ul", "li"),
    *("section", "h3", "p", "code", "details", "summary", "ol"),
}


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.data = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in {"href", "src"}}

    def handle_data(self, data):
        self.data += data

    def handle_comment(self, data):
        self.names.add("comment")

    handle_decl = handle_pi = unknown_decl = handle_comment


def shown(item: SheetItem) -> str:
    groups = sheet_html.failure_groups([item], {sheet_html.status_of(item): 1}, "/x/$y", more={})
    return "".join(sheet_html.cards(item)) + groups


@settings(max_examples=50)
@given(LINES)
def test_nothing_in_a_result_becomes_markup(fields):
    tags = Tags(shown(read_item(fields, Path("/nowhere"))))
    assert tags.names <= ALLOWED
    assert not any(name.startswith("on") for name in tags.attributes)
    assert all(link.startswith("./") and "/../" not in link for link in tags.links)
    assert "\u202e" not in tags.data


@settings(max_examples=50)
@given(LINES)
def test_the_data_of_any_result_is_json_that_cannot_end_a_script(fields):
    item = read_item(fields, Path("/nowhere"))
    script = sheet_html.search_data([item.row()], is_last=True)
    match = re.fullmatch(r"foxapiSheet\(true,(.*)\)\n", script)
    assert match is not None
    assert script.isascii()
    assert "<" not in script
    assert json.loads(match[1])[0][1] == item.key


@given(TEXTS, st.integers(1, 30))
def test_printable_texts_are_short_and_in_one_line(text, most):
    got = printable(text, most)
    assert len(got) <= most
    assert all(c.isprintable() or c in "\u200c\u200d" for c in got)


@given(st.text())
def test_a_link_has_only_characters_of_links(path):
    assert re.fullmatch(r"\./[A-Za-z0-9_.~/%-]*", link_to(path))


@given(st.integers(1, 600), st.data())
def test_the_links_to_pages_name_the_ends_and_the_neighbours(pages, data):
    number = data.draw(st.integers(1, pages))
    names = [f"p{each}" for each in range(1, pages + 1)]
    links = Tags(sheet_html.page_links(number, names)).links
    if pages > 1:
        near = {each for each in (1, number - 1, number + 1, pages) if 1 <= each <= pages}
        assert {f"p{each}" for each in near - {number}} <= links
    assert len(links) <= 10
    assert links <= set(names)


def test_the_policy_allows_exactly_the_script_of_the_page():
    page = sheet_html.page(title="", subtitle="", chips="", hints="", content="")
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}' 'self' file:;" in page
    assert page.count("<script") == 1


@pytest.mark.parametrize("asset", ["style", "script"])
def test_the_page_needs_no_network(asset):
    text = getattr(sheet_html.load_assets(), asset)
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp|</", text)
