"""From a distribution of durations to the ages of polls."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from benchmarks.polling.optimum import optimal_plan
from foxapi_async.polling.durations import ORIGIN, STEP, mixture
from foxapi_async.polling.schedule import InspectionTable


def survival_of(parts):
    masses = mixture(
        (share, (math.log(m) - ORIGIN) / STEP, sigma / STEP) for share, m, sigma in parts
    )
    left = [1.0]
    for mass in masses:
        left.append(max(left[-1] - mass, 1e-9))
    return left


def chance_to_outlast(parts, t):
    if t <= 0:
        return 1.0
    return sum(
        share * 0.5 * math.erfc(math.log(t / m) / sigma / math.sqrt(2)) for share, m, sigma in parts
    )


def cost_of(ages, parts, poll_cost):
    """Return the expected cost of polls at these ages, by Simpson's rule between polls."""
    total, before, alive = 0.0, 0.0, 1.0
    for age in ages:
        step = (age - before) / 40
        values = [chance_to_outlast(parts, before + i * step) for i in range(41)]
        area = (
            step / 3 * (values[0] + values[-1] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]))
        )
        total += poll_cost * alive + alive * (age - before) - area
        before, alive = age, values[-1]
    return total


def ages_of(table, end):
    ages = [0.0]
    while ages[-1] < end:
        ages.append(max(table.next_poll(ages[-1], 0.5), ages[-1] + 0.05))
    return ages[1:]


WORLDS = {
    "sharp and short": ((1.0, 4.0, 0.25),),
    "sharp": ((1.0, 45.0, 0.25),),
    "broad": ((1.0, 45.0, 1.0),),
    "very sharp": ((1.0, 90.0, 0.1),),
    "two modes": ((0.8, 20.0, 0.25), (0.2, 100.0, 0.25)),
}


@pytest.mark.parametrize("parts", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("poll_cost", [0.1, 0.25, 1.0])
def test_with_a_known_distribution_the_cost_is_the_exact_optimum_within_two_percent(
    parts, poll_cost
):
    table = InspectionTable(survival_of(parts), poll_cost=poll_cost, shortest=0.05, longest=1e6)
    end = max(m * math.exp(4.5 * sigma) for _, m, sigma in parts)
    ours = cost_of(ages_of(table, end), parts, poll_cost)
    best = optimal_plan(
        lambda t: chance_to_outlast(parts, t), start=0.5, end=end * 1.5, poll_cost=poll_cost
    )
    assert best.cost * 0.999 <= ours <= best.cost * 1.02


@pytest.mark.parametrize("parts", WORLDS.values(), ids=WORLDS)
def test_the_optimum_costs_what_dynamic_programming_says(parts):
    end = max(m * math.exp(5 * sigma) for _, m, sigma in parts)
    plan = optimal_plan(lambda t: chance_to_outlast(parts, t), start=0.2, end=end, poll_cost=0.25)
    assert cost_of(plan.ages, parts, 0.25) == pytest.approx(plan.cost, rel=0.005)
    for factor in (0.97, 1.03):
        assert cost_of([a * factor for a in plan.ages], parts, 0.25) > plan.cost * 0.9999


def test_no_interval_of_the_plan_is_shorter_than_the_shortest():
    table = InspectionTable(
        survival_of(((1.0, 20.0, 0.05),)), poll_cost=0.01, shortest=2.0, longest=60.0
    )
    ages = [0.0, *ages_of(table, 20.0)]
    assert min(b - a for a, b in pairwise(ages)) > 1.5


def test_a_longest_interval_costs_no_more_than_the_polls_that_it_forces():
    parts = ((1.0, 300.0, 0.25),)
    free = InspectionTable(survival_of(parts), poll_cost=0.25, shortest=0.5, longest=1e6)
    bound = InspectionTable(survival_of(parts), poll_cost=0.25, shortest=0.5, longest=60.0)
    ages = ages_of(bound, 900.0)
    assert max(b - a for a, b in pairwise([0.0, *ages])) < 60.0 + 1e-6
    forced = 0.25 * 2  # before the first poll that the optimum makes, at three minutes
    assert cost_of(ages, parts, 0.25) < cost_of(ages_of(free, 900.0), parts, 0.25) + forced + 0.1


def test_polls_that_cost_almost_nothing_are_still_planned_within_bounds():
    table = InspectionTable(
        survival_of(((1.0, 3000.0, 1.5),)), poll_cost=1e-9, shortest=0.5, longest=60.0
    )
    assert 1000.0 < table.next_poll(1000.0, 0.5) <= 1060.0


def test_a_higher_poll_cost_makes_the_first_poll_later():
    first = [
        InspectionTable(
            survival_of(((1.0, 45.0, 0.5),)), poll_cost=k, shortest=0.5, longest=60.0
        ).next_poll(0.0, 0.5)
        for k in (0.05, 0.25, 1.0, 4.0)
    ]
    assert first == sorted(first)


def test_far_beyond_all_that_is_known_the_interval_grows():
    table = InspectionTable(
        survival_of(((1.0, 10.0, 0.25),)), poll_cost=0.25, shortest=0.5, longest=1e6
    )
    assert table.next_poll(500.0, 0.5) - 500.0 > 10.0
