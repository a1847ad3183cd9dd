"""The rate search: what it learns from each refusal, and the bounds of its results."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.limits.rate import RateSearch


def steady(search: RateSearch, *, rate: float, start: float, seconds: float) -> float:
    """Send requests at a constant rate, all answered, and return the time after the last."""
    count = round(rate * seconds)
    for n in range(count):
        search.sent(start + n / rate)
        search.answered(start + n / rate, start + n / rate)
    return start + count / rate


def test_before_a_refusal_the_rate_is_unlimited():
    search = RateSearch()
    steady(search, rate=1000, start=0.0, seconds=2)
    assert search.rate(2.0) is None
    assert search.estimate is None


def test_after_the_first_refusal_the_rate_is_found_by_doubling():
    search = RateSearch()
    search.sent(0.0)
    search.resume(search.refused(0.1, 0.0) + 0.1)
    rates = []
    now = 0.5
    for _ in range(80):
        rate = search.rate(now)
        assert rate is not None
        rates.append(rate)
        search.sent(now)
        now += 1.0 / rate
    assert rates[0] < 2
    assert rates[-1] > 20


def test_the_rate_served_between_two_refusals_is_the_estimate():
    search = RateSearch()
    now = 0.0
    for _ in range(4):
        search.sent(now)
        search.resume(now + search.refused(now + 0.02, now))
        now = steady(search, rate=10.5, start=now + 0.1, seconds=20)
    assert search.estimate is not None
    assert 9 < search.estimate < 11


def test_a_removed_limit_is_dropped_within_minutes():
    search = RateSearch()
    search.sent(0.0)
    search.refused(0.1, 0.0)
    now = steady(search, rate=5.0, start=1.0, seconds=2)
    search.sent(now)
    search.refused(now, now)
    start = now
    while (rate := search.rate(now)) is not None and now < start + 600:
        search.sent(now)
        now += 1.0 / rate
    assert now - start < 150


def test_an_idle_session_does_not_raise_the_limit():
    search = RateSearch()
    for start in (0.0, 10.0):
        now = steady(search, rate=5.0, start=start, seconds=5)
        search.sent(now)
        search.refused(now, now)
    held = search.rate(now)
    idle = search.rate(now + 200)
    assert held is not None
    assert idle is not None
    assert idle < 1.1 * held


def test_refusals_without_an_answer_in_between_extend_the_pause_and_keep_the_estimate():
    search = RateSearch()
    now = steady(search, rate=50.0, start=0.0, seconds=3)
    pauses, estimates = [], []
    for _ in range(9):
        search.sent(now)
        pause = search.refused(now + 0.05, now)
        search.resume(now + 0.05 + pause)
        pauses.append(pause)
        estimates.append(search.estimate)
        now += 0.05 + pause
    assert pauses[1:] == sorted(pauses[1:])
    assert pauses[-1] == 30.0
    assert len(set(estimates)) == 1


gaps = st.floats(0, 100) | st.floats(0, 0.01)


@given(st.lists(st.tuples(gaps, st.sampled_from("sarp"), st.floats(0, 3600)), max_size=60))
def test_the_rate_is_always_positive_and_every_pause_finite(events):
    search, now, left = RateSearch(), 0.0, [0.0]
    for gap, what, length in events:
        now += gap
        if what == "s":
            search.sent(now)
            left.append(now)
        elif what == "a":
            search.answered(now, left[-1])
        elif what == "r":
            pause = search.refused(now, left[-1])
            assert 0 < pause <= 30
            search.resume(now + pause)
        else:
            search.resume(now + length)
        rate = search.rate(now)
        assert rate is None or (math.isfinite(rate) and rate > 0)
