"""The pacer: no limit until a 429, then a pause, then the pace that the server bears."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.pacing import Lane, Pacer


def send_all(pacer: Pacer, lane: Lane, *, count: int, start: float = 0.0) -> list[float]:
    """Send as fast as the pacer allows, and return the moments."""
    now, moments = start, []
    pacer.waiting(lane, count)
    while len(moments) < count:
        while (delay := pacer.delay(lane, now)) > 0:
            now += delay
        pacer.sent(lane, now)
        moments.append(now)
        pacer.waiting(lane, count - len(moments))
    return moments


def test_without_a_429_there_is_no_limit():
    assert send_all(Pacer(), Lane.SUBMIT, count=1000) == [0.0] * 1000


@given(st.floats(0.01, 1e4), st.integers(2, 60))
def test_a_ceiling_holds_in_every_window(ceiling, count):
    pacer = Pacer(submissions_per_second=ceiling)
    moments = send_all(pacer, Lane.SUBMIT, count=count)
    for first in range(count):
        for last in range(first, count):
            most = ceiling * (moments[last] - moments[first] + 0.02) + 1
            assert last - first + 1 <= most * (1 + 1e-9)


@pytest.mark.parametrize("ceiling", [0.0, -1.0, float("nan"), float("inf")])
def test_a_ceiling_that_is_no_rate_is_refused(ceiling):
    with pytest.raises(ValueError, match="above 0"):
        Pacer(polls_per_second=ceiling)


@given(st.floats(0, 3600), st.sampled_from(Lane))
def test_nothing_leaves_before_retry_after_has_passed(wait, lane):
    pacer = Pacer()
    pacer.sent(Lane.POLL, 0.0)
    pacer.refused(Lane.POLL, 1.0, wait)
    assert 1.0 + pacer.delay(lane, 1.0) >= 1.0 + wait
    assert pacer.snapshot(1.0).paused_until in (None, 1.0 + wait)


@pytest.mark.parametrize("wait", [-1.0, float("nan"), float("inf"), 3600.1])
def test_a_retry_after_that_makes_no_sense_is_not_believed(wait):
    pacer = Pacer()
    pacer.sent(Lane.POLL, 0.0)
    pacer.refused(Lane.POLL, 1.0, wait)
    assert 0 < pacer.delay(Lane.POLL, 1.0) <= 60
