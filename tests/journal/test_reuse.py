"""Whether two requests are the same POST."""

from __future__ import annotations

import pytest

from foxapi_async.journal.reuse import difference


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ""),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, ""),
        ({"a": 1}, {"a": 1.0}, "a 1 → 1.0"),
        ({"a": 1}, {"a": True}, "a 1 → true"),
        ({"a": None}, {}, "a null → nothing"),
        ({}, {"a": "b"}, 'a nothing → "b"'),
        ({"a": "x" * 1000}, {"a": "y" * 1000}, f'a "{"x" * 79}… → "{"y" * 79}…'),
    ],
)
def test_a_difference_is_told_field_by_field(before: dict, now: dict, said: str):
    assert difference("/p", before, "/p", now) == said


def test_another_path_is_another_request():
    assert difference("/v1/a", {}, "/v1/b", {}) == 'path "/v1/a" → "/v1/b"'
