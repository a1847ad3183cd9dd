"""The estimate of a rate: what a refusal means, and how the rate grows afterwards."""

from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.limits import cubic
from foxapi_async.limits.cubic import CubicRate


class Lane:
    """A lane that sends at a constant rate, and its estimate."""

    def __init__(self) -> None:
        self.departures = deque[float]()
        self.cubic = CubicRate(self.departures)
        self.now = 0.0

    def send(self, rate: float, seconds: float, *, served: bool = True) -> None:
        for _ in range(round(rate * seconds)):
            self.departures.append(self.now)
            self.cubic.sent()
            if served:
                self.cubic.answered(self.now, self.now)
            self.now += 1.0 / rate

    def refuse(self, *, told: bool = False, is_other: bool = False) -> None:
        self.departures.append(self.now)
        self.cubic.sent()
        self.cubic.refused(self.now, self.now, told=told, is_other=is_other)
        self.now += 1e-3

    def rate(self, later: float = 0.0) -> float | None:
        return self.cubic.rate(self.now + later)


def limited(rate: float = 10.0) -> Lane:
    """Return a lane that was refused once, after sending at a rate for 20 s, and is served again."""
    lane = Lane()
    lane.send(rate, 20.0)
    lane.refuse()
    lane.send(rate, 1.0 / rate)
    return lane


def test_before_a_refusal_the_rate_is_unlimited():
    lane = Lane()
    lane.send(1000.0, 2.0)
    assert lane.rate() is None
    assert lane.cubic.gap(lane.now) == 0.0


def test_a_refusal_leaves_most_of_the_rate_at_which_it_happened():
    assert limited(10.0).rate() == pytest.approx(8.5, rel=0.05)


def test_the_rate_is_back_after_8_s_and_doubled_after_23_s():
    lane = limited(10.0)
    assert lane.rate(8.0) == pytest.approx(10.0, rel=0.05)
    assert lane.rate(12.0) == pytest.approx(10.0, rel=0.1)
    assert lane.rate(23.5) == pytest.approx(20.0, rel=0.1)


def test_a_slow_rate_is_back_after_15_requests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cubic, "_LEAST_FIRST", 0.5)
    lane = limited(0.5)
    assert lane.rate(8.0) == pytest.approx(0.985, rel=0.01)
    assert lane.rate(15.0) == pytest.approx(1.0, rel=0.01)


def test_the_limit_is_forgotten_after_a_quiet_minute():
    lane = limited(10.0)
    assert lane.rate(60.0) is not None
    assert lane.rate(70.0) is None


def test_a_burst_counts_less_than_the_rate_of_the_last_seconds():
    lane = limited(10.0)
    lane.send(10.0, 10.0)
    lane.send(1000.0, 0.1)
    before = lane.rate()
    assert before is not None
    lane.refuse()
    lane.send(10.0, 0.1)
    assert (lane.rate() or math.inf) < before


def test_refusals_with_nothing_served_in_between_do_not_cut_again():
    lane = limited(10.0)
    lane.refuse()
    once = lane.rate()
    for _ in range(100):
        lane.now += lane.cubic.gap(lane.now)
        lane.refuse()
    assert lane.rate() == once
    lane.now += 1000.0
    lane.send(10.0, 0.1)
    assert lane.rate() == pytest.approx(once, rel=0.05)


@pytest.mark.parametrize(("told", "longest"), [(False, 4.0), (True, 1.0)])
def test_the_gaps_between_probes_grow_to_a_bound(told, longest):
    lane, gaps = limited(10.0), []
    for _ in range(20):
        lane.refuse(told=told)
        gaps.append(lane.cubic.gap(lane.now))
        lane.now += gaps[-1]
    assert gaps == sorted(gaps)
    assert gaps[0] < 0.3
    assert gaps[-1] == longest


def test_an_answer_to_a_request_of_before_the_refusal_does_not_end_the_probing():
    lane = limited(10.0)
    sent_at = lane.now
    lane.refuse()
    assert not lane.cubic.answered(lane.now, sent_at)
    assert lane.cubic.answered(lane.now + 1.0, lane.now)
    assert not lane.cubic.is_probing


def test_a_refusal_by_a_cap_pauses_but_leaves_the_rate():
    lane = Lane()
    lane.send(10.0, 5.0)
    lane.refuse(is_other=True)
    assert lane.rate() is None
    assert lane.cubic.gap(lane.now) > 0
    lane.send(10.0, 0.1)
    assert lane.cubic.gap(lane.now) == 0.0


gaps = st.floats(0, 100) | st.floats(0, 0.01)


@given(st.lists(st.tuples(gaps, st.sampled_from("sarct")), max_size=60))
def test_the_rate_is_always_positive_and_every_gap_finite(events):
    lane, left = Lane(), 0.0
    for gap, what in events:
        lane.now += gap
        if what == "s":
            left = lane.now
            lane.departures.append(left)
            lane.cubic.sent()
        elif what == "a":
            lane.cubic.answered(lane.now, left)
        else:
            lane.cubic.refused(lane.now, left, told=what == "t", is_other=what == "c")
        rate = lane.rate()
        assert rate is None or (math.isfinite(rate) and rate > 0)
        assert 0 <= lane.cubic.gap(lane.now) < 1e5
