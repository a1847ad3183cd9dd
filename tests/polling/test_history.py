"""What earlier tasks of a group tell about the next one."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.polling.durations import BINS
from foxapi_async.polling.history import KEPT, MEMORY, History, position_of


def observe_all(history, durations, estimates, gap=1.1):
    for duration, estimate in zip(durations, estimates, strict=True):
        history.observe(estimate, duration / gap, duration * gap)
        history.fit()


def lognormal(rng, median, sigma):
    return median * math.exp(rng.gauss(0.0, sigma))


def test_an_accurate_estimate_is_trusted():
    rng, history = random.Random(1), History()
    sizes = [lognormal(rng, 45.0, 1.0) for _ in range(60)]
    observe_all(history, [s * math.exp(rng.gauss(0, 0.2)) for s in sizes], sizes)
    assert history.trust > 0.98


def test_an_estimate_that_is_always_three_times_too_long_is_trusted_too():
    rng, history = random.Random(1), History()
    sizes = [lognormal(rng, 45.0, 1.0) for _ in range(60)]
    observe_all(history, [s * math.exp(rng.gauss(0, 0.2)) for s in sizes], [3.0 * s for s in sizes])
    assert history.trust > 0.98
    assert history.ratios.likelihoods(BINS / 2 - 30, BINS / 2 - 14)[0] > 0.8


def test_an_uninformative_estimate_is_ignored():
    rng, history = random.Random(1), History()
    estimates = [math.exp(rng.uniform(-1, 10)) for _ in range(60)]
    observe_all(history, [lognormal(rng, 45.0, 0.25) for _ in range(60)], estimates)
    assert history.trust < 0.02


def test_trust_returns_when_estimates_become_good():
    rng, history = random.Random(1), History()
    observe_all(
        history,
        [lognormal(rng, 45.0, 0.25) for _ in range(60)],
        [math.exp(rng.uniform(-1, 10)) for _ in range(60)],
    )
    sizes = [lognormal(rng, 45.0, 1.2) for _ in range(200)]
    observe_all(history, [s * math.exp(rng.gauss(0, 0.1)) for s in sizes], sizes)
    assert history.trust > 0.9


def test_a_change_of_durations_is_noticed_within_a_dozen_tasks():
    rng, history = random.Random(2), History()
    observe_all(history, [lognormal(rng, 20.0, 0.25) for _ in range(200)], [None] * 200)
    assert len(history.ended) == 200
    observe_all(history, [lognormal(rng, 80.0, 0.25) for _ in range(12)], [None] * 12)
    assert len(history.ended) < KEPT + 12
    observe_all(history, [lognormal(rng, 80.0, 0.25) for _ in range(20)], [None] * 20)
    assert history.seconds.likelihoods(position_of(45.0), position_of(140.0))[0] > 0.6


@pytest.mark.parametrize("seed", range(5))
def test_steady_durations_are_not_taken_for_a_change(seed):
    rng, history = random.Random(seed), History()
    observe_all(history, [lognormal(rng, 20.0, 0.5) for _ in range(250)], [None] * 250)
    assert len(history.ended) == 250


def test_memory_is_bounded():
    history = History()
    for _ in range(2 * MEMORY):
        history.observe(10.0, 9.0, 11.0)
    assert len(history.ended) == MEMORY


@given(st.floats())
def test_every_number_has_a_position_on_the_scale(seconds):
    assert 0.0 <= position_of(seconds) < BINS


def test_a_running_task_is_counted_once():
    history = History()
    history.still_running(20.0, 0.0, 5.0)
    history.still_running(20.0, 5.0, 12.0)
    history.observe(20.0, 12.0, 15.0)
    assert sum(history._running_seconds) == 0.0
    assert sum(history._running_ratios) == 0.0


def test_a_changed_estimate_never_makes_a_count_negative():
    history = History()
    history.still_running(20.0, 0.0, 5.0)
    history.still_running(200.0, 5.0, 12.0)
    history.observe(2.0, 12.0, 15.0)
    assert min(history._running_ratios) >= 0.0
