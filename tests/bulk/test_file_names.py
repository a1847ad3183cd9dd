"""The names of the files of a whole job: clashes are numbered, and faults found before anything is paid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import JobFileError, PhotaImage
from foxapi_async.bulk import Job, JobLine, Selection, check_file_names
from foxapi_async.bulk.results.file_names import FileNames, checking_names
from foxapi_async.bulk.results.name_pattern import NamePattern


def job(*own: dict[str, Any], outputs: int = 1) -> list[JobLine]:
    request = PhotaImage("fox", num_outputs=outputs)
    return [JobLine(n, f"k{n}", request, each) for n, each in enumerate(own, 1)]


def check(lines: list[JobLine], pattern: str, directory: Path) -> FileNames:
    found = FileNames(NamePattern.parse(pattern), directory)
    for line in lines:
        found.add(line)
    found.check(Path("jobs.jsonl"))
    return found


def names(pattern: str, lines: list[JobLine], directory: Path) -> list[str]:
    found = check(lines, pattern, directory)
    try:
        return [
            "/".join((*name.folders, name.stem))
            for line in lines
            for index in range(line.request.num_outputs)
            for name in [found.name_of(line, index, several=line.request.num_outputs > 1)]
        ]
    finally:
        found.close()


def test_clashes_are_numbered_in_the_order_of_the_lines(tmp_path: Path):
    lines = job({"c": "a"}, {"c": "A"}, {"c": "b"}, {"c": "a"}, {"c": "a~2"})
    assert names("{c}", lines, tmp_path) == ["a", "A~2", "b", "a~3", "a~2~2"]
    accented = job({"c": "\u00e9"}, {"c": "e\u0301"})
    assert len(set(map(str.casefold, names("{c}", accented, tmp_path)))) == 2
    assert names("{c}", accented, tmp_path)[1].endswith("~2")


def test_a_number_that_a_line_has_as_its_own_is_skipped(tmp_path: Path):
    assert names("{c}", job({"c": "a~2"}, {"c": "a"}, {"c": "a"}), tmp_path) == ["a~2", "a", "a~3"]


def test_several_outputs_get_their_index(tmp_path: Path):
    lines = job({"c": "a"}, {"c": "a"}, outputs=2)
    assert names("{c}/x", lines, tmp_path) == ["a/x-0", "a/x-1", "a/x-0~2", "a/x-1~2"]
    assert names("{c}/{index}", lines, tmp_path) == ["a/0", "a/1", "a/0~2", "a/1~2"]


@given(st.lists(st.sampled_from(["a", "A", "a~2", "a~3", "b.png", "b", "a~2~2", "ß", "ss"])))
def test_no_two_files_of_a_job_have_one_name(texts: list[str]):
    made = names("{c}", job(*({"c": text} for text in texts)), Path())
    assert len({name.casefold() for name in made}) == len(texts)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("{colour}", "no line has a field 'colour'; there are c, d, model, prompt"),
        ("{key}-{d}", "'d' is missing in line 2, 3; give every line a value"),
        ("{key}-{c:d}", "line 2, --name: c: 'x' cannot be formatted as 'd'"),
    ],
)
def test_what_a_line_lacks_is_told_once(tmp_path: Path, pattern: str, told: str):
    lines = job({"c": "1", "d": "1"}, {"c": "x", "d": None}, {"c": "3"})
    with pytest.raises(JobFileError) as refused:
        check(lines, pattern, tmp_path)
    assert str(refused.value).count(told) == 1
    assert "nothing was sent" in str(refused.value)
    assert refused.value.field == "name"


def test_only_the_first_faults_are_shown(tmp_path: Path):
    lines = job({"c": 1}, *({"c": "x"} for _ in range(1100)), *({} for _ in range(30)))
    with pytest.raises(JobFileError) as refused:
        check(lines, "{c:d}", tmp_path)
    text = str(refused.value)
    assert "… and 1,080 more" in text
    assert "'c' is missing in line 1102, 1103" in text
    assert "and 10 more; give every line" in text
    assert (len(refused.value.problems), refused.value.more) == (1000, 100)


def test_a_folder_that_is_a_file_is_refused_before_anything_is_paid(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"a file")
    with pytest.raises(JobFileError, match=r"the folder .*a cannot be made"):
        check(job({"c": "a"}), "{c}/{key}", tmp_path)
    check(job({"c": "b"}), "{c}/{key}", tmp_path).close()


@pytest.mark.parametrize("selection", [None, Selection.parse("1")])
def test_a_pattern_must_suit_all_lines_also_if_some_are_selected(
    tmp_path: Path, selection: Selection | None
):
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"prompt": "a", "category": "x"}\n{"prompt": "b"}\n')
    whole = Job.read(path)
    some = whole if selection is None else whole.select(selection)
    check_file_names(some, "{line}", tmp_path)
    with (
        pytest.raises(JobFileError, match="'category' is missing in line 2"),
        checking_names(some, "{category}/{key}", tmp_path) as on_line,
    ):
        some.plan(None, on_line=on_line)
    with checking_names(some, None, tmp_path) as on_line:
        assert on_line is None
