"""What earlier tasks tell about the next one."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.polling.durations import BINS, place
from foxapi_async.polling.history import KEPT, MEMORY, History


def lived(history, durations, estimates, gap=1.1):
    for duration, estimate in zip(durations, estimates, strict=True):
        history.observe(estimate, duration / gap, duration * gap)
        history.learn()


def lognormal(rng, median, sigma):
    return median * math.exp(rng.gauss(0.0, sigma))


def test_an_estimate_that_foretells_is_trusted():
    rng, history = random.Random(1), History()
    sizes = [lognormal(rng, 45.0, 1.0) for _ in range(60)]
    lived(history, [s * math.exp(rng.gauss(0, 0.2)) for s in sizes], sizes)
    assert history.trust > 0.98


def test_an_estimate_that_is_always_three_times_too_long_is_trusted_too():
    rng, history = random.Random(1), History()
    sizes = [lognormal(rng, 45.0, 1.0) for _ in range(60)]
    lived(history, [s * math.exp(rng.gauss(0, 0.2)) for s in sizes], [3.0 * s for s in sizes])
    assert history.trust > 0.98
    assert history.relative.between(BINS / 2 - 30, BINS / 2 - 14) > 0.8


def test_an_estimate_that_means_nothing_is_ignored():
    rng, history = random.Random(1), History()
    estimates = [math.exp(rng.uniform(-1, 10)) for _ in range(60)]
    lived(history, [lognormal(rng, 45.0, 0.25) for _ in range(60)], estimates)
    assert history.trust < 0.02


def test_trust_returns_when_estimates_become_good():
    rng, history = random.Random(1), History()
    lived(
        history,
        [lognormal(rng, 45.0, 0.25) for _ in range(60)],
        [math.exp(rng.uniform(-1, 10)) for _ in range(60)],
    )
    sizes = [lognormal(rng, 45.0, 1.2) for _ in range(200)]
    lived(history, [s * math.exp(rng.gauss(0, 0.1)) for s in sizes], sizes)
    assert history.trust > 0.9


def test_a_changed_world_is_noticed_within_a_dozen_tasks():
    rng, history = random.Random(2), History()
    lived(history, [lognormal(rng, 20.0, 0.25) for _ in range(200)], [None] * 200)
    assert len(history.ended) == 200
    lived(history, [lognormal(rng, 80.0, 0.25) for _ in range(12)], [None] * 12)
    assert len(history.ended) < KEPT + 12
    lived(history, [lognormal(rng, 80.0, 0.25) for _ in range(20)], [None] * 20)
    assert history.absolute.between(place(45.0), place(140.0)) > 0.6


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_world_is_not_taken_for_a_changed_one(seed):
    rng, history = random.Random(seed), History()
    lived(history, [lognormal(rng, 20.0, 0.5) for _ in range(250)], [None] * 250)
    assert len(history.ended) == 250


def test_memory_is_bounded():
    history = History()
    for _ in range(2 * MEMORY):
        history.observe(10.0, 9.0, 11.0)
    assert len(history.ended) == MEMORY


@given(st.floats())
def test_every_number_has_a_place_on_the_scale(seconds):
    assert 0.0 <= place(seconds) < BINS


def test_a_task_that_moved_on_is_counted_once():
    history = History()
    history.still_running(20.0, 0.0, 5.0)
    history.still_running(20.0, 5.0, 12.0)
    history.observe(20.0, 12.0, 15.0)
    assert sum(history._running_absolute) == 0.0
    assert sum(history._running_relative) == 0.0


def test_a_changed_estimate_never_leaves_fewer_than_no_tasks_running():
    history = History()
    history.still_running(20.0, 0.0, 5.0)
    history.still_running(200.0, 5.0, 12.0)
    history.observe(2.0, 12.0, 15.0)
    assert min(history._running_relative) >= 0.0
