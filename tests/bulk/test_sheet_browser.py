"""The contact sheet in a real browser, from ``file://``: its script runs, and finds what is on any page."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from foxapi_async import PhotaImage
from foxapi_async.bulk.results.results_file import ResultsFile
from tests.bulk.test_contact_sheet import Page, completed, draw, failed

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed"),
    pytest.mark.once,
]
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run", "--enable-logging=stderr"),
    *("--virtual-time-budget=5000", "--dump-dom"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a folder #1 with 100 %")
    results = ResultsFile(folder / "results.jsonl", "jobs.jsonl")
    tricky = PhotaImage("<img src=x onerror=alert(1)>")
    results.append([completed(folder, n, own={"category": f"c{n % 2}"}) for n in range(210)])
    results.append([failed(n, "rejected", request=tricky) for n in range(300, 303)])
    results.append([failed(n) for n in range(400, 430)])
    draw(results)
    results.close()
    return folder


@pytest.fixture
def shown(folder: Path, tmp_path: Path) -> Callable[[str], Page]:
    """Return a function that opens a page and returns what its script has made of it."""

    def shown(page: str) -> Page:
        assert BROWSER is not None
        done = subprocess.run(
            [BROWSER, *OPTIONS, f"--user-data-dir={tmp_path}", folder.as_uri() + page],
            capture_output=True,
            timeout=120,
            check=True,
        )
        messages = re.findall(rb'CONSOLE[^"]*(".*")', done.stderr)
        assert messages == []
        path = tmp_path / "dom.html"
        path.write_bytes(done.stdout)
        return Page(path)

    return shown


@pytest.mark.parametrize(
    ("page", "state", "pictures"),
    [
        ("/index.html#q=category:c1+K20", "5 pictures found.", 5),  # they are on the second page
        ("/index-failures.html#q=onerror&status=rejected", "3 failures found.", 0),
    ],
)
def test_the_search_finds_what_is_on_any_page(shown, page, state, pictures):
    dom = shown(page)
    assert dom.shown.count(state) == 1
    found = dom.text.partition('<div id="matches">')[2].partition("</main>")[0]
    assert found.partition("<main")[0].count("<figure") == pictures
    assert "<img src=x" not in dom.text


def test_without_a_search_the_page_is_as_it_was_written(shown):
    dom = shown("/index.html")
    assert dom.text.count("<figure") == 200
    assert '<div id="found" hidden="">' in dom.text
    assert '<div class="search">' in dom.text
