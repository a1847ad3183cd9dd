"""Attempts of a request are counter, backoff stays within its bounds, Retry-After is parsed."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxapi_async import Retry
from foxapi_async.retry import (
    LONGEST_BELIEVED,
    Retrier,
    backoff,
    parse_retry_after,
)

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
seconds = st.floats(5e-324, 1e308)
jitters = st.floats(0, 1)


def new_retrier(**options: float) -> Retrier:
    return Retrier(Retry(**options), 0.0)


def failed(retrier: Retrier, *, now: float = 1.0) -> bool:
    return retrier.may_retry(rate_limited=False, now=now, was_served=True)


def limited(retrier: Retrier, *, now: float = 1.0, was_served: bool = True) -> bool:
    return retrier.may_retry(rate_limited=True, now=now, was_served=was_served)


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_request_is_attempted_as_often_as_configured(attempts):
    retrier = new_retrier(attempts=attempts)
    assert [failed(retrier) for _ in range(attempts)] == [True] * (attempts - 1) + [False]


def test_a_429_counts_before_the_server_has_accepted_anything():
    retrier = new_retrier(attempts=3)
    assert [limited(retrier, was_served=False) for _ in range(3)] == [True, True, False]


def test_a_429_does_not_count_once_the_server_has_accepted_something():
    retrier = new_retrier(attempts=2)
    assert all(limited(retrier) for _ in range(100))
    assert not failed(retrier)


def test_429s_are_retried_only_until_the_patience_is_over():
    retrier = new_retrier(patience=100.0)
    assert limited(retrier, now=100.0)
    assert not limited(retrier, now=100.1)


def test_attempts_of_one_disables_retries_after_a_429():
    assert not limited(new_retrier(attempts=1))


def test_pauses_double_up_to_the_longest():
    retrier = new_retrier(attempts=9, first=1.0, longest=10.0)
    pauses = []
    while failed(retrier):
        pauses.append(retrier.pause(1.0))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0]


@given(st.integers(1, 50), st.floats(0.01, 10), st.floats(10, 100), st.floats(0, 1))
def test_a_pause_is_positive_and_at_most_the_longest(failures, first, longest, jitter):
    retrier = new_retrier(attempts=100, first=first, longest=longest)
    for _ in range(failures):
        failed(retrier)
    assert 0 < retrier.pause(jitter) <= longest


@given(st.integers(1, 10**9), seconds, seconds, jitters)
@example(10**9, 5e-324, 1e308, 0.0)
@example(2000, 5e-324, 1e308, 1.0)
@example(1, 5e-324, 5e-324, 0.0)
def test_backoff_is_above_zero_and_at_most_its_longest(attempt, first, longest, jitter):
    assert 0 < backoff(attempt, first=first, longest=longest, jitter=jitter) <= longest


@given(st.integers(1, 1000), jitters)
def test_backoff_is_at_least_half_of_a_ceiling_that_doubles(attempt, jitter):
    ceiling = min(30.0, 0.5 * 2 ** (attempt - 1))
    wait = backoff(attempt, first=0.5, longest=30, jitter=jitter)
    assert ceiling / 2 <= wait <= ceiling


def test_backoff_doubles_until_it_reaches_its_longest():
    waits = [backoff(n, first=0.5, longest=3, jitter=1.0) for n in range(1, 6)]
    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_an_attempt_below_one_counts_as_the_first():
    assert backoff(0, first=1, longest=9, jitter=1.0) == backoff(1, first=1, longest=9, jitter=1.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        (".25", 0.25),
        ("3.", 3.0),
        ("3600", 3600.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 22 12:00:30 2026", 30.0),
        ("Sun, 22 Nov 2026 12:00:30 +0000", 30.0),
        ("Sun, 22 Nov 2026 11:59:59 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
    ],
)
def test_retry_after_is_parsed_in_every_form(value, expected):
    assert parse_retry_after(value, now=NOON) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "soon",
        "-1",
        "+5",
        "nan",
        "inf",
        "1e3",
        "0x10",
        "5 s",
        "5, 6",
        "3600.5",
        "9" * 400,
        "٣",
        "Sun, 22 Nov 2026 13:00:01 GMT",
        "Sun, 32 Nov 2026 12:00:30 GMT",
        "Sun, 22 Nov 99999 12:00:30 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2300",
    ],
)
def test_an_invalid_or_too_long_retry_after_is_ignored(value):
    assert parse_retry_after(value, now=NOON) is None


@given(st.integers(-86400, 3600), st.integers(-(10**7), 10**7))
def test_a_date_is_relative_to_the_clock_of_the_server(wait, skew):
    theirs = NOON + timedelta(seconds=skew)
    value = format_datetime(theirs + timedelta(seconds=wait), usegmt=True)
    date = format_datetime(theirs, usegmt=True)
    assert parse_retry_after(value, now=NOON, date=date) == max(wait, 0.0)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_without_a_usable_date_header_the_local_clock_is_used(date):
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    value = "Sun, 22 Nov 2026 12:01:00 GMT"
    assert parse_retry_after(value, now=elsewhere, date=date) == 60.0


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2},? [0-9 A-Za-z:+-]{0,30}"), st.none() | st.text())
def test_any_header_gives_none_or_a_wait_within_the_bounds(value, date):
    wait = parse_retry_after(value, now=NOON, date=date)
    assert wait is None or (math.isfinite(wait) and 0.0 <= wait <= LONGEST_BELIEVED)
