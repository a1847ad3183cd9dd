"""Waiting after trouble: the backoff stays in its bounds, and Retry-After is read with care."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxapi_async.backoff import LONGEST_BELIEVED, backoff, parse_retry_after

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
seconds = st.floats(5e-324, 1e308)
dice = st.floats(0, 1)


@given(st.integers(1, 10**9), seconds, seconds, dice)
@example(10**9, 5e-324, 1e308, 0.0)
@example(2000, 5e-324, 1e308, 1.0)
@example(1, 5e-324, 5e-324, 0.0)
def test_backoff_is_never_zero_and_never_exceeds_its_cap(attempt, first, longest, jitter):
    assert 0 < backoff(attempt, first=first, longest=longest, jitter=jitter) <= longest


@given(st.integers(1, 1000), dice)
def test_backoff_is_at_least_half_of_a_ceiling_that_doubles(attempt, jitter):
    ceiling = min(30.0, 0.5 * 2 ** (attempt - 1))
    wait = backoff(attempt, first=0.5, longest=30, jitter=jitter)
    assert ceiling / 2 <= wait <= ceiling


def test_backoff_doubles_until_it_reaches_its_longest():
    waits = [backoff(n, first=0.5, longest=3, jitter=1.0) for n in range(1, 6)]
    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_an_attempt_below_one_waits_like_the_first():
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
def test_retry_after_is_read_in_every_form(value, expected):
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
def test_nonsense_in_retry_after_is_not_believed(value):
    assert parse_retry_after(value, now=NOON) is None


@given(st.integers(-86400, 3600), st.integers(-(10**7), 10**7))
def test_a_date_is_read_against_the_servers_own_clock(wait, skew):
    theirs = NOON + timedelta(seconds=skew)
    value = format_datetime(theirs + timedelta(seconds=wait), usegmt=True)
    date = format_datetime(theirs, usegmt=True)
    assert parse_retry_after(value, now=NOON, date=date) == max(wait, 0.0)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_without_a_usable_date_header_our_own_clock_counts(date):
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    value = "Sun, 22 Nov 2026 12:01:00 GMT"
    assert parse_retry_after(value, now=elsewhere, date=date) == 60.0


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2},? [0-9 A-Za-z:+-]{0,30}"), st.none() | st.text())
def test_whatever_the_headers_say_the_wait_is_none_or_believable(value, date):
    wait = parse_retry_after(value, now=NOON, date=date)
    assert wait is None or (math.isfinite(wait) and 0.0 <= wait <= LONGEST_BELIEVED)
