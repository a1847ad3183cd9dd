"""Task ids that are safe in a URL path."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from foxapi_async import InvalidRequestError
from foxapi_async.http.ids import TASK_ID, check_task_id

GOOD = [
    "task-unified-1760000000-k3v9x2ab", "a", "7", "-", "~", "_", "...", ".a", "a.", "a:b", "a~b",
    "A" * 256, "a" + ":" * 255,
]  # fmt: skip
BAD = [
    *("", ".", "..", " ", "a b", " a", "a\n", "a\x00", "a/b", "/a", "../a", "a\\b", "a?b", "a#b"),
    *("a%2fb", "a@b", "a;b", "é", "\uff11", "a" * 257, ":a", "~:", "a:b~"),
    *(None, 5, True, b"a", ["a"], {"id": "a"}),
]  # fmt: skip


@pytest.mark.parametrize("value", GOOD)
def test_an_id_that_either_careful_client_accepts_is_valid(value):
    assert TASK_ID.fullmatch(value)
    assert check_task_id(value) == value


@pytest.mark.parametrize("value", BAD)
def test_any_other_value_is_refused(value):
    assert not (isinstance(value, str) and TASK_ID.fullmatch(value))
    with pytest.raises(InvalidRequestError, match="1 to 256 letters, digits") as refused:
        check_task_id(value)
    assert (refused.value.field, refused.value.value) == ("task_id", value)
    assert repr(value) in str(refused.value)


@given(
    st.text(max_size=300) | st.from_regex(re.compile(r"[A-Za-z0-9._~:-]{0,300}"), fullmatch=True)
)
def test_a_valid_id_is_always_one_segment_of_the_path(value):
    if TASK_ID.fullmatch(value):
        url = URL(f"https://api.example/v1/tasks/{quote(value, safe='')}", encoded=True)
        assert url.parts == ("/", "v1", "tasks", value)
        assert not url.query_string
        assert not url.fragment
