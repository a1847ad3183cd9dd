"""A part is taken only if it is the part that was asked for, of the file that is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.files.ranges import Opening, opening, range_headers, validator_of

THEN = "Sun, 22 Nov 2026 12:00:00 GMT"
SOON = "Sun, 22 Nov 2026 12:00:01 GMT"


@pytest.mark.parametrize(
    ("etag", "modified", "date", "expected"),
    [
        ('"abc"', None, None, '"abc"'),
        ('"abc"', THEN, THEN, '"abc"'),
        ('W/"abc"', None, None, None),
        ('W/"abc"', THEN, SOON, THEN),
        ("abc", None, None, None),
        ('"a"b"', None, None, None),
        (None, THEN, SOON, THEN),
        (None, THEN, None, THEN),
        (None, THEN, THEN, None),
        (None, "yesterday", SOON, None),
        (None, THEN, "today", None),
        (None, None, THEN, None),
    ],
)
def test_only_a_strong_validator_is_used(etag, modified, date, expected):
    assert validator_of(etag, modified, date) == expected


def test_what_is_missing_is_asked_for_only_with_a_validator():
    assert range_headers(5, '"a"') == {"Range": "bytes=5-", "If-Range": '"a"'}
    assert range_headers(0, '"a"') == {}
    assert range_headers(5, None) == {}


def answer(status=206, **given):
    facts = {
        "asked": 100,
        "total": 300,
        "validator": '"a"',
        "etag": '"a"',
        "content_range": "bytes 100-299/300",
        "content_length": 200,
    }
    return opening(status, **{**facts, **given})


def test_the_part_that_was_asked_for_is_taken():
    assert answer() == Opening(100, 300, 300)
    assert answer(etag=None, content_length=None) == Opening(100, 300, 300)
    assert answer(content_range="bytes 100-299/*") == Opening(100, 300, 300)
    assert answer(content_range="bytes 100-199/300", content_length=100) == Opening(100, 200, 300)
    assert answer(total=None, content_range="bytes 100-299/*") == Opening(100, 300, None)
    assert answer(validator=THEN, etag='"new"') == Opening(100, 300, 300)


@pytest.mark.parametrize(
    "given_facts",
    [
        {"content_range": None},
        {"content_range": "bytes 99-299/300", "content_length": 201},
        {"content_range": "bytes 101-299/300", "content_length": None},
        {"content_range": "bytes 100-299/301"},
        {"content_range": "bytes 100-300/300"},
        {"content_range": "bytes 100-99/300"},
        {"content_range": "bytes */300"},
        {"content_range": "items 100-299/300"},
        {"content_length": 199},
        {"etag": '"b"'},
        {"asked": 0, "content_range": "bytes 0-299/300", "content_length": 300},
    ],
    ids=str,
)
def test_any_other_part_is_not(given_facts):
    assert answer(**given_facts) is None


def test_the_whole_file_is_always_welcome():
    assert answer(200, content_range=None, content_length=300) == Opening(0, 300, 300)
    assert answer(200, content_range=None, content_length=None) == Opening(0, None, None)


@given(st.text(), st.integers(0, 10**6), st.none() | st.integers(0, 10**6))
def test_whatever_the_header_says_a_part_begins_where_it_was_asked_for(header, asked, total):
    for value in (header, f"bytes {header}", f"bytes {asked}-{header}"):
        found = answer(content_range=value, asked=asked, total=total, content_length=None)
        assert found is None or (found.start == asked and found.end > asked)
