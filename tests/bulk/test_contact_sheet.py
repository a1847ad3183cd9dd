"""The contact sheet, from a file of results."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import pytest
from PIL import Image

from foxapi_async import PhotaImage
from foxapi_async.bulk import Result
from foxapi_async.bulk.results.results_file import ResultsFile
from foxapi_async.bulk.sheet import contact_sheet
from foxapi_async.bulk.sheet.contact_sheet import PER_PAGE, SheetOptions, write_sheet
from foxapi_async.bulk.sheet.thumbnails import SHEET_FOLDER
from foxapi_async.journal import SavedFile

EMPTY = {"meta", "link", "input", "img", "br"}


class Page(HTMLParser):
    """A parsed page: its elements, and a failure if they are not nested properly."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.text = path.read_text("utf-8")
        self.feed(self.text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] not in (["script"], ["style"]):
            self.texts.append(data)

    @property
    def shown(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str, attribute: str) -> list[str]:
        return [value for name, found in self.elements
                if name == tag and (value := found.get(attribute)) is not None]  # fmt: skip

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


@pytest.fixture
def results(tmp_path: Path) -> Iterator[ResultsFile]:
    file = ResultsFile(tmp_path / "results.jsonl", "jobs.jsonl")
    yield file
    file.close()


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def saved(folder: Path, number: int, *, prefix: str = "k", suffix: str = "png") -> SavedFile:
    path = folder / f"{prefix}{number}.{suffix}"
    path.parent.mkdir(exist_ok=True)
    if suffix == "png":
        Image.new("RGB", (16, 8)).save(path)
    else:
        path.write_bytes(b"media")
    return SavedFile(path.relative_to(folder).as_posix(), 1, digest(number), 0)


def completed(folder: Path, number: int, *, prefix: str = "k", **fields: Any) -> Result:
    file = saved(folder, number, prefix=prefix)
    fields = {"files": (file,), "request": PhotaImage(f"{prefix}{number}"), **fields}
    return Result(line=number, key=f"{prefix}{number}", status="completed", **fields)


def failed(number: int, status: Any = "failed", **fields: Any) -> Result:
    fields = {"error_code": "no", "error": "it failed", "request": PhotaImage("no"), **fields}
    return Result(line=number, key=f"f{number}", status=status, **fields)


def draw(results: ResultsFile, options: SheetOptions | None = None, **waiting: int) -> Page:
    page = write_sheet(results.path.parent, results, waiting, datetime.now(UTC), options)
    assert page == results.path.parent / "index.html"
    return Page(page)


def search_rows(folder: Path) -> list[list[Any]]:
    rows = []
    for number in range(1, 1 + len(list((folder / SHEET_FOLDER).glob("data-*.js")))):
        text = (folder / SHEET_FOLDER / f"data-{number}.js").read_text("ascii")
        match = re.fullmatch(r"foxapiSheet\((true|false),(.*)\)\n", text)
        assert match is not None
        rows += json.loads(match[2])
    assert match[1] == "true"
    return rows


def test_the_header_counts_the_requests_of_all_jobs_in_the_folder(results, tmp_path):
    results.append([completed(tmp_path, n) for n in range(5)])
    results.append([completed(tmp_path, n, prefix="other") for n in range(3)])
    page = draw(results, not_submitted=2)
    assert page.count("figure") == 8
    assert "8 pictures · 10 requests" in page.shown
    for words in ("8 completed", "2 not submitted"):
        assert words in page.shown


def test_every_picture_is_on_one_page_and_all_pages_can_be_reached(results, tmp_path, monkeypatch):
    monkeypatch.setattr(contact_sheet, "PER_PAGE", 5)
    results.append([completed(tmp_path, n, files=(SavedFile(f"{n}.png", 1, "", 0),))
                    for n in range(36)])  # fmt: skip
    draw(results)
    pages, todo = {}, ["index.html"]
    while todo:
        if (name := todo.pop()) not in pages:
            pages[name] = page = Page(tmp_path / name)
            todo += [link for link in page.all("a", "href") if link.startswith("index")
                     and "#" not in link]  # fmt: skip
    assert len(pages) == 8
    shown = Counter(source for page in pages.values() for source in page.all("img", "src"))
    assert shown == {f"./{n}.png": 1 for n in range(36)}


