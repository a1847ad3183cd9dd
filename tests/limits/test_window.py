"""The search for a cap on images in flight: distinguished from a rate limit, found, rarely probed."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.limits.window import WindowSearch


def capped(limit: int) -> WindowSearch:
    window = WindowSearch()
    window.refused(0.0, limit, 0.0)
    return window


def test_refused_submissions_among_answered_polls_are_a_cap():
    window, refusals = WindowSearch(), 0
    while True:
        for _ in range(19):
            window.others += 1
        window.submissions += 1
        refusals += 1
        if window.is_cause(16):
            break
    assert refusals == 2


def test_without_polls_a_refusal_does_not_indicate_a_cap():
    window = WindowSearch()
    for _ in range(100):
        window.submissions += 1
        assert not window.is_cause(16)


def test_a_refused_poll_resets_the_count():
    window = WindowSearch()
    for _ in range(10):
        window.submissions += 1
        for _ in range(9):
            window.others += 1
        assert not window.is_cause(16)
        window.poll_refused()


def test_near_a_known_cap_one_refusal_is_enough():
    window = capped(16)
    window.submissions += 1
    assert window.is_cause(15)
    assert not window.is_cause(3)


def test_a_cap_allows_the_accepted_number_of_images_and_no_more():
    window = capped(16)
    assert window.delay(1, 15, 1.0) == 0.0
    assert window.delay(1, 16, 1.0) > 0.0
    assert window.delay(4, 12, 1.0) == 0.0
    assert window.delay(4, 13, 1.0) > 0.0


def test_a_request_above_the_cap_may_be_sent_if_nothing_else_is_in_flight():
    assert capped(4).delay(8, 0, 1.0) == 0.0


def test_answers_earn_a_probe_above_the_cap():
    window = capped(16)
    for _ in range(1000):
        window.answered(1.0)
    assert window.delay(1, 16, 1.0) == 0.0
    assert window.delay(1, 17, 1.0) > 0.0


def test_successful_probes_double_the_step():
    window, in_flight = capped(16), 16
    for _ in range(1000):
        window.answered(1.0)
    accepted = []
    while window.delay(1, in_flight, 1.0) == 0.0 and in_flight < 64:
        in_flight += 1
        window.accepted(in_flight)
        accepted.append(in_flight)
    assert accepted[-1] == 64


def test_two_successful_probes_allow_two_images_at_once():
    window = capped(16)
    for n in (17, 18):
        window.accepted(n)
    assert window.delay(1, 19, 1.0) == 0.0
    assert window.delay(1, 20, 1.0) > 0.0


def test_a_falling_cap_is_tracked():
    window = capped(32)
    for n in range(6):
        window.refused(float(n), 32 - n, 0.0)
    assert window.limit is not None
    assert window.limit <= 20


def test_consecutive_refusals_delay_submissions_for_a_limited_time():
    window = WindowSearch()
    for n in range(100):
        window.refused(float(n), 0, 0.0)
    assert 0 < window.delay(1, 0, 99.0) <= 30
    assert window.delay(1, 0, 129.0) == 0.0


@given(st.lists(st.tuples(st.sampled_from("arswp"), st.integers(0, 100), st.floats(0, 60))))
def test_a_single_submission_is_always_allowed_eventually(events):
    window, now = WindowSearch(), 0.0
    for what, in_flight, gap in events:
        now += gap
        if what == "a":
            window.accepted(in_flight)
        elif what == "r":
            window.refused(now, in_flight, gap)
        elif what == "s":
            window.submissions += 1
            window.is_cause(in_flight)
        elif what == "w":
            window.answered(now)
        else:
            window.poll_refused()
        assert math.isfinite(window.delay(1, in_flight, now))
    assert window.delay(1, 0, now + 30) == 0.0
    assert window.limit is None or window.limit >= 1
