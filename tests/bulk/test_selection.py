"""Selections of lines: what is named is selected, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import InvalidRequestError, PhotaImage
from foxapi_async.bulk import Job, JobFileError, JobLine, Selection
from foxapi_async.bulk.input.selection import keys_text

RANGES = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))),
    min_size=1,
    max_size=8,
)


def line(number: int, key: str = "k") -> JobLine:
    return JobLine(number, key, PhotaImage("x"))


@given(RANGES)
def test_exactly_the_lines_of_the_ranges_are_selected(ranges: list[tuple[int, int]]):
    text = ",".join(f"{first}-{last}" if first < last else str(first) for first, last in ranges)
    selection = Selection.parse(text)
    named = {number for first, last in ranges for number in range(first, last + 1)}
    assert {number for number in range(1, 90) if line(number) in selection} == named
    assert selection.missing(map(line, range(1, 90))) == []


KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(KEYS, min_size=1, unique=True))
def test_any_keys_can_be_written_and_read_again(keys: list[str]):
    text = keys_text(keys)
    assert Selection.parse(keys=text).keys == set(keys)
    assert not text.startswith("@")


def test_with_lines_and_keys_both_are_selected():
    selection = Selection.parse("1-2", 'b,"c,d"')
    keys = {(1, "a"), (2, "a"), (3, "a"), (3, "b"), (4, "c,d"), (4, "c")}
    assert {each for each in keys if line(*each) not in selection} == {(3, "a"), (4, "c")}


@pytest.mark.parametrize(
    ("lines", "keys", "words"),
    [
        ("0", None, "'0' is neither a line nor a range"),
        ("9-5", None, "'9-5' is neither"),
        ("1,,2", None, "such as 100-200,305"),
        ("1-2-3", None, "neither"),
        ("", None, "neither"),
        ("a", None, "neither"),
        (None, "", "keys are empty"),
        (None, ",", "keys are empty"),
        (None, '"a', "quote a key with a comma"),
        (None, None, "needs lines or keys"),
    ],
)
def test_another_form_is_refused(lines: str | None, keys: str | None, words: str):
    with pytest.raises(InvalidRequestError, match=words):
        Selection.parse(lines, keys)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    path = tmp_path / "jobs.jsonl"
    lines = [
        '{"prompt": "a", "num_outputs": 3}',
        "",
        '{"prompt": "a"}',
        '{"prompt": "b", "key": "b"}',
    ]
    path.write_text("\n".join(lines))
    return Job.read(path)


def test_a_narrowed_job_has_the_numbers_and_keys_of_the_whole(job: Job):
    whole = {each.number: each for each in job.lines()}
    narrow = job.select(Selection.parse("3", "b"))
    assert list(narrow.lines()) == [whole[3], whole[4]]
    assert (narrow.requests, narrow.outputs, narrow.heaviest) == (2, 2, 1)
    assert narrow.plan(None).submit == 2
    assert narrow.whole == job
    # Not narrowed further, but anew.
    again = narrow.select(Selection.parse("1-3"))
    assert (again.requests, again.outputs, again.heaviest) == (2, 4, 3)


def test_what_the_job_does_not_have_is_told_before_anything_is_sent(job: Job):
    with pytest.raises(JobFileError) as caught:
        job.select(Selection.parse("1,2,9-12", "b,c"))
    assert "no request begins at line 2; no request begins at line 9, nor at any up to 12" in str(
        caught.value
    )
    assert "no line has the key 'c'; nothing was sent" in str(caught.value)