def test_the_links_to_pages_are_above_and_below_the_pictures(results, tmp_path):
    results.append([completed(tmp_path, n, files=(SavedFile(f"{n}.png", 1, "", 0),))
                    for n in range(PER_PAGE + 1)])  # fmt: skip
    draw(results)
    for name in ("index.html", "index-2.html"):
        above, below = Page(tmp_path / name).text.split('<div class="sheet">')
        assert above.count('<nav class="pages" aria-label="Pages">') == 1
        assert below.count('<nav class="pages" aria-label="Pages">') == 1


@pytest.mark.parametrize(("number", "is_open"), [(8, True), (9, False)])
def test_a_long_list_of_failures_is_folded(results, tmp_path, number, is_open):
    statuses = ["failed", "rejected"]
    results.append([completed(tmp_path, 100), *(failed(n, statuses[n % 2]) for n in range(number))])
    page = draw(results)
    assert ("open" in dict(page.elements)["details"]) is is_open
    assert page.shown.count("it failed") == number


def test_very_many_failures_have_pages_of_their_own(results, tmp_path):
    results.append([failed(n) for n in range(250)] + [failed(999, "unsaved")])
    results.append([failed(n, "rejected", error=f"refused {n}") for n in range(1000, 1030)])
    page = draw(results)
    assert "it failed" in page.shown  # the one that is unsaved
    links = [link for link in page.all("a", "href") if "failures" in link]
    assert links == ["index-failures.html#failed", "index-failures-2.html#rejected"]
    first, second = (Page(tmp_path / link.partition("#")[0]) for link in links)
    assert first.shown.count("it failed") == 200
    assert (second.shown.count("it failed"), second.shown.count("refused")) == (50, 30)
    for linked, status in ((first, "failed"), (second, "rejected")):
        assert status in linked.all("section", "id")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("failed", "--retry-failed"),
        ("unknown", "--retry-unknown"),
        ("unknown", "foxapi unknown "),
        ("rejected", "Correct these lines"),
        ("unsaved", "Run the job again"),
        ("not_submitted", "Run the job again"),
    ],
)
def test_each_failure_says_what_to_do(results, status, advice):
    results.append([failed(1, status)])
    assert advice in draw(results).shown


def test_an_unknown_request_shows_how_to_settle_it_and_what_the_server_said(results, tmp_path):
    response = "<title>502</title> https://x.example/a?sig=SECRET"
    results.append([attrs.evolve(failed(1, "unknown", response=response), key="it's")])
    page = draw(results)
    assert f"""foxapi resolve 'it'"'"'s' TASK_ID -o {tmp_path}""" in page.shown
    assert "<title>502</title> https://x.example/a?..." in page.shown
    assert "SECRET" not in page.text
    assert "SECRET" not in json.dumps(search_rows(tmp_path))


def test_requests_without_a_line_are_counted_with_what_to_do(results):
    results.append([failed(1)])
    page = draw(results, unfinished=3, not_submitted=12)
    assert "unfinished 3 Accepted and billed. Run the job again" in page.shown
    assert "not submitted 12 Nothing was sent." in page.shown


