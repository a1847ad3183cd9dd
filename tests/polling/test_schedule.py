"""When to poll next."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxapi_async.polling.history import History
from foxapi_async.polling.schedule import GROUPS, InspectionTable, Schedule

estimates = st.none() | st.floats() | st.sampled_from([0, -1, 45, 1e12, math.nan, math.inf])
jitters = st.floats(0, 1, exclude_max=True)
ages = st.floats(0, 1e10)  # 1970 is 1.8e9 seconds ago for a clock that was never set


def taught(seed=0, count=60, median=30.0, sigma=0.25, estimate=None, **options):
    schedule, rng = Schedule(**options), random.Random(seed)
    for _ in range(count):
        duration = median * math.exp(rng.gauss(0.0, sigma))
        schedule.observe("g", estimate, duration * 0.95, duration * 1.05)
    return schedule


@given(
    estimates,
    ages,
    jitters,
    st.tuples(st.floats(0.01, 10), st.floats(1e-9, 5), st.floats(0, 500)),
)
def test_the_next_poll_is_never_sooner_nor_later_than_the_bounds(estimate, age, jitter, bounds):
    poll_cost, shortest, more = bounds
    schedule = Schedule(poll_cost=poll_cost, min_interval=shortest, max_interval=shortest + more)
    interval = schedule.next_poll("g", estimate, age, jitter=jitter) - age
    rounding = 1e-6 + math.ulp(age)
    assert shortest - rounding <= interval <= shortest + more + rounding


@settings(max_examples=60)
@given(
    st.lists(st.tuples(estimates, st.floats(), st.floats()), max_size=30),
    st.lists(st.tuples(estimates, ages, jitters), min_size=1, max_size=5),
)
def test_nothing_that_is_observed_breaks_the_bounds(observed, asked):
    schedule = Schedule()
    for estimate, low, high in observed:
        schedule.observe("g", estimate, low, high)
        schedule.still_running("g", estimate, low, high)
        schedule.next_poll("g", estimate, 0.0)
    for estimate, age, jitter in asked:
        interval = schedule.next_poll("g", estimate, age, jitter=jitter) - age
        rounding = 1e-6 + math.ulp(age)
        assert 0.5 - rounding <= interval <= 180.0 + rounding
        assert 0.0 <= schedule.chance("g", estimate, age, age * 2 + 1) <= 1.0


@given(estimates, ages, st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_chance_that_it_ended_grows_with_time(estimate, age, sooner, later):
    schedule = Schedule()
    sooner, later = age + min(sooner, later), age + max(sooner, later)
    chances = [schedule.chance("g", estimate, age, at) for at in (age, sooner, later)]
    assert chances[0] == 0.0
    assert chances == sorted(chances)


@pytest.mark.parametrize("estimate", [None, 0.0, 45.0, 1e-9, 1e12, math.nan])
@pytest.mark.parametrize("count", [0, 60])
def test_a_task_that_never_ends_is_polled_a_bounded_number_of_times_an_hour(estimate, count):
    schedule = taught(count=count, estimate=estimate)
    age, polls = 0.0, 0
    while age < 7200.0:
        age = schedule.next_poll("g", estimate, age)
        polls += 3600.0 < age <= 7200.0
    assert 60 <= polls <= 250


def test_a_task_is_polled_often_where_its_end_is_likely_and_rarely_elsewhere():
    schedule = taught()
    first = schedule.next_poll("g", None, 0.0)
    likely = schedule.next_poll("g", None, 30.0) - 30.0
    late = schedule.next_poll("g", None, 200.0) - 200.0
    assert 15.0 < first < 30.0
    assert likely < 4.0 < late


def test_a_good_estimate_moves_the_first_poll():
    schedule, rng = Schedule(), random.Random(5)
    for _ in range(80):
        size = math.exp(rng.uniform(2, 5))
        duration = size * math.exp(rng.gauss(0.0, 0.15))
        schedule.observe("g", size, duration * 0.95, duration * 1.05)
    short, long = schedule.next_poll("g", 10.0, 0.0), schedule.next_poll("g", 40.0, 0.0)
    assert 5.0 < short < 10.0
    assert 20.0 < long < 40.0


@pytest.mark.parametrize("estimate", [12.0, 45.0, None])
def test_a_thousand_tasks_submitted_together_are_spread(estimate):
    schedule = taught(median=45.0, estimate=estimate)
    dues = sorted(schedule.next_poll("g", estimate, 0.0, jitter=i / 1000) for i in range(1000))
    usual = schedule.next_poll("g", estimate, 45.0) - 45.0
    assert dues[-1] - dues[0] > 0.3 * usual
    busiest = max(sum(due <= other < due + 0.1 for other in dues) for due in dues[::20])
    assert busiest < 200


def test_while_no_end_is_known_the_first_polls_are_spread_over_a_factor_of_five():
    untaught = Schedule()
    first = [untaught.next_poll("g", 45.0, 0.0, jitter=i / 100) for i in range(100)]
    assert max(first) / min(first) > 4.0
    assert max(sum(age <= other < 1.2 * age for other in first) for age in first) < 60
    untaught.observe("g", 45.0, 40.0, 44.0)
    sooner, later = (untaught.next_poll("g", 45.0, 0.0, jitter=j) for j in (0.0, 0.99))
    assert later / sooner < 2.0


def test_running_tasks_delay_the_first_polls_of_the_others_before_any_has_ended():
    schedule = Schedule()
    before = schedule.next_poll("g", 10.0, 0.0)
    for _ in range(20):
        schedule.still_running("g", 10.0, 0.0, 60.0)
    assert schedule.next_poll("g", 10.0, 0.0) > 1.5 * before


def test_tasks_that_never_end_are_not_planned_again_with_every_poll():
    schedule = Schedule()
    for i in range(2000):
        schedule.still_running("g", 10.0, 0.0, 5.0 + i / 100)
        schedule.next_poll("g", 10.0, 0.0)
    assert schedule._groups["g"].history.version < 25


def test_polls_of_tasks_that_wait_for_the_longest_interval_are_spread_too():
    schedule = taught(median=3000.0)
    dues = [schedule.next_poll("g", None, 0.0, jitter=i / 10) for i in range(10)]
    assert max(dues) - min(dues) > 4.0


def test_equal_calls_give_equal_answers():
    one, other = taught(seed=3), taught(seed=3)
    assert [one.next_poll("g", 20.0, float(a)) for a in range(90)] == [
        other.next_poll("g", 20.0, float(a)) for a in range(90)
    ]


def test_a_new_group_starts_from_what_the_others_took():
    schedule = taught(median=300.0)
    assert schedule.next_poll("new", None, 0.0) > 1.2 * Schedule().next_poll("new", None, 0.0)


def test_groups_learn_apart_and_the_one_without_an_end_for_longest_is_forgotten():
    schedule = taught(median=30.0)
    for _ in range(50):
        schedule.observe("other", None, 95.0, 105.0)
    assert schedule.next_poll("other", None, 30.0) > 20 + schedule.next_poll("g", None, 30.0)
    schedule.observe("g", None, 29.0, 30.0)
    for i in range(GROUPS - 1):
        schedule.next_poll(i, None, 0.0)
    assert schedule.revision("g") > 0
    assert schedule.revision("other") == 0


def test_the_revision_grows_more_slowly_the_more_was_learned():
    schedule, revisions = Schedule(), [0]
    for _ in range(256):
        schedule.observe("g", None, 1.0, 2.0)
        revisions.append(schedule.revision("g"))
    assert revisions[:5] == [0, 1, 2, 3, 4]
    assert revisions == sorted(revisions)
    assert revisions[-1] == 10


def test_what_was_learned_survives_a_trip_through_json():
    known = taught(median=30.0)
    known.observe(("phota-image", "1K", 2, None), 10.0, 8.0, 9.0)
    known.observe(object(), 10.0, 8.0, 9.0)
    revived = Schedule()
    assert revived.from_json(json.loads(json.dumps(known.to_json()))) == 61
    for age in (0.0, 25.0, 30.0, 40.0):
        assert revived.next_poll("g", None, age) == pytest.approx(
            known.next_poll("g", None, age), rel=0.05
        )
    assert revived.to_json() == known.to_json()


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    json_values
    | st.builds(lambda groups: {"version": 1, "groups": groups}, json_values)
    | st.builds(
        lambda name, evidence, ended: {
            "version": 1,
            "groups": [{"group": name, "evidence": evidence, "ended": ended}],
        },
        json_values,
        json_values,
        st.lists(st.lists(json_values, max_size=4)) | json_values,
    )
)
def test_unreadable_history_is_left_out(garbage):
    schedule = Schedule()
    schedule.from_json(garbage)
    assert 0.5 <= schedule.next_poll("g", 20.0, 0.0) <= 180.0
    json.dumps(schedule.to_json())


@pytest.mark.parametrize(
    "options",
    [
        {"poll_cost": 0.0},
        {"poll_cost": math.nan},
        {"min_interval": -1.0},
        {"max_interval": math.inf},
        {"min_interval": 5.0, "max_interval": 4.0},
    ],
)
def test_invalid_figures_are_refused(options):
    with pytest.raises(ValueError, match=r"poll_cost|min_interval|max_interval"):
        Schedule(**options)


@pytest.mark.parametrize("longest", [0.1, 1e-3, 5e-324])
def test_however_short_the_longest_interval_a_plan_stays_small(longest):
    schedule = Schedule(min_interval=longest, max_interval=longest)
    for estimate in (None, 600.0):
        assert schedule.next_poll("g", estimate, 10.0) == pytest.approx(10.0 + longest)
    [known] = schedule._groups.values()
    assert all(len(table._times) < 5000 for table in known.tables.values())


def test_a_fault_costs_polls_but_never_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: object) -> None:
        raise OverflowError

    learned = taught().to_json()
    schedule = taught()
    for name in ("observe", "still_running", "remember", "recalled", "fit"):
        monkeypatch.setattr(History, name, fail)
    monkeypatch.setattr(InspectionTable, "next_poll", fail)
    for age in (0.0, 7.0):
        assert schedule.next_poll("g", None, age) == age + 10.0
        assert schedule.chance("new", 20.0, age, age + 1.0) == 0.5
        schedule.observe("g", None, age, age + 1.0)
        schedule.still_running("g", None, age, age + 1.0)
    assert schedule.to_json() == {}
    assert schedule.from_json(learned) == 0
    assert Schedule(max_interval=2.0).next_poll("g", None, 0.0, jitter=0.0) == 2.0
    messages = [r.message for r in caplog.records if "schedule failed" in r.message]
    assert len(messages) == 2  # once for each of two schedules


def test_the_number_of_fits_grows_slowly_with_the_number_of_ends(monkeypatch: pytest.MonkeyPatch):
    fits: list[int] = []
    fit = History.fit

    def count(history: History) -> None:
        fits.append(history.seen)
        fit(history)

    monkeypatch.setattr(History, "fit", count)
    schedule = Schedule()
    for _ in range(1_000):
        schedule.observe("g", 20.0, 19.0, 21.0)
        schedule.next_poll("g", 20.0, 0.0)
    assert fits[:7] == [1, 2, 4, 8, 16, 32, 64]
    assert len(fits) < 25
