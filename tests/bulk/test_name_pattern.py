"""Patterns for the names of files: what they make, and what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import GenerationRequest, InvalidRequestError, PhotaImage
from foxapi_async.bulk import JobLine
from foxapi_async.bulk.results.name_pattern import MOST_BYTES, NamePattern, values_of

LINE = JobLine(7, "fox", PhotaImage("a  red\nfox", num_outputs=2), {"category": "Animals/wild"})


def name(pattern: str, line: JobLine = LINE, index: int | None = 1) -> str:
    made = NamePattern.parse(pattern).render(values_of(line, index or 0), index=index)
    return "/".join((*made.folders, made.stem))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{key}", "fox-1"),
        ("{key}-{index}", "fox-1"),
        ("{index:03}_{line:05}", "001_00007"),
        ("{category}/{line}", "Animals_wild/7-1"),
        ("{prompt}", "a red fox-1"),
        ("{prompt:.3}", "a r-1"),
        ("{model}/{resolution}/{aspect_ratio}", "phota-image/1K/1_1-1"),
        ("{{{key}}}", "{fox}-1"),
        ("{key}.png", "fox-1"),
        ("results.jsonl/{key}", "_results.jsonl/fox-1"),
        ("con/{key}", "_con/fox-1"),
        ("x./{key}", "x/fox-1"),
    ],
)
def test_a_pattern_is_filled_in(pattern: str, expected: str):
    assert name(pattern) == expected


def test_one_output_needs_no_index():
    assert name("{key}", index=None) == "fox"


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [("7", ":05", "00007"), (7, ":05", "00007"), ("1.5", ":.2f", "1.50"), ("7", "", "7"),
     (True, "", "true"), (["a", 1], "", "[_a_, 1]"), ("x", ":>4", "_  x")],
)  # fmt: skip
def test_numbers_of_tables_are_formatted_as_numbers(value: object, spec: str, expected: str):
    line = JobLine(1, "k", PhotaImage("p"), {"own": value})
    assert name(f"{{own{spec}}}", line, None) == expected


def test_a_text_that_is_no_number_is_named():
    line = JobLine(1, "k", PhotaImage("p"), {"own": "seven"})
    with pytest.raises(ValueError, match=r"own: 'seven' cannot be formatted as '05d'"):
        name("{own:05d}", line)


def test_columns_may_have_any_name_and_are_never_attributes():
    line = JobLine(1, "k", PhotaImage("p"), {"Challenge type": "hard", "key.upper": "mine"})
    assert name("{Challenge type}-{key.upper}", line, None) == "hard-mine"
    with pytest.raises(KeyError):
        name("{key.__class__}")


def test_fields_of_any_request_are_known():
    request = GenerationRequest("new-model", {"seed": 5, "prompt": ["not", "a", "text"]})
    assert name("{seed:03}-{model}", JobLine(1, "k", request), None) == "005-new-model"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "an empty part"),
        ("/{key}", "cannot leave the directory"),
        ("{key}/", "cannot leave the directory"),
        ("../{key}", r"the part '\.\.'"),
        ("a//{key}", "an empty part"),
        ("a\\{key}", "separated by /"),
        ("{key", "expected '}'"),
        ("{}", "without a name"),
        ("{key!r}", "no conversions"),
        ("{key:{line}}", "widths are numbers up to"),
        ("{key:>999999999}", "widths are numbers up to"),
        ("{key:zz}", "Invalid format specifier|Unknown format code"),
        ("picture", "all files would have one name"),
        ("{key}/" * 11 + "x", "more than 9 folders"),
        ("{key}" * 300, "longer than"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_fields_there_are(pattern: str, reason: str):
    with pytest.raises(InvalidRequestError, match=reason) as refused:
        NamePattern.parse(pattern)
    assert refused.value.field == "name"
    assert "line, key, index, model, prompt" in str(refused.value)


@given(st.text(min_size=1), st.text(max_size=300), st.integers(0, 999) | st.none())
def test_no_value_leaves_the_directory(category: str, prompt: str, index: int | None):
    line = JobLine(1, "k", PhotaImage("p"), {"category": category, "text": prompt})
    made = NamePattern.parse("{category}/{text}").render(values_of(line, 0), index=index)
    assert len(made.folders) == 1
    for part in (*made.folders, made.stem):
        assert part not in {"", ".", ".."}
        assert not set(part) & set("/\\\0:")
        assert len(part.encode()) <= MOST_BYTES + len("-999")
