"""What is to be done when, and what of the overdue comes first."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.polling.due_queue import DueQueue


def agenda_of(*plan: tuple[str, float], urgency: Callable[[str, float], float] = lambda *_: 0.0):
    agenda: DueQueue[str] = DueQueue(urgency)
    for item, due in plan:
        agenda.plan(item, due)
    return agenda


def take_all(agenda: DueQueue[str], now: float) -> list[str]:
    taken = []
    while (item := agenda.take(now)) is not None:
        taken.append(item)
    return taken


def test_an_empty_agenda_has_nothing_to_do():
    agenda = agenda_of()
    assert (len(agenda), agenda.next_due(), agenda.take(1e9)) == (0, None, None)


def test_nothing_is_handed_out_before_it_is_due():
    agenda = agenda_of(("later", 10.0), ("soon", 5.0))
    assert agenda.next_due() == 5.0
    assert agenda.take(4.9) is None
    assert agenda.take(5.0) == "soon"
    assert agenda.next_due() == 10.0
    assert agenda.take(9.9) is None
    assert agenda.take(11.0) == "later"
    assert agenda.next_due() is None


def test_what_is_equally_urgent_comes_in_the_order_in_which_it_was_planned():
    agenda = agenda_of(("a", 3.0), ("b", 1.0), ("c", 2.0), ("d", 1.0))
    assert take_all(agenda, 4.0) == ["a", "b", "c", "d"]


def test_the_most_urgent_of_what_is_due_comes_first():
    urgencies = {"a": 0.1, "b": 0.9, "c": 0.5, "not yet": 1.0}
    agenda = agenda_of(
        *((item, 1.0) for item in "abc"),
        ("not yet", 99.0),
        urgency=lambda item, _: urgencies[item],
    )
    assert take_all(agenda, 2.0) == ["b", "c", "a"]


def test_where_nothing_is_scarce_what_has_been_due_for_longest_comes_first_and_nothing_is_ranked():
    def urgency(item: str, _: float) -> float:
        raise AssertionError(f"{item} was ranked")

    agenda = agenda_of(("a", 3.0), ("b", 1.0), ("c", 2.0), urgency=urgency)
    assert [agenda.take(4.0, by_urgency=False) for _ in range(4)] == ["b", "c", "a", None]


def test_urgency_can_begin_to_count_at_any_time():
    urgencies = {"a": 0.1, "b": 0.2, "c": 0.5, "d": 0.9}
    agenda = agenda_of(
        *((item, float(i)) for i, item in enumerate("abcd")),
        urgency=lambda item, _: urgencies[item],
    )
    assert agenda.take(9.0, by_urgency=False) == "a"
    assert take_all(agenda, 9.0) == ["d", "c", "b"]


def test_what_becomes_due_while_others_wait_takes_its_rank_among_them():
    urgencies = {"a": 0.1, "b": 0.2, "late": 0.9}
    agenda = agenda_of(("a", 1.0), ("b", 1.0), urgency=lambda item, _: urgencies[item])
    assert agenda.take(2.0) == "b"
    agenda.plan("b", 2.1)
    agenda.plan("late", 2.2)
    assert take_all(agenda, 2.3) == ["late", "b", "a"]


def test_the_ranking_is_made_anew_as_time_passes():
    agenda = agenda_of(
        ("steady", 0.0),
        ("growing", 0.0),
        ("first", 0.0),
        urgency=lambda item, now: {"steady": 5.0, "growing": now, "first": 9.0}[item],
    )
    assert agenda.take(0.0) == "first"
    assert agenda.take(8.0) == "growing"


def test_urgency_is_asked_at_most_once_a_second_for_each_item():
    asked: list[str] = []
    agenda = agenda_of(
        *((f"{number}", 0.0) for number in range(100)),
        urgency=lambda item, _: float(asked.append(item) or 0),
    )
    for step in range(50):
        agenda.take(1.0 + step / 100)
    assert len(asked) == 100


def test_urgency_is_not_asked_when_there_is_no_choice():
    def never(item: str, now: float) -> float:
        raise AssertionError

    agenda = agenda_of(("a", 1.0), ("b", 2.0), urgency=never)
    assert agenda.take(1.5) == "a"
    assert agenda.take(2.5) == "b"


def test_what_has_waited_for_half_a_minute_goes_first_whatever_its_urgency():
    agenda = agenda_of(("dull", 0.0), urgency=lambda item, _: 0.0 if item == "dull" else 1.0)
    taken = []
    for second in range(40):
        agenda.plan(f"urgent {second}", float(second))
        taken.append(agenda.take(float(second)))
        agenda.plan(f"also urgent {second}", float(second))
    assert taken.index("dull") == 30


@given(
    st.lists(
        st.tuples(st.sampled_from(["plan", "take"]), st.floats(0, 100), st.floats(0, 1)),
        max_size=60,
    )
)
def test_everything_that_was_planned_is_handed_out_once_and_not_before_its_time(steps):
    now = 0.0
    agenda: DueQueue[tuple[int, float]] = DueQueue(lambda item, moment: (item[0] * 7 + moment) % 3)
    planned, taken = [], []

    def take() -> None:
        item = agenda.take(now)
        if item is None:
            assert all(due > now for number, due in planned if (number, due) not in taken)
        else:
            assert item[1] <= now
            taken.append(item)

    for number, (step, moment, pause) in enumerate(steps):
        if step == "plan":
            planned.append((number, moment))
            agenda.plan((number, moment), moment)
        else:
            now += 10 * pause
            take()
        assert len(agenda) == len(planned) - len(taken)
        due = agenda.next_due()
        assert (due is None) == (len(agenda) == 0)
        waiting = [moment for number, moment in planned if (number, moment) not in taken]
        if due is not None:
            assert due in waiting
            assert (due <= now) == (min(waiting) <= now)
    now = 1000.0
    for _ in range(len(agenda)):
        take()
    assert sorted(taken) == sorted(planned)


@pytest.mark.parametrize("now", [1.0, 100.0], ids=["by urgency", "by age"])
def test_the_cost_of_an_item_does_not_grow_with_their_number(now):
    def seconds(count: int) -> float:
        agenda: DueQueue[int] = DueQueue(lambda item, _: -item)
        for number in range(count):
            agenda.plan(number, 0.0)
        began = time.process_time()
        while agenda.next_due() is not None:
            agenda.take(now)
        return time.process_time() - began

    few = min(seconds(5_000) for _ in range(3))
    # Were the cost of each proportional to their number, it would be a hundred times as much.
    assert seconds(50_000) < 40 * few


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_what_was_handed_out_leaves_nothing_behind(at_once):
    agenda: DueQueue[int] = DueQueue(lambda *_: 0.0)

    def size() -> int:
        parts = ("_planned", "_due", "_by_age", "_unranked", "_ranked")
        return sum(sys.getsizeof(getattr(agenda, name)) for name in parts)

    def rounds(count: int) -> None:
        for number in range(count):
            for _ in range(at_once):
                agenda.plan(number, float(number))
            assert [agenda.take(number + 0.5) for _ in range(at_once)] == [number] * at_once

    rounds(100)
    before = size()
    rounds(5_000)
    assert size() <= before + 1000


def test_what_was_handed_out_alone_is_not_ranked_a_moment_later():
    agenda = agenda_of(("a", 0.0), ("b", 0.0))
    assert take_all(agenda, 1.0) == ["a", "b"]
    agenda.plan("alone", 1.1)
    assert agenda.take(1.1) == "alone"
    agenda.plan("c", 1.2)
    agenda.plan("d", 1.2)
    assert take_all(agenda, 1.2) == ["c", "d"]


def test_a_hundred_thousand_that_are_due_are_not_ranked_in_one_go():
    asked = 0

    def urgency(item: int, now: float) -> float:
        nonlocal asked
        asked += 1
        return item + now

    agenda: DueQueue[int] = DueQueue(urgency)
    for number in range(100_000):
        agenda.plan(number, 0.0)
    most = 0
    for step in range(3_000):
        before = asked
        assert agenda.take(1.0 + step / 100) is not None
        most = max(most, asked - before)
    assert most <= 64


def test_among_more_than_are_ranked_in_one_go_the_most_urgent_still_come_first():
    agenda: DueQueue[int] = DueQueue(lambda item, _: item)
    for number in range(1_000):
        agenda.plan(number, 0.0)
    taken = [agenda.take(1.0 + step / 1000) for step in range(1_000)]
    assert sorted(taken) == list(range(1_000))
    assert all(number >= 500 for number in taken[300:400])
