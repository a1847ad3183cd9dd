"""When a POST may leave in an outage: a pure decision."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import FoxAPIError
from foxapi_async.limits.circuit_breaker import CircuitBreaker, Post

ERROR = FoxAPIError("no clear answer")


def send(breaker: CircuitBreaker, now: float) -> Post:
    assert breaker.delay(now) == 0
    post = breaker.reserve()
    assert breaker.may_leave(post)
    breaker.sent(post, now)
    return post


def opened(patience: float = 900.0) -> CircuitBreaker:
    breaker = CircuitBreaker(patience)
    for post in [send(breaker, 0.0), send(breaker, 0.0)]:
        breaker.failed(post, 0.1, ERROR)
    assert breaker.opened_at == 0.1
    return breaker


def test_two_failures_in_a_row_open_the_circuit():
    breaker = opened()
    assert breaker.delay(0.2) == math.inf
    assert breaker.probe_delay(0.2) == 0


def test_a_failure_between_answers_does_not():
    breaker = CircuitBreaker(900.0)
    for moment in range(10):
        breaker.answered(send(breaker, moment), moment + 0.1, is_accepted=True)
        breaker.failed(send(breaker, moment + 0.2), moment + 0.3, ERROR)
    assert breaker.opened_at is None


def test_a_refusal_between_failures_does_not_end_their_row():
    breaker = CircuitBreaker(900.0)
    for _ in range(2):
        breaker.answered(send(breaker, 0.0), 0.1, is_accepted=False)
        breaker.failed(send(breaker, 0.1), 0.2, ERROR)
    assert breaker.opened_at == 0.2


def test_after_a_refusal_the_next_post_alone_is_tried_without_a_pause():
    breaker = opened()
    breaker.probed(0.2, is_reachable=True)
    breaker.answered(send(breaker, 3.0), 3.1, is_accepted=False)
    post = send(breaker, 3.1)
    assert breaker.delay(3.1) > 0
    breaker.answered(post, 3.2, is_accepted=True)
    assert breaker.opened_at is None


def test_a_refusal_of_the_one_post_first_lets_the_others_leave():
    breaker = CircuitBreaker(900.0)
    breaker.send_one_first()
    breaker.answered(send(breaker, 0.0), 0.1, is_accepted=False)
    send(breaker, 0.1)
    assert breaker.delay(0.1) == 0


def test_after_a_failure_one_post_leaves_at_a_time():
    breaker = CircuitBreaker(900.0)
    breaker.failed(send(breaker, 0.0), 0.1, ERROR)
    post = send(breaker, 0.2)
    assert breaker.delay(0.3) > 0
    breaker.answered(post, 0.4, is_accepted=True)
    assert breaker.delay(0.4) == 0


def test_a_post_that_was_admitted_before_a_failure_goes_back():
    breaker = CircuitBreaker(900.0)
    first, waiting = send(breaker, 0.0), breaker.reserve()
    breaker.failed(first, 0.1, ERROR)
    assert not breaker.may_leave(waiting)


def test_answers_widen_the_window_and_an_idle_time_narrows_it():
    breaker = CircuitBreaker(900.0)
    posts = [send(breaker, 0.0), send(breaker, 0.0)]
    assert breaker.delay(0.0) > 0
    for post in posts:
        breaker.answered(post, 0.1, is_accepted=True)
    posts = [send(breaker, 0.1) for _ in range(4)]
    assert breaker.delay(0.1) > 0
    for post in posts:
        breaker.answered(post, 0.2, is_accepted=True)
    send(breaker, 5.0)
    send(breaker, 5.0)
    assert breaker.delay(5.0) > 0


def test_a_late_failure_of_an_older_post_says_nothing():
    breaker = CircuitBreaker(900.0)
    old = [send(breaker, 0.0)]
    breaker.answered(send(breaker, 0.0), 0.1, is_accepted=True)
    old.append(send(breaker, 0.1))
    breaker.answered(send(breaker, 0.1), 0.2, is_accepted=True)
    for post in old:
        breaker.failed(post, 60.0, ERROR)
    assert breaker.delay(60.0) == 0
    assert breaker.opened_at is None


def test_silence_counts_as_failure_long_before_the_time_limit():
    breaker = CircuitBreaker(900.0)
    breaker.answered(send(breaker, 0.0), 0.1, is_accepted=True)
    hung = [send(breaker, 0.2), send(breaker, 0.2)]
    breaker.delay(1.0)
    assert breaker.opened_at is None
    assert breaker.delay(3.0) == math.inf
    assert breaker.opened_at == 3.0
    breaker.answered(hung[1], 4.0, is_accepted=True)  # it was only slow
    assert breaker.opened_at is None


def test_slow_answers_are_waited_for():
    breaker = CircuitBreaker(900.0)
    breaker.answered(send(breaker, 0.0), 4.0, is_accepted=True)
    send(breaker, 4.0)
    breaker.delay(30.0)
    assert breaker.opened_at is None


def test_probes_come_at_pauses_that_grow_to_five_seconds():
    breaker, now, pauses = opened(), 0.1, []
    for _ in range(6):
        now += breaker.probe_delay(now)
        breaker.probed(now, is_reachable=False)
        pauses.append(breaker.probe_delay(now))
    assert pauses == pytest.approx([1, 2, 4, 5, 5, 5])


def test_one_post_first_holds_the_others_until_its_answer():
    breaker = CircuitBreaker(900.0)
    breaker.send_one_first()
    post = send(breaker, 0.0)
    assert breaker.delay(0.0) > 0
    breaker.answered(post, 0.1, is_accepted=True)
    assert breaker.delay(0.1) == 0


def trials(patience: float, until: float) -> list[float]:
    """Return when POSTs are tried in an outage in which the probes succeed."""
    breaker, now, moments = opened(patience), 0.1, []
    while now < until:
        if (pause := breaker.probe_delay(now)) < math.inf:
            now += pause
            breaker.probed(now, is_reachable=True)
        now += breaker.delay(now)
        moments.append(now - 0.1)
        breaker.failed(send(breaker, now), now, ERROR)
    return moments


def test_the_first_post_is_tried_after_two_seconds():
    assert trials(900.0, 1.0)[0] == pytest.approx(2.0)


@given(st.floats(min_value=20, max_value=100_000))
def test_at_most_five_posts_are_tried_within_the_patience(patience: float):
    moments = trials(patience, 3 * patience)
    inside = [each for each in moments if each < patience * (1 - 1e-9)]
    assert len(inside) <= 5


@pytest.mark.parametrize("length", [5.0, 20.0, 60.0, 180.0])
def test_an_outage_of_posts_alone_is_over_within_its_own_length(length: float):
    assert min(each for each in trials(900.0, 900.0) if each > length) <= 2 * length


@given(st.data())
def test_there_is_always_something_to_wait_for(data: st.DataObject):
    breaker, now = CircuitBreaker(900.0), 0.0
    under_way: list[Post] = []
    for _ in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.floats(0, 30))
        delay, probe = breaker.delay(now), breaker.probe_delay(now)
        assert min(delay, probe) < math.inf or under_way
        if probe == 0:
            breaker.probed(now, is_reachable=data.draw(st.booleans()))
        elif delay == 0 and data.draw(st.booleans()):
            under_way.append(send(breaker, now))
        elif under_way:
            post = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            match data.draw(st.sampled_from(["answered", "failed", "withdrawn"])):
                case "answered":
                    breaker.answered(post, now, is_accepted=True)
                case "failed":
                    breaker.failed(post, now, ERROR)
                case _:
                    breaker.withdrawn(post)
