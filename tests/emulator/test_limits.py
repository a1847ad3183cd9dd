"""Token buckets and the forms of Retry-After, without a server."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.emulator.limits import TokenBucket, bucket, retry_after_headers


@given(
    rate=st.floats(0.5, 100),
    burst=st.floats(1, 20),
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=200),
)
def test_no_bucket_ever_lets_more_through_than_its_burst_and_its_rate(rate, burst, pauses):
    tokens, now, through = TokenBucket(rate, burst), 0.0, 0
    for pause in pauses:
        now += pause
        through += tokens.wait(now) == 0
    assert through <= burst + rate * now + 1e-6


@given(rate=st.floats(0.5, 100))
def test_whoever_waits_as_long_as_told_gets_through(rate):
    tokens = TokenBucket(rate, 1)
    assert tokens.wait(100.0) == 0
    wait = tokens.wait(100.0)
    assert 0 < wait <= 1 / rate + 1e-9
    assert tokens.wait(100.0 + wait + 1e-6) == 0


def test_a_second_worth_comes_at_once():
    tokens = bucket(5)
    assert tokens is not None
    assert [tokens.wait(0.0) == 0 for _ in range(6)] == [True] * 5 + [False]


def test_no_rate_is_no_bucket_and_a_rate_of_nothing_is_refused():
    assert bucket(None) is None
    with pytest.raises(ValueError, match="rate above 0"):
        bucket(0)


def test_retry_after_is_spelt_in_four_ways():
    assert retry_after_headers("seconds", 1.2, 0.0) == {"Retry-After": "2"}
    date = parsedate_to_datetime(retry_after_headers("date", 1.2, 1_760_000_000.0)["Retry-After"])
    assert 1.2 <= date.timestamp() - 1_760_000_000 <= 4
    assert float(retry_after_headers("absurd", 1.2, 0.0)["Retry-After"]) == float("inf")
    assert retry_after_headers("absent", 1.2, 0.0) == {}
