"""The cap on images in flight: believed while it explains the refusals, and probed."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.limits.in_flight import InFlightLimit


def accept(limit: InFlightLimit, in_flight: int, count: int, *, at: float = 1.0) -> None:
    for _ in range(count):
        limit.accepted(in_flight, at)


def bump(limit: InFlightLimit, cap: int, *, at: float) -> bool:
    """Let submissions be accepted up to a cap, and the next be refused."""
    accept(limit, cap, max(cap // 2, 4), at=at - 0.5)
    return limit.refused(cap, at)


def believed(cap: int) -> InFlightLimit:
    """Return a limit after three refusals at a cap, the last at time 0."""
    limit = InFlightLimit()
    for at in (-2.0, -1.0, 0.0):
        bump(limit, cap, at=at)
    return limit


def test_a_cap_is_believed_after_three_refusals_that_agree():
    limit = InFlightLimit()
    assert [bump(limit, 16, at=float(at)) for at in range(3)] == [False, False, True]
    assert limit.limit == 16
    assert limit.delay(1, 15, 3.0) == 0.0
    assert limit.delay(1, 16, 3.0) > 0


def test_refusals_without_acceptances_in_between_are_no_evidence():
    limit = InFlightLimit()
    assert not any(limit.refused(16, float(at)) for at in range(20))


def test_refusals_at_different_numbers_are_no_cap():
    limit = InFlightLimit()
    assert not any(limit.refused(n, float(n)) for n in (16, 20, 30, 16, 5))
    assert limit.delay(1, 100, 50.0) == 0.0


def test_an_acceptance_far_above_the_refusals_is_no_cap():
    limit = InFlightLimit()
    bump(limit, 16, at=0.0)
    bump(limit, 16, at=1.0)
    accept(limit, 25, 1, at=1.5)
    assert not bump(limit, 16, at=3.0)


def test_a_cap_that_does_not_explain_a_refusal_is_given_up():
    limit = believed(16)
    assert not limit.refused(8, 10.0)
    assert limit.limit is None


def test_an_acceptance_of_before_the_refusal_corrects_the_cap():
    limit = InFlightLimit()
    limit.refused(0, 1.0)
    for n in range(1, 9):
        limit.accepted(n, 0.5)
    bump(limit, 8, at=10.0)
    assert bump(limit, 8, at=20.0)
    assert limit.limit == 8


def test_a_believed_cap_is_probed_soon_and_then_seldom():
    limit = believed(16)
    assert limit.delay(1, 16, 10.0) > 0
    accept(limit, 16, 5)
    assert limit.delay(1, 16, 4.0) == 1.0
    assert limit.delay(1, 16, 5.0) == 0.0
    assert limit.delay(1, 17, 5.0) > 0
    for at in (5.0, 6.0, 7.0, 8.0):
        assert limit.refused(16, at)
    accept(limit, 16, 23, at=9.0)
    assert limit.delay(1, 16, 100.0) > 0
    accept(limit, 16, 1, at=9.0)
    assert limit.delay(1, 16, 32.0) == 1.0
    assert limit.delay(1, 16, 33.0) == 0.0


def test_refusals_below_a_believed_cap_end_the_belief():
    limit = believed(16)
    assert not limit.refused(15, 10.0)


def test_probes_that_are_accepted_double_and_raise_the_cap():
    limit = believed(8)
    accept(limit, 8, 12)
    now, in_flight = 30.0, 8
    while limit.delay(1, in_flight, now) == 0.0:
        in_flight += 1
        limit.accepted(in_flight, now)
        now += 0.1
        if in_flight >= 32:
            break
    assert limit.limit is not None
    assert limit.limit >= 28


def test_an_outage_leaves_the_cap():
    limit = believed(8)
    limit.refused(8, 5.0)
    assert limit.limit == 8


def test_with_nothing_in_flight_a_submission_may_leave():
    limit = believed(2)
    assert limit.delay(4, 0, 1.0) == 0.0


events = st.tuples(st.sampled_from("ar"), st.floats(0, 40), st.integers(0, 100))


@given(st.lists(events, max_size=60))
def test_every_wait_ends_and_a_believed_cap_is_at_least_1(happened):
    limit, now = InFlightLimit(), 0.0
    for what, gap, in_flight in happened:
        now += gap
        if what == "a":
            limit.accepted(in_flight, now - gap / 2)
        else:
            limit.refused(in_flight, now)
        assert math.isfinite(limit.delay(1, in_flight, now))
    assert limit.delay(1, 0, now) == 0.0
    assert limit.limit is None or limit.limit >= 1
