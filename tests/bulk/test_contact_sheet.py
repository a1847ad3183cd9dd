"""The contact sheet, from a file of results."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from foxapi_async import PhotaImage
from foxapi_async.bulk import Result
from foxapi_async.bulk.contact_sheet import PER_PAGE, write_sheet
from foxapi_async.bulk.results_file import ResultsFile
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


def drawn(results: ResultsFile, **waiting: int) -> str:
    page = write_sheet(results.path.parent, results, waiting, datetime.now(UTC))
    assert page is not None
    return page.read_text()


def test_the_header_counts_the_pictures_of_all_jobs_in_the_folder(results, tmp_path):
    results.append([completed(tmp_path, n) for n in range(5)])
    results.append([completed(tmp_path, n, prefix="other") for n in range(3)])
    page = drawn(results, not_submitted=2)
    assert page.count("<figure") == 8
    for words in ("<b>8</b> completed", "<b>8</b> pictures", "<b>2</b> not submitted"):
        assert words in page
    assert "10 requests" in page


@pytest.mark.parametrize(("number", "is_open"), [(8, True), (9, False)])
def test_a_long_list_of_failures_is_folded(results, tmp_path, number, is_open):
    results.append([completed(tmp_path, 1), *(failed(n) for n in range(number))])
    page = drawn(results)
    assert ("<details open>" in page) is is_open
    assert f"Without pictures <small>{number}</small>" in page
    assert page.count("it failed") == number


def test_a_truncated_list_of_failures_shows_the_total(results):
    results.append([failed(n) for n in range(250)])
    page = drawn(results)
    assert "Without pictures <small>200 of 250</small>" in page
    assert page.count("it failed") == 200


def test_each_page_links_to_the_others_above_and_below_its_pictures(results, tmp_path):
    results.append([completed(tmp_path, n) for n in range(PER_PAGE + 1)])
    first = drawn(results)
    second = (tmp_path / "index-2.html").read_text()
    for page in (first, second):
        above, below = page.split("<main", 1)
        assert above.count("<nav") == below.count("<nav") == 1


def test_an_impossible_file_name_does_not_break_the_sheet(results):
    file = SavedFile("\ud800\udcff\0.png", 1, "abc", 0)
    results.append(
        [Result(line=1, key="k", status="completed", request=PhotaImage("p"), files=(file,))]
    )
    assert drawn(results).count("<figure") == 1


def test_the_page_has_a_light_and_a_dark_theme(results):
    results.append([failed(1)])
    assert "@media(prefers-color-scheme:dark)" in drawn(results)
