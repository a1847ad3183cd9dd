"""The distribution of durations."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.polling.durations import BINS, STEP, Belief, bell, blur, still

places = st.floats(0, BINS - 0.01)
BROAD = bell([(1.0, 145.0, 30.0)])
NOBODY = [0.0] * BINS


def quantile(belief, share):
    return next(i for i, left in enumerate(belief.survival) if left <= 1.0 - share)


def looked_at(durations, every):
    """Each as the interval between two looks that are `every` bins apart."""
    return [(every * (d // every), every * (d // every + 1), 1.0) for d in durations]


@given(
    st.lists(st.tuples(places, places, st.floats(0.01, 1)), max_size=40),
    st.lists(st.floats(0, 50), min_size=BINS, max_size=BINS) | st.just(NOBODY),
    st.integers(1, 3),
)
def test_whatever_is_observed_the_belief_stays_a_distribution(pairs, running, rounds):
    belief = Belief(BROAD)
    ended = [(min(a, b), max(a, b), weight) for a, b, weight in pairs]
    belief.learn(ended, running, rounds=rounds)
    assert all(m >= -1e-12 for m in belief.mass)
    assert sum(belief.mass) <= 1.0 + 1e-9
    assert all(a >= b > 0.0 for a, b in zip(belief.survival, belief.survival[1:], strict=False))


@pytest.mark.parametrize("every", [1.0, 5.0, 10.0])
def test_the_spread_is_found_through_coarse_looks(every):
    rng = random.Random(3)
    ended = looked_at([rng.gauss(140.0, 5.0) for _ in range(250)], every)
    belief = Belief(BROAD)
    for _ in range(10):
        belief.learn(ended, NOBODY, rounds=1)
    assert quantile(belief, 0.5) == pytest.approx(140.0, abs=2.0)
    assert quantile(belief, 0.84) - quantile(belief, 0.16) == pytest.approx(10.0, abs=4.0)


def test_two_modes_are_told_apart():
    rng = random.Random(4)
    ended = looked_at([rng.gauss(110.0 if i % 2 else 160.0, 5.0) for i in range(250)], 3.0)
    belief = Belief(BROAD)
    belief.learn(ended, NOBODY, rounds=5)
    assert belief.between(132.0, 138.0) < 0.2 * belief.between(107.0, 113.0)


def test_tasks_that_still_run_keep_the_quick_ones_from_being_the_rule():
    quick = [(119.0, 121.0, 1.0)] * 5
    waiting = list(NOBODY)
    waiting[121] = 27.0
    naive, informed = Belief(BROAD), Belief(BROAD)
    naive.learn(quick, NOBODY, rounds=3)
    informed.learn(quick, waiting, rounds=3)
    assert still(naive.survival, 125.0) < 0.5 < still(informed.survival, 125.0)


def test_no_duration_ever_becomes_impossible():
    belief = Belief(BROAD)
    belief.learn([(100.0, 101.0, 1.0)] * 256, NOBODY, rounds=5)
    assert belief.between(150.0, 151.0) > 1e-6


def test_without_observations_the_base_is_believed():
    belief = Belief(BROAD)
    belief.learn([(100.0, 101.0, 1.0)] * 9, NOBODY, rounds=1)
    belief.learn([], NOBODY, rounds=1)
    assert belief.mass == BROAD


@given(st.floats(0, 40), st.integers(60, BINS - 60))
def test_smoothing_keeps_the_sum_and_the_middle(sigma, where):
    spike = [0.0] * BINS
    spike[where] = 1.0
    smooth = blur(spike, min(sigma, 15.0))
    assert sum(smooth) == pytest.approx(1.0)
    assert sum(i * v for i, v in enumerate(smooth)) == pytest.approx(where)


def test_smoothing_has_the_width_that_was_asked_for():
    spike = [0.0] * BINS
    spike[100] = 1.0
    variance = sum((i - 100) ** 2 * v for i, v in enumerate(blur(spike, 6.0)))
    assert math.sqrt(variance) == pytest.approx(6.0, rel=0.1)


def test_a_bell_holds_its_shares():
    masses = bell([(0.75, 100.0, 2.0), (0.25, 200.0, 4.0)])
    assert sum(masses[:150]) == pytest.approx(0.75)
    assert sum(masses[150:]) == pytest.approx(0.25)
    assert math.exp(STEP * BINS) > 1e6


def test_two_sharp_modes_stay_apart():
    rng, belief = random.Random(4), Belief(BROAD)
    centres = [100.0 if i % 5 < 3 else 130.0 for i in range(250)]
    ended = [(c - 1.0, c + 1.0, 1.0) for c in (rng.gauss(centre, 3.0) for centre in centres)]
    for _ in range(3):
        belief.learn(ended, NOBODY, rounds=1)
    assert belief.between(112.0, 118.0) < 0.05
    assert belief.between(90.0, 110.0) > 0.5


def test_without_any_end_a_thousand_that_run_say_no_more_than_ten():
    few, many = Belief(BROAD), Belief(BROAD)
    few.learn([], [0.0] * 140 + [10.0] + [0.0] * (BINS - 141), rounds=3)
    many.learn([], [0.0] * 140 + [1000.0] + [0.0] * (BINS - 141), rounds=3)
    assert many.survival == pytest.approx(few.survival)
    assert few.survival[145] > Belief(BROAD).survival[145]
