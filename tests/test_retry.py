"""How often one request is attempted, and the pauses in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import Retry
from foxapi_async.retry import RATE_LIMIT_TIMEOUT, Retrier


def new_retrier(**options: float) -> Retrier:
    return Retrier(Retry(**options), 0.0, 0)


def failed(retrier: Retrier, *, now: float = 1.0) -> bool:
    return retrier.may_retry(rate_limited=False, now=now, progress=0, in_flight=0)


def limited(retrier: Retrier, *, now: float = 1.0, progress: int = 0, in_flight: int = 0) -> bool:
    return retrier.may_retry(rate_limited=True, now=now, progress=progress, in_flight=in_flight)


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_request_is_attempted_as_often_as_configured(attempts):
    retrier = new_retrier(attempts=attempts)
    assert [failed(retrier) for _ in range(attempts)] == [True] * (attempts - 1) + [False]


def test_a_failure_counts_regardless_of_the_progress_of_other_requests():
    retrier = new_retrier(attempts=2)
    assert retrier.may_retry(rate_limited=False, now=1.0, progress=5, in_flight=9)
    assert not retrier.may_retry(rate_limited=False, now=1.0, progress=6, in_flight=9)


def test_a_429_counts_without_progress():
    retrier = new_retrier(attempts=3)
    assert [limited(retrier) for _ in range(3)] == [True, True, False]


def test_a_429_does_not_count_while_other_requests_succeed():
    retrier = new_retrier(attempts=2)
    assert all(limited(retrier, progress=step) for step in range(1, 100))
    assert not limited(retrier, progress=99)


def test_a_429_does_not_count_while_tasks_are_in_flight():
    retrier = new_retrier(attempts=2)
    assert all(limited(retrier, in_flight=1) for _ in range(100))


def test_429s_are_retried_only_until_the_rate_limit_timeout():
    retrier = new_retrier()
    assert limited(retrier, now=RATE_LIMIT_TIMEOUT, in_flight=1)
    assert not limited(retrier, now=RATE_LIMIT_TIMEOUT + 0.1, in_flight=1)


def test_attempts_of_one_disables_retries_after_a_429():
    assert not limited(new_retrier(attempts=1), in_flight=1, progress=1)


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
