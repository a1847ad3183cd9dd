"""The contact sheet, from a file of results."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from foxapi_async import PhotaImage
from foxapi_async.bulk import Result, Summary
from foxapi_async.bulk.results import ResultsFile
from foxapi_async.bulk.sheet import PER_PAGE, write_sheet
from foxapi_async.journal import SavedFile


@pytest.fixture
def results(tmp_path: Path) -> Iterator[ResultsFile]:
    file = ResultsFile(tmp_path / "results.jsonl")
    yield file
    file.close()


def completed(folder: Path, number: int, *, prefix: str = "k") -> Result:
    key = f"{prefix}{number}"
    Image.new("RGB", (8, 8)).save(folder / f"{key}.png")
    file = SavedFile(f"{key}.png", 1, "abc", 0)
    return Result(line=number, key=key, status="completed", request=PhotaImage(key), files=(file,))


def failed(number: int) -> Result:
    return Result(
        line=number,
        key=f"f{number}",
        status="failed",
        request=PhotaImage("no"),
        error_code="no",
        error="it failed",
    )


def drawn(results: ResultsFile, **changes: int) -> str:
    names = ("requests", "completed", "unsaved", "failed", "unfinished", "rejected", "unknown")
    more = ("not_submitted", "pictures", "fetched", "from_journal", "in_flight")
    facts: dict[str, Any] = dict.fromkeys(
        (*names, *more, "outputs_billed", "outputs_unknown"), 0
    ) | {"stopped": None, "interrupted": False, "results": results.path}
    page = write_sheet(
        results.path.parent, results, Summary(**(facts | changes)), datetime.now(UTC)
    )
    assert page is not None
    return page.read_text()


def test_the_head_counts_what_is_shown_whatever_job_it_is_of(results, tmp_path):
    results.append([completed(tmp_path, n) for n in range(5)])
    results.append([completed(tmp_path, n, prefix="other") for n in range(3)])
    page = drawn(results, requests=5, completed=3, pictures=3, not_submitted=2)
    assert page.count("<figure") == 8
    for words in ("<b>8</b> completed", "<b>8</b> pictures", "<b>2</b> not submitted"):
        assert words in page
    assert "10 requests" in page


@pytest.mark.parametrize(("number", "is_open"), [(8, True), (9, False)])
def test_a_long_list_of_failures_does_not_stand_before_the_first_picture(
    results, tmp_path, number, is_open
):
    results.append([completed(tmp_path, 1), *(failed(n) for n in range(number))])
    page = drawn(results, requests=number + 1)
    assert ("<details open>" in page) is is_open
    assert f"Without pictures <small>{number}</small>" in page
    assert page.count("it failed") == number


def test_the_list_of_failures_says_how_long_it_is_even_if_it_is_cut(results):
    results.append([failed(n) for n in range(250)])
    page = drawn(results, requests=250)
    assert "Without pictures <small>200 of 250</small>" in page
    assert page.count("it failed") == 200


def test_each_page_leads_to_the_others_above_and_below_its_pictures(results, tmp_path):
    results.append([completed(tmp_path, n) for n in range(PER_PAGE + 1)])
    first = drawn(results, requests=PER_PAGE + 1)
    second = (tmp_path / "index-2.html").read_text()
    for page in (first, second):
        above, below = page.split("<main", 1)
        assert above.count("<nav") == below.count("<nav") == 1


def test_a_file_name_that_no_file_can_have_does_not_keep_the_sheet_from_being_made(results):
    file = SavedFile("\ud800\udcff\0.png", 1, "abc", 0)
    results.append(
        [Result(line=1, key="k", status="completed", request=PhotaImage("p"), files=(file,))]
    )
    assert drawn(results, requests=1).count("<figure") == 1


def test_the_page_follows_the_reader_in_light_and_dark(results):
    results.append([failed(1)])
    assert "@media(prefers-color-scheme:dark)" in drawn(results, requests=1)
