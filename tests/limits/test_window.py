"""The search for a cap on images in flight: told apart from a rate, found, and probed seldom."""

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
            window.sent(submission=False)
        window.sent(submission=True)
        refusals += 1
        if window.is_cause(16):
            break
    assert refusals == 2


def test_without_polls_a_refusal_says_nothing_about_a_cap():
    window = WindowSearch()
    for _ in range(100):
        window.sent(submission=True)
        assert not window.is_cause(16)


def test_a_refused_poll_starts_the_count_anew():
    window = WindowSearch()
    for _ in range(10):
        window.sent(submission=True)
        for _ in range(9):
            window.sent(submission=False)
        assert not window.is_cause(16)
        window.poll_refused()


def test_near_a_known_cap_one_refusal_is_enough():
    window = capped(16)
    window.sent(submission=True)
    assert window.is_cause(15)
    assert not window.is_cause(3)


def test_a_cap_leaves_room_for_what_was_borne_and_no_more():
    window = capped(16)
    assert window.delay(1, 15, 1.0) == 0.0
    assert window.delay(1, 16, 1.0) > 0.0
    assert window.delay(4, 12, 1.0) == 0.0
    assert window.delay(4, 13, 1.0) > 0.0


def test_a_request_heavier_than_the_cap_may_go_when_nothing_else_is_in_flight():
    assert capped(4).delay(8, 0, 1.0) == 0.0


def test_going_beyond_the_cap_is_earned_by_answers():
    window = capped(16)
    for _ in range(1000):
        window.answered(1.0)
    assert window.delay(1, 16, 1.0) == 0.0
    assert window.delay(1, 17, 1.0) > 0.0


def test_after_a_success_the_steps_double():
    window, in_flight = capped(16), 16
    for _ in range(1000):
        window.answered(1.0)
    accepted = []
    while window.delay(1, in_flight, 1.0) == 0.0 and in_flight < 64:
        in_flight += 1
        window.accepted(in_flight)
        accepted.append(in_flight)
    assert accepted[-1] == 64


def test_two_successes_allow_two_at_once():
    window = capped(16)
    for n in (17, 18):
        window.accepted(n)
    assert window.delay(1, 19, 1.0) == 0.0
    assert window.delay(1, 20, 1.0) > 0.0


def test_a_cap_that_falls_is_followed_down():
    window = capped(32)
    for n in range(6):
        window.refused(float(n), 32 - n, 0.0)
    assert window.limit is not None
    assert window.limit <= 20


def test_refusals_in_a_row_hold_submissions_back_but_not_for_ever():
    window = WindowSearch()
    for n in range(100):
        window.refused(float(n), 0, 0.0)
    assert 0 < window.delay(1, 0, 99.0) <= 30
    assert window.delay(1, 0, 129.0) == 0.0


@given(st.lists(st.tuples(st.sampled_from("arswp"), st.integers(0, 100), st.floats(0, 60))))
def test_whatever_happens_a_lone_submission_gets_its_turn(story):
    window, now = WindowSearch(), 0.0
    for what, in_flight, gap in story:
        now += gap
        if what == "a":
            window.accepted(in_flight)
        elif what == "r":
            window.refused(now, in_flight, gap)
        elif what == "s":
            window.sent(submission=True)
            window.is_cause(in_flight)
        elif what == "w":
            window.answered(now)
        else:
            window.poll_refused()
        assert math.isfinite(window.delay(1, in_flight, now))
    assert window.delay(1, 0, now + 30) == 0.0
    assert window.limit is None or window.limit >= 1