def test_files_in_folders_are_linked_and_those_of_former_releases_found(results, tmp_path):
    former = {"key": "a", "status": "completed", "files": [{"path": "../former/out/k2.png"}]}
    results.path.write_text(json.dumps(former) + "\n")
    inside = saved(tmp_path, 1, prefix="cats/")
    results.append([completed(tmp_path, 3, files=(inside,))])
    assert draw(results).all("a", "href")[-2:] == ["./k2.png", "./cats/1.png"]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../etc/passwd", "a/../../passwd", "C:\\x\\passwd", "//h/x/passwd"]
)
def test_no_link_leaves_the_folder(results, path):
    line = {"key": "a", "status": "completed", "files": [{"path": path}]}
    text = json.dumps(line) + "\n" + json.dumps(line | {"job": "j", "key": "b"}) + "\n"
    results.path.write_text(text)
    results.append([failed(1)])
    page = draw(results)
    assert page.count("figure") == 2
    assert set(page.all("a", "href")[-2:]) <= {"./passwd", "./_"}


def test_videos_and_sounds_can_be_played_and_other_files_are_linked(results, tmp_path):
    files = tuple(saved(tmp_path, 1, suffix=suffix) for suffix in ("mp4", "mp3", "pdf"))
    results.append([completed(tmp_path, 3, files=files)])
    page = draw(results)
    assert (page.all("video", "src"), page.all("audio", "src")) == (["./k1.mp4"], ["./k1.mp3"])
    assert page.all("video", "preload") == ["none"]
    assert "./k1.pdf" in page.all("a", "href")


def test_a_result_without_a_file_shows_its_data(results, tmp_path):
    data = ({"profile_id": "pf_1", "link": "https://x.example/?sig=SECRET"},)
    results.append([completed(tmp_path, 1, files=(), data=data)])
    page = draw(results)
    assert "profile_id: pf_1" in page.shown
    assert "SECRET" not in page.text
    assert page.count("figure") == 1


def test_the_saved_files_of_an_unsaved_request_are_shown(results, tmp_path):
    results.append([failed(1, "unsaved", files=(saved(tmp_path, 1),))])
    page = draw(results)
    assert (page.count("figure"), page.shown.count("it failed")) == (1, 1)


def test_a_page_with_200_large_requests_stays_small(results, tmp_path):
    Image.effect_noise((600, 400), 120).save(tmp_path / "noise.png")
    own = {f"column {number}": "値" * 300 for number in range(9)}
    many = [completed(tmp_path, n, request=PhotaImage("長い" * 4000), own=own,
                      files=(SavedFile("noise.png", 1, digest(n % 3), 0),))
            for n in range(PER_PAGE)]  # fmt: skip
    results.append(many)
    page = draw(results)
    folder = tmp_path / SHEET_FOLDER
    thumbnails = [tmp_path / source for source in page.all("img", "src")]
    assert {path.parent for path in thumbnails} == {folder}
    assert len(thumbnails) == PER_PAGE
    size = page.path.stat().st_size + sum(path.stat().st_size for path in thumbnails)
    assert size < 3_000_000


def test_the_data_for_the_search_is_in_parts_of_bounded_size(results, tmp_path):
    request = PhotaImage("</script>\u2028" + "x" * 5000)
    results.append([failed(n, request=request) for n in range(1000)])
    draw(results)
    parts = list((tmp_path / SHEET_FOLDER).glob("data-*.js"))
    assert len(parts) == 3
    assert max(part.stat().st_size for part in parts) < 1_200_000
    assert not any(b"<" in part.read_bytes() for part in parts)
    rows = search_rows(tmp_path)
    assert [row[1] for row in rows] == [f"f{n}" for n in range(1000)]
    assert rows[0][3].startswith("</script> xxx")


def test_the_search_has_own_columns_and_shows_them(results, tmp_path):
    own = {"category": "cats", "empty": "", "none": None, "number": 3.5}
    results.append([completed(tmp_path, 1, own=own)])
    assert "category cats" in draw(results).shown
    assert search_rows(tmp_path)[0][6] == [["category", "cats"], ["number", "3.5"]]


