"""How often one request is attempted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import Retry
from foxapi_async.retry import RATE_LIMIT_TIMEOUT, Retrier


def retrier(**options: float) -> Retrier:
    return Retrier(Retry(**options), 0.0, 0)


def failed(tries: Retrier, *, now: float = 1.0) -> bool:
    return tries.may_retry(rate_limited=False, now=now, progress=0, in_flight=0)


def limited(tries: Retrier, *, now: float = 1.0, progress: int = 0, in_flight: int = 0) -> bool:
    return tries.may_retry(rate_limited=True, now=now, progress=progress, in_flight=in_flight)


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_request_is_tried_as_often_as_it_says_and_no_more(attempts):
    counted = retrier(attempts=attempts)
    assert [failed(counted) for _ in range(attempts)] == [True] * (attempts - 1) + [False]


def test_a_failure_counts_whatever_others_achieve():
    counted = retrier(attempts=2)
    assert counted.may_retry(rate_limited=False, now=1.0, progress=5, in_flight=9)
    assert not counted.may_retry(rate_limited=False, now=1.0, progress=6, in_flight=9)


def test_a_429_counts_while_nothing_moves():
    counted = retrier(attempts=3)
    assert [limited(counted) for _ in range(3)] == [True, True, False]


def test_a_429_does_not_count_while_others_are_let_through():
    counted = retrier(attempts=2)
    assert all(limited(counted, progress=step) for step in range(1, 100))
    assert not limited(counted, progress=99)


def test_a_429_does_not_count_while_a_task_in_flight_may_make_room():
    counted = retrier(attempts=2)
    assert all(limited(counted, in_flight=1) for _ in range(100))


def test_even_so_patience_ends():
    counted = retrier()
    assert limited(counted, now=RATE_LIMIT_TIMEOUT, in_flight=1)
    assert not limited(counted, now=RATE_LIMIT_TIMEOUT + 0.1, in_flight=1)


def test_a_single_attempt_stays_single_also_after_a_429():
    assert not limited(retrier(attempts=1), in_flight=1, progress=1)


def test_pauses_grow_up_to_the_longest():
    counted = retrier(attempts=9, first=1.0, longest=10.0)
    pauses = []
    while failed(counted):
        pauses.append(counted.pause(1.0))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0]


@given(st.integers(1, 50), st.floats(0.01, 10), st.floats(10, 100), st.floats(0, 1))
def test_a_pause_is_never_nothing_and_never_beyond_the_longest(failures, first, longest, jitter):
    counted = retrier(attempts=100, first=first, longest=longest)
    for _ in range(failures):
        failed(counted)
    assert 0 < counted.pause(jitter) <= longest
