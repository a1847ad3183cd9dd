"""The distribution of durations."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.polling.durations import BINS, STEP, mixture, smooth
from foxapi_async.polling.history import Distribution

places = st.floats(0, BINS - 0.01)
BROAD = mixture([(1.0, 145.0, 30.0)])
NONE_RUNNING = [0.0] * BINS


def quantile(distribution, share):
    return next(i for i, left in enumerate(distribution.survival) if left <= 1.0 - share)


def between(distribution, low, high):
    return distribution.likelihoods(low, high)[0]


def polled(durations, every):
    """Return each as the interval between two polls that are `every` bins apart."""
    return [(every * (d // every), every * (d // every + 1), 1.0) for d in durations]


@given(
    st.lists(st.tuples(places, places, st.floats(0.01, 1)), max_size=40),
    st.lists(st.floats(0, 50), min_size=BINS, max_size=BINS) | st.just(NONE_RUNNING),
    st.integers(1, 3),
)
def test_the_estimate_is_always_a_distribution(pairs, running, rounds):
    distribution = Distribution(BROAD)
    ended = [(min(a, b), max(a, b), weight) for a, b, weight in pairs]
    distribution.fit(ended, running, rounds=rounds)
    assert all(m >= -1e-12 for m in distribution.mass)
    assert sum(distribution.mass) <= 1.0 + 1e-9
    assert all(
        a >= b > 0.0 for a, b in zip(distribution.survival, distribution.survival[1:], strict=False)
    )


@pytest.mark.parametrize("every", [1.0, 5.0, 10.0])
def test_the_spread_is_found_through_coarse_polls(every):
    rng = random.Random(3)
    ended = polled([rng.gauss(140.0, 5.0) for _ in range(250)], every)
    distribution = Distribution(BROAD)
    for _ in range(10):
        distribution.fit(ended, NONE_RUNNING, rounds=1)
    assert quantile(distribution, 0.5) == pytest.approx(140.0, abs=2.0)
    assert quantile(distribution, 0.84) - quantile(distribution, 0.16) == pytest.approx(
        10.0, abs=4.0
    )


def test_two_modes_are_separated():
    rng = random.Random(4)
    ended = polled([rng.gauss(110.0 if i % 2 else 160.0, 5.0) for i in range(250)], 3.0)
    distribution = Distribution(BROAD)
    distribution.fit(ended, NONE_RUNNING, rounds=5)
    assert between(distribution, 132.0, 138.0) < 0.2 * between(distribution, 107.0, 113.0)


def test_running_tasks_keep_the_quick_ones_from_being_taken_as_typical():
    quick = [(119.0, 121.0, 1.0)] * 5
    waiting = list(NONE_RUNNING)
    waiting[121] = 27.0
    naive, informed = Distribution(BROAD), Distribution(BROAD)
    naive.fit(quick, NONE_RUNNING, rounds=3)
    informed.fit(quick, waiting, rounds=3)
    assert naive.survival[125] < 0.5 < informed.survival[125]


def test_every_duration_stays_possible():
    distribution = Distribution(BROAD)
    distribution.fit([(100.0, 101.0, 1.0)] * 256, NONE_RUNNING, rounds=5)
    assert between(distribution, 150.0, 151.0) > 1e-6


def test_without_observations_the_estimate_is_the_prior():
    distribution = Distribution(BROAD)
    distribution.fit([(100.0, 101.0, 1.0)] * 9, NONE_RUNNING, rounds=1)
    distribution.fit([], NONE_RUNNING, rounds=1)
    assert distribution.mass == BROAD


@given(st.floats(0, 40), st.integers(60, BINS - 60))
def test_smoothing_keeps_the_sum_and_the_middle(sigma, where):
    spike = [0.0] * BINS
    spike[where] = 1.0
    first, values = smooth(0, spike, min(sigma, 15.0))
    assert sum(values) == pytest.approx(1.0)
    assert sum(i * v for i, v in enumerate(values, first)) == pytest.approx(where)


def test_smoothing_has_the_width_that_was_asked_for():
    spike = [0.0] * BINS
    spike[100] = 1.0
    first, values = smooth(0, spike, 6.0)
    variance = sum((i - 100) ** 2 * v for i, v in enumerate(values, first))
    assert math.sqrt(variance) == pytest.approx(6.0, rel=0.1)


def test_a_mixture_has_the_given_shares():
    masses = mixture([(0.75, 100.0, 2.0), (0.25, 200.0, 4.0)])
    assert sum(masses[:150]) == pytest.approx(0.75)
    assert sum(masses[150:]) == pytest.approx(0.25)
    assert math.exp(STEP * BINS) > 1e6


def test_two_sharp_modes_stay_apart():
    rng, distribution = random.Random(4), Distribution(BROAD)
    centres = [100.0 if i % 5 < 3 else 130.0 for i in range(250)]
    ended = [(c - 1.0, c + 1.0, 1.0) for c in (rng.gauss(centre, 3.0) for centre in centres)]
    for _ in range(3):
        distribution.fit(ended, NONE_RUNNING, rounds=1)
    assert between(distribution, 112.0, 118.0) < 0.05
    assert between(distribution, 90.0, 110.0) > 0.5


def test_without_any_end_a_thousand_running_tasks_count_no_more_than_ten():
    few, many = Distribution(BROAD), Distribution(BROAD)
    few.fit([], [0.0] * 140 + [10.0] + [0.0] * (BINS - 141), rounds=3)
    many.fit([], [0.0] * 140 + [1000.0] + [0.0] * (BINS - 141), rounds=3)
    assert many.survival == pytest.approx(few.survival)
    assert few.survival[145] > Distribution(BROAD).survival[145]
