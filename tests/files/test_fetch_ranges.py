"""A response resumes a download only if it continues the same file at the right byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.files.fetch import BodyRange, body_range, range_headers, validator_of

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
    given_headers = {"ETag": etag, "Last-Modified": modified, "Date": date}
    headers = {name: value for name, value in given_headers.items() if value is not None}
    assert validator_of(headers) == expected


def test_missing_bytes_are_asked_for_only_with_a_validator():
    assert range_headers(5, '"a"') == {"Range": "bytes=5-", "If-Range": '"a"'}
    assert range_headers(0, '"a"') == {}
    assert range_headers(5, None) == {}


def answer(
    status=206,
    *,
    received=100,
    total=300,
    validator='"a"',
    etag='"a"',
    content_range="bytes 100-299/300",
    content_length=200,
):
    names = {"ETag": etag, "Content-Range": content_range, "Content-Length": content_length}
    headers = {name: str(value) for name, value in names.items() if value is not None}
    return body_range(status, headers, received=received, total=total, validator=validator)


def test_the_requested_part_is_accepted():
    assert answer() == BodyRange(100, 300, 300)
    assert answer(etag=None, content_length=None) == BodyRange(100, 300, 300)
    assert answer(content_range="bytes 100-299/*") == BodyRange(100, 300, 300)
    assert answer(content_range="bytes 100-199/300", content_length=100) == BodyRange(100, 200, 300)
    assert answer(total=None, content_range="bytes 100-299/*") == BodyRange(100, 300, None)
    assert answer(validator=THEN, etag='"new"') == BodyRange(100, 300, 300)


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
        {"received": 0, "content_range": "bytes 0-299/300", "content_length": 300},
    ],
    ids=str,
)
def test_any_other_part_is_rejected(given_facts):
    assert answer(**given_facts) is None


def test_the_whole_file_is_always_accepted():
    assert answer(200, content_range=None, content_length=300) == BodyRange(0, 300, 300)
    assert answer(200, content_range=None, content_length=None) == BodyRange(0, None, None)


@given(st.text(), st.integers(0, 10**6), st.none() | st.integers(0, 10**6))
def test_an_accepted_part_starts_at_the_requested_byte_whatever_the_header_is(
    header, received, total
):
    for value in (header, f"bytes {header}", f"bytes {received}-{header}"):
        found = answer(content_range=value, received=received, total=total, content_length=None)
        assert found is None or (found.start == received and found.end > received)
