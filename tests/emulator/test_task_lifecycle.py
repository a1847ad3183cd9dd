"""How far a task is, and what is announced of it: pure functions."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.emulator import LogNormal, Times
from foxapi_async.emulator.task_lifecycle import ORDINARY, announce, draw_duration, standing

_ORDER = {"pending": 0, "processing": 1, "completed": 2}


@given(duration=st.floats(0, 1e6), ages=st.lists(st.floats(0, 2e6), min_size=2, max_size=20))
def test_a_life_never_goes_backwards(duration, ages):
    told = [standing(0.0, duration, elapsed, "completed") for elapsed in sorted(ages)]
    places = [(_ORDER[each.status], each.progress) for each in told]
    assert places == sorted(places)
    assert all(0 <= each.progress <= 100 for each in told)


@given(st.floats(0.001, 1e6))
def test_a_task_is_completed_from_its_last_moment_on_and_not_before(duration):
    assert standing(0.0, duration, duration, "completed").status == "completed"
    assert standing(0.0, duration, duration * 0.999, "completed").status == "processing"


def test_an_endless_task_stays_pending():
    assert standing(0.0, math.inf, 1e9, "completed").status == "pending"


@pytest.mark.parametrize(
    ("duration", "low", "high"),
    [
        (3.0, 3.0, 3.0),
        ((2.0, 5.0), 2.0, 5.0),
        (LogNormal(20, 0.5), 0.5, 800.0),
        (lambda payload, _: 7 + len(payload), 8.0, 8.0),
        (lambda *_: -3.0, 0.0, 0.0),
    ],
)
def test_durations_come_from_where_they_were_told_to(duration, low, high):
    rng = random.Random(1)
    drawn = [draw_duration(duration, {"prompt": "a"}, rng) for _ in range(200)]
    assert all(low <= each <= high for each in drawn)


def test_the_median_of_a_log_normal_is_its_median():
    rng = random.Random(1)
    drawn = sorted(LogNormal(20, 0.5).draw(rng) for _ in range(2001))
    assert 18 < drawn[1000] < 22


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        ("exact", 5.0),
        (45, 22.5),
        (Times(0.3), 1.5),
        (lambda _, duration: duration + 2, 6.0),
        ("45", "45"),
        (None, None),
        (-1, -0.5),
        (1e12, 5e11),
        (lambda *_: [], []),
        (lambda *_: True, True),
    ],
)
def test_numbers_are_announced_in_seconds_of_the_client_and_the_rest_as_it_is(estimate, said):
    assert announce(estimate, {}, 10.0, 2.0) == said


def test_nothing_is_announced_of_a_missing_estimate_nor_a_number_of_an_endless_task():
    assert announce("missing", {}, 10.0, 1.0) is ORDINARY
    assert announce("exact", {}, math.inf, 1.0) is None
    assert announce(Times(2), {}, math.inf, 1.0) is None
