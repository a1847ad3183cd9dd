"""How often one request is tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import Retry
from foxapi_async.retry import RATE_LIMIT_PATIENCE, Tries


def tries(**options: float) -> Tries:
    return Tries(Retry(**options), began=0.0, progress_count=0)


def failed(tries: Tries, *, now: float = 1.0) -> bool:
    return tries.may_go_on(rate_limited=False, now=now, progress_count=0, awaited=0)


def limited(tries: Tries, *, now: float = 1.0, progress_count: int = 0, awaited: int = 0) -> bool:
    return tries.may_go_on(
        rate_limited=True, now=now, progress_count=progress_count, awaited=awaited
    )


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_request_is_tried_as_often_as_it_says_and_no_more(attempts):
    counting = tries(attempts=attempts)
    assert [failed(counting) for _ in range(attempts)] == [True] * (attempts - 1) + [False]


def test_a_failure_counts_whatever_others_achieve():
    counting = tries(attempts=2)
    assert counting.may_go_on(rate_limited=False, now=1.0, progress_count=5, awaited=9)
    assert not counting.may_go_on(rate_limited=False, now=1.0, progress_count=6, awaited=9)


def test_a_429_counts_while_nothing_moves():
    counting = tries(attempts=3)
    assert [limited(counting) for _ in range(3)] == [True, True, False]


def test_a_429_does_not_count_while_others_are_let_through():
    counting = tries(attempts=2)
    assert all(limited(counting, progress_count=step) for step in range(1, 100))
    assert not limited(counting, progress_count=99)


def test_a_429_does_not_count_while_a_task_in_flight_may_make_room():
    counting = tries(attempts=2)
    assert all(limited(counting, awaited=1) for _ in range(100))


def test_even_so_patience_ends():
    counting = tries()
    assert limited(counting, now=RATE_LIMIT_PATIENCE, awaited=1)
    assert not limited(counting, now=RATE_LIMIT_PATIENCE + 0.1, awaited=1)


def test_a_single_try_stays_single_also_after_a_429():
    assert not limited(tries(attempts=1), awaited=1, progress_count=1)


def test_pauses_grow_up_to_the_longest():
    counting = tries(attempts=9, first=1.0, longest=10.0)
    pauses = []
    while failed(counting):
        pauses.append(counting.pause(1.0))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0]


@given(st.integers(1, 50), st.floats(0.01, 10), st.floats(10, 100), st.floats(0, 1))
def test_a_pause_is_never_nothing_and_never_beyond_the_longest(failures, first, longest, jitter):
    counting = tries(attempts=100, first=first, longest=longest)
    for _ in range(failures):
        failed(counting)
    assert 0 < counting.pause(jitter) <= longest
