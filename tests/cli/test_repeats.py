"""Messages that repeat are counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.cli.repeats import Repeats

NIGHT = datetime(2026, 1, 2, 2, 11, tzinfo=UTC)


def test_a_cause_is_told_at_first_then_counted():
    repeats = Repeats()
    told = [repeats.add("502 on polls", NIGHT + timedelta(seconds=each)) for each in range(62)]
    assert told[0] == ""
    assert [line for line in told if line] == ["502 on polls: 61 times since 02:11"]
    assert repeats.rest() == ["502 on polls: 62 times since 02:11"]
    assert repeats.rest() == []
    assert repeats.add("429", NIGHT) == ""


@given(st.lists(st.floats(0, 3600), max_size=200))
def test_a_night_of_one_cause_is_few_lines_and_the_last_has_the_whole_count(pauses):
    repeats, now = Repeats(), NIGHT
    lines = []
    for pause in pauses:
        now += timedelta(seconds=pause)
        lines.append(repeats.add("x", now))
    told = [line for line in [*lines, *repeats.rest()] if line]
    hours = (now - NIGHT).total_seconds() / 3600
    assert len(told) <= 2 * hours + 7
    if len(pauses) > 1:
        assert told[-1].startswith(f"x: {len(pauses):,} times")


def test_the_number_of_causes_is_bounded():
    repeats = Repeats()
    for number in range(1000):
        repeats.add(f"cause {number}", NIGHT)
        repeats.add(f"cause {number}", NIGHT)
    assert len(repeats.rest()) == 100