def test_what_a_longer_sheet_has_left_is_removed_and_nothing_else(results, tmp_path):
    folder = tmp_path / SHEET_FOLDER
    folder.mkdir()
    old = [tmp_path / "index-7.html", tmp_path / "index-failures.html", folder / "data-9.js"]
    unused, recent = folder / f"{'0' * 32}.jpg", folder / f"{'1' * 32}.jpg"
    others = [tmp_path / "index-x.html", folder / "photo.jpg", folder / "data-x.js"]
    for path in (*old, unused, recent, *others):
        path.write_bytes(b"")
    for path in (unused, folder / "photo.jpg"):
        os.utime(path, (0, 0))
    results.append([completed(tmp_path, 1)])
    draw(results)
    assert not any(path.exists() for path in (*old, unused))
    assert all(path.exists() for path in (recent, *others))


def test_thumbnails_are_used_again(results, tmp_path):
    results.append([completed(tmp_path, n) for n in range(3)])
    before = draw(results).all("img", "src")
    for number in range(3):
        (tmp_path / f"k{number}.png").write_bytes(b"gone")
    assert draw(results).all("img", "src") == before
    assert len(list((tmp_path / SHEET_FOLDER).glob("*.jpg"))) == 3


def test_a_changed_picture_gets_another_thumbnail(results, tmp_path):
    results.append([completed(tmp_path, 1)])
    before = draw(results).all("img", "src")
    results.append([completed(tmp_path, 1, files=(SavedFile("k1.png", 1, "f" * 64, 0),))])
    assert draw(results).all("img", "src") != before


def test_without_new_thumbnails_the_pictures_themselves_are_shown(results, tmp_path):
    results.append([completed(tmp_path, 1)])
    page = draw(results, SheetOptions(new_thumbnails=False))
    assert page.all("img", "src") == ["./k1.png"]
    assert page.all("img", "loading") == ["lazy"]


def test_without_pillow_the_pictures_themselves_are_shown(results, tmp_path, monkeypatch):
    results.append([completed(tmp_path, 1)])
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert draw(results).all("img", "src") == ["./k1.png"]


def test_a_cancelled_sheet_leaves_the_first_page_as_it_was(results, tmp_path):
    results.append([completed(tmp_path, 1)])
    draw(results)
    before = (tmp_path / "index.html").read_bytes()
    results.append([completed(tmp_path, 2)])
    options = SheetOptions(is_cancelled=lambda: True)
    assert write_sheet(tmp_path, results, {}, datetime.now(UTC), options) is None
    assert (tmp_path / "index.html").read_bytes() == before
    assert list(tmp_path.rglob("*.part")) == []


def test_the_drawing_reports_each_picture(results, tmp_path):
    results.append([completed(tmp_path, n) for n in range(3)])
    reports: list[int] = []
    draw(results, SheetOptions(report=reports.append))
    assert reports == [1, 2, 3]


def test_an_impossible_file_name_does_not_break_the_sheet(results):
    file = SavedFile("\ud800\udcff\0.png", 1, "abc", 0)
    results.append(
        [Result(line=1, key="k", status="completed", request=PhotaImage("p"), files=(file,))]
    )
    assert draw(results).count("figure") == 1


def test_lines_with_unusual_fields_do_not_break_the_sheet(results, tmp_path):
    lines = [
        {"key": "a", "status": "completed", "files": [3, {"path": ".."}, {"path": 1}]},
        {
            "key": "b",
            "status": "completed",
            "files": "x",
            "prompt": 3,
            "own": [1],
            "data": {"a": 1},
        },
        {"key": "c", "status": "failed", "error": "text", "line": None, "own": {"x": {"y": [1]}}},
        {"key": "d", "status": "<i>", "error": {"message": {"a": 1}, "code": 3}},
    ]
    with results.path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    results.append([completed(tmp_path, 1)])
    page = draw(results)
    assert page.count("figure") == 3
    assert "other 1 A newer version" in page.shown


def test_the_page_has_a_light_and_a_dark_theme(results):
    results.append([failed(1)])
    assert "@media(prefers-color-scheme:dark)" in draw(results).text
