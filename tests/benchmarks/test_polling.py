"""The polling benchmark, and through it the promises of the schedule, in some worlds."""

from __future__ import annotations

import pytest

from benchmarks.polling.__main__ import main
from benchmarks.polling.measure import Row, Setting
from benchmarks.polling.policies import Fixed
from benchmarks.polling.simulate import simulate
from benchmarks.polling.worlds import Job, World

pytestmark = pytest.mark.once

SETTING = Setting(tasks=500, seeds=1)


@pytest.mark.parametrize("name", ["exact", "missing", "garbage", "bimodal", "x3"])
def test_after_a_hundred_tasks_the_cost_is_near_the_optimum_and_below_any_fixed_interval(name):
    row = Row(World(name, 45.0, 0.25), SETTING)
    assert 0.93 < row.settled < 1.08
    assert row.whole < 1.15 * row.best_fixed
    if name != "bimodal":
        assert row.best_fixed / (row.settled * row.optimum) > 1.45
    assert row.fixed[2] / (row.settled * row.optimum) > 2.5


@pytest.mark.parametrize("name", ["exact", "own size"])
def test_with_an_estimate_that_means_something_the_first_fifty_tasks_cost_little_more(name):
    assert Row(World(name, 45.0, 0.25), SETTING).first < 1.45


@pytest.mark.parametrize(
    ("name", "median"), [("x10", 4.0), ("x0.1", 300.0), ("missing", 300.0), ("constant 45", 4.0)]
)
def test_when_nothing_is_known_or_estimates_mislead_the_first_fifty_tasks_cost_little_more(
    name, median
):
    assert Row(World(name, median, 0.25), Setting(tasks=200, seeds=2)).first < 1.6


def test_a_shift_in_the_middle_of_a_run_is_followed():
    row = Row(World("shift x2.5", 45.0, 0.25), Setting(tasks=700, seeds=2))
    assert row.settled < 1.15
    assert row.whole < 1.15 * row.best_fixed


def test_tasks_that_all_end_before_the_first_poll_are_polled_sooner():
    row = Row(World("shift /2.5", 12.0, 0.25), SETTING)
    assert row.settled < 1.15


def test_planning_anew_what_is_in_flight_helps_where_estimates_mislead():
    world = World("constant 45", 4.0, 0.25)
    kept = Row(world, Setting(tasks=200, seeds=1, replan=False)).first
    assert Row(world, Setting(tasks=200, seeds=1)).first < 0.9 * kept


def test_where_durations_vary_most_a_fixed_interval_is_hardly_better_than_ours():
    row = Row(World("constant 45", 12.0, 1.0), SETTING)
    assert row.whole < 1.15 * row.best_fixed


def test_the_simulation_counts_polls_and_delay():
    jobs = [Job(2.5, None, ()), Job(4.0, None, ()), Job(0.2, None, ())]
    result = simulate(jobs, Fixed(1.0), in_flight=2, seed=0)
    assert result.polls == [3, 4, 1]
    assert result.delays == pytest.approx([0.5, 0.0, 0.8])
    assert result.cost(0.25) == pytest.approx((1.3 + 0.25 * 8) / 3)


def test_the_command_prints_a_table_and_draws_the_plot(capsys, tmp_path):
    plot = tmp_path / "plot.svg"
    assert main(["--quick", "--world", "exact", "--plot", str(plot)]) == 0
    assert "after 100" in capsys.readouterr().out
    assert plot.read_text().startswith("<svg")
