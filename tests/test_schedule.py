"""When to look next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.schedule import Schedule

anything = st.none() | st.floats()


@given(anything, st.floats(0, 1e7), st.floats(0, 1, exclude_max=True))
def test_the_next_look_is_never_sooner_nor_later_than_the_bounds(estimate, age, jitter):
    due = Schedule().next_look("g", estimate, age, jitter=jitter)
    assert 0.5 - 1e-6 <= due - age <= 60.0 + 1e-6


def test_a_task_is_looked_at_often_where_its_end_is_likely_and_rarely_elsewhere():
    schedule = Schedule()
    likely = schedule.next_look("g", 45.0, 45.0) - 45.0
    late = schedule.next_look("g", 45.0, 900.0) - 900.0
    assert likely < late
