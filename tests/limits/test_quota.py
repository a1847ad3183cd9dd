"""Quotas per window: detected after two cycles, then exact, and discarded if they do not fit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.limits.measures import refused_share, served_per_second
from benchmarks.limits.servers import FixedWindow, TokenBucket, silent, whole_seconds
from benchmarks.limits.simulation import RateRun
from foxapi_async.limits.quota import QuotaSearch, Span
from foxapi_async.limits.rate_scheduler import RateScheduler

pytestmark = pytest.mark.once


def serve(search: QuotaSearch, count: int, *, start: float, gap: float = 0.01) -> bool:
    """Send and serve some requests, and return whether this revealed a window."""
    recognised = False
    for n in range(count):
        search.sent(start + n * gap)
        recognised |= search.answered(late=False, left=n + 1)
    return recognised


def after_cycles(*, quota: int = 100, length: float = 10.0, cycles: int = 3) -> QuotaSearch:
    """Return a search after cycles that used up the quota at the start of each window."""
    search = QuotaSearch()
    serve(search, quota, start=0.0)
    for cycle in range(1, cycles):
        closed_at = (cycle - 1) * length + quota * 0.01
        search.closed(closed_at)
        search.opened(Span(cycle * length - 0.5, cycle * length + 0.5))
        serve(search, quota, start=cycle * length + 0.5)
    return search


def test_two_cycles_with_the_same_count_are_a_window():
    assert after_cycles(cycles=2).length is None
    search = after_cycles()
    assert (search.length, search.quota, search.rate) == (10.0, 100, 10.0)


@pytest.mark.parametrize("length", [5.0, 7.0, 12.0, 60.0, 300.0])
def test_the_length_is_the_roundest_fitting_number_of_seconds(length):
    assert after_cycles(length=length).length == length


def test_cycles_with_different_counts_are_no_window():
    search = QuotaSearch()
    for cycle, count in enumerate((100, 80, 60, 100, 50)):
        serve(search, count, start=10.0 * cycle)
        search.closed(10.0 * cycle + 2)
        search.opened(Span(10.0 * cycle + 9, 10.0 * cycle + 10))
    assert search.length is None


def test_a_few_served_requests_are_no_opening():
    search = QuotaSearch()
    serve(search, 100, start=0.0)
    search.closed(1.0)
    search.opened(Span(1.0, 4.0))
    serve(search, 3, start=4.0)
    search.closed(4.1)
    search.opened(Span(9.0, 10.0))
    serve(search, 103, start=10.0)
    search.closed(11.1)
    search.opened(Span(19.0, 20.0))
    assert serve(search, 50, start=20.0)
    assert (search.length, search.quota) == (10.0, 103)


def used(search: QuotaSearch, count: int, *, recent: int, climbing: bool) -> bool:
    """Send some requests in the window that starts at 30 s, be refused, and return the result."""
    serve(search, count, start=30.5, gap=9.0 / count)
    search.sent(39.5)
    return search.explain(39.5, later=0, climbing=climbing, recent=recent)


@pytest.mark.parametrize(
    ("count", "climbing", "quota"),
    [(100, True, 100), (200, True, 200), (160, True, 160), (50, False, 50)],
)
def test_every_refusal_in_a_window_gives_the_quota(count, climbing, quota):
    search = after_cycles()
    assert used(search, count, recent=count + 30, climbing=climbing)
    assert search.quota == quota
    assert not search.slides


def test_a_sliding_window_is_detected():
    search = after_cycles()
    assert used(search, 60, recent=100, climbing=True)
    assert search.slides
    assert search.quota == 100
    assert search.reopening(39.5, 39.5, in_vain=False) is None


def test_the_next_opening_is_known():
    search = after_cycles()
    used(search, 100, recent=130, climbing=True)
    wait = search.reopening(39.5, 39.5, in_vain=False)
    assert wait is not None
    assert 0.0 <= wait <= 1.0


def test_a_refusal_below_the_quota_while_climbing_discards_the_window():
    search = after_cycles()
    assert not used(search, 40, recent=45, climbing=True)
    assert search.rate is None


def test_an_opening_at_another_time_discards_the_window():
    search = after_cycles()
    used(search, 100, recent=130, climbing=True)
    search.closed(39.5)
    search.opened(Span(44.0, 45.0))
    serve(search, 60, start=45.0)
    assert search.rate is None


moments = st.floats(0, 100) | st.floats(0, 0.5)


@given(
    st.lists(
        st.tuples(moments, st.sampled_from("srao"), moments, st.booleans(), st.integers(0, 500)),
        max_size=80,
    )
)
def test_the_rate_is_always_positive_and_every_wait_finite(events):
    search, now = QuotaSearch(), 0.0
    for gap, what, length, flag, count in events:
        now += gap
        if what == "s":
            search.sent(now)
        elif what == "r":
            search.explain(now, later=0, climbing=flag, recent=count)
            search.closed(now)
        elif what == "a":
            search.answered(late=flag, left=count)
        else:
            search.opened(Span(now, now + length))
        assert search.rate is None or (math.isfinite(search.rate) and search.rate > 0)
        wait = search.reopening(now, now, in_vain=flag)
        assert wait is None or (math.isfinite(wait) and wait >= 0)


@pytest.mark.parametrize("retry_after", [silent, whole_seconds])
@pytest.mark.parametrize("seed", [31, 32])
def test_a_quota_per_ten_seconds_is_found_and_tracked(retry_after, seed):
    server = FixedWindow(20, 10.0, phase=3.0 * seed)
    run = RateRun(server, RateScheduler(), seed=seed, retry_after=retry_after)
    run.run(240)
    assert served_per_second(run.records, 60, 240) >= 0.95 * 20
    assert refused_share(run.records, 60, 240) < 0.02
    server.rate = 10
    run.run(360)
    assert served_per_second(run.records, 300, 360) >= 0.9 * 10
    assert refused_share(run.records, 300, 360) < 0.02


def test_a_bucket_refilled_during_a_pause_is_not_mistaken_for_a_window():
    run = RateRun(TokenBucket(20, 20), RateScheduler(), seed=33, retry_after=whole_seconds)
    run.run(120)
    assert served_per_second(run.records, 60, 120) >= 0.95 * 20
