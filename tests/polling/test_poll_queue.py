"""Which item is due next, and which overdue item comes first."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.polling.poll_queue import DueQueue


def queue_of(*plan: tuple[str, float], urgency: Callable[[str, float], float] = lambda *_: 0.0):
    queue: DueQueue[str] = DueQueue(urgency)
    for item, due in plan:
        queue.plan(item, due)
    return queue


def take_all(queue: DueQueue[str], now: float) -> list[str]:
    taken = []
    while (item := queue.take(now)) is not None:
        taken.append(item)
    return taken


def test_an_empty_queue_hands_out_nothing():
    queue = queue_of()
    assert (len(queue), queue.next_due(), queue.take(1e9)) == (0, None, None)


def test_nothing_is_handed_out_before_it_is_due():
    queue = queue_of(("later", 10.0), ("soon", 5.0))
    assert queue.next_due() == 5.0
    assert queue.take(4.9) is None
    assert queue.take(5.0) == "soon"
    assert queue.next_due() == 10.0
    assert queue.take(9.9) is None
    assert queue.take(11.0) == "later"
    assert queue.next_due() is None


def test_equally_urgent_items_come_in_the_order_in_which_they_were_planned():
    queue = queue_of(("a", 3.0), ("b", 1.0), ("c", 2.0), ("d", 1.0))
    assert take_all(queue, 4.0) == ["a", "b", "c", "d"]


def test_the_most_urgent_due_item_comes_first():
    urgencies = {"a": 0.1, "b": 0.9, "c": 0.5, "not yet": 1.0}
    queue = queue_of(
        *((item, 1.0) for item in "abc"),
        ("not yet", 99.0),
        urgency=lambda item, _: urgencies[item],
    )
    assert take_all(queue, 2.0) == ["b", "c", "a"]


def test_without_urgency_the_longest_due_item_comes_first_and_nothing_is_ranked():
    def urgency(item: str, _: float) -> float:
        raise AssertionError(f"{item} was ranked")

    queue = queue_of(("a", 3.0), ("b", 1.0), ("c", 2.0), urgency=urgency)
    assert [queue.take(4.0, by_urgency=False) for _ in range(4)] == ["b", "c", "a", None]


def test_taking_by_urgency_can_begin_at_any_time():
    urgencies = {"a": 0.1, "b": 0.2, "c": 0.5, "d": 0.9}
    queue = queue_of(
        *((item, float(i)) for i, item in enumerate("abcd")),
        urgency=lambda item, _: urgencies[item],
    )
    assert queue.take(9.0, by_urgency=False) == "a"
    assert take_all(queue, 9.0) == ["d", "c", "b"]


def test_an_item_that_becomes_due_is_ranked_among_those_that_wait():
    urgencies = {"a": 0.1, "b": 0.2, "late": 0.9}
    queue = queue_of(("a", 1.0), ("b", 1.0), urgency=lambda item, _: urgencies[item])
    assert queue.take(2.0) == "b"
    queue.plan("b", 2.1)
    queue.plan("late", 2.2)
    assert take_all(queue, 2.3) == ["late", "b", "a"]


def test_urgencies_are_refreshed_as_time_passes():
    queue = queue_of(
        ("steady", 0.0),
        ("growing", 0.0),
        ("first", 0.0),
        urgency=lambda item, now: {"steady": 5.0, "growing": now, "first": 9.0}[item],
    )
    assert queue.take(0.0) == "first"
    assert queue.take(8.0) == "growing"


def test_urgency_is_asked_at_most_once_a_second_for_each_item():
    asked: list[str] = []
    queue = queue_of(
        *((f"{number}", 0.0) for number in range(100)),
        urgency=lambda item, _: float(asked.append(item) or 0),
    )
    for step in range(50):
        queue.take(1.0 + step / 100)
    assert len(asked) == 100


def test_urgency_is_not_asked_when_there_is_no_choice():
    def never(item: str, now: float) -> float:
        raise AssertionError

    queue = queue_of(("a", 1.0), ("b", 2.0), urgency=never)
    assert queue.take(1.5) == "a"
    assert queue.take(2.5) == "b"


def test_an_item_that_has_waited_for_half_a_minute_goes_first_whatever_its_urgency():
    queue = queue_of(("dull", 0.0), urgency=lambda item, _: 0.0 if item == "dull" else 1.0)
    taken = []
    for second in range(40):
        queue.plan(f"urgent {second}", float(second))
        taken.append(queue.take(float(second)))
        queue.plan(f"also urgent {second}", float(second))
    assert taken.index("dull") == 30


@given(
    st.lists(
        st.tuples(st.sampled_from(["plan", "take"]), st.floats(0, 100), st.floats(0, 1)),
        max_size=60,
    )
)
def test_every_planned_item_is_handed_out_once_and_not_before_it_is_due(steps):
    now = 0.0
    queue: DueQueue[tuple[int, float]] = DueQueue(lambda item, moment: (item[0] * 7 + moment) % 3)
    planned, taken = [], []

    def take() -> None:
        item = queue.take(now)
        if item is None:
            assert all(due > now for number, due in planned if (number, due) not in taken)
        else:
            assert item[1] <= now
            taken.append(item)

    for number, (step, moment, pause) in enumerate(steps):
        if step == "plan":
            planned.append((number, moment))
            queue.plan((number, moment), moment)
        else:
            now += 10 * pause
            take()
        assert len(queue) == len(planned) - len(taken)
        due = queue.next_due()
        assert (due is None) == (len(queue) == 0)
        waiting = [moment for number, moment in planned if (number, moment) not in taken]
        if due is not None:
            assert due in waiting
            assert (due <= now) == (min(waiting) <= now)
    now = 1000.0
    for _ in range(len(queue)):
        take()
    assert sorted(taken) == sorted(planned)


@pytest.mark.parametrize("now", [1.0, 100.0], ids=["by urgency", "by age"])
def test_the_cost_of_an_item_does_not_grow_with_their_number(now):
    def seconds(count: int) -> float:
        queue: DueQueue[int] = DueQueue(lambda item, _: -item)
        for number in range(count):
            queue.plan(number, 0.0)
        began = time.process_time()
        while queue.next_due() is not None:
            queue.take(now)
        return time.process_time() - began

    few = min(seconds(5_000) for _ in range(3))
    # If the cost of each were proportional to their number, this would take a hundred times as long.
    assert seconds(50_000) < 40 * few


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_the_queue_does_not_grow_with_the_items_handed_out(at_once):
    queue: DueQueue[int] = DueQueue(lambda *_: 0.0)

    def size() -> int:
        return sum(sys.getsizeof(getattr(queue, name)) for name in ("_planned", "_ranked"))

    def rounds(count: int) -> None:
        for number in range(count):
            for _ in range(at_once):
                queue.plan(number, float(number))
            assert [queue.take(number + 0.5) for _ in range(at_once)] == [number] * at_once

    rounds(100)
    before = size()
    rounds(5_000)
    assert size() <= before + 1000


def test_an_item_handed_out_alone_is_not_ranked_later():
    queue = queue_of(("a", 0.0), ("b", 0.0))
    assert take_all(queue, 1.0) == ["a", "b"]
    queue.plan("alone", 1.1)
    assert queue.take(1.1) == "alone"
    queue.plan("c", 1.2)
    queue.plan("d", 1.2)
    assert take_all(queue, 1.2) == ["c", "d"]


def test_one_call_never_ranks_a_hundred_thousand_due_items():
    asked = 0

    def urgency(item: int, now: float) -> float:
        nonlocal asked
        asked += 1
        return item + now

    queue: DueQueue[int] = DueQueue(urgency)
    for number in range(100_000):
        queue.plan(number, 0.0)
    most = 0
    for step in range(3_000):
        before = asked
        assert queue.take(1.0 + step / 100) is not None
        most = max(most, asked - before)
    assert most <= 64


def test_among_more_items_than_one_call_ranks_the_most_urgent_still_come_first():
    queue: DueQueue[int] = DueQueue(lambda item, _: item)
    for number in range(1_000):
        queue.plan(number, 0.0)
    taken = [queue.take(1.0 + step / 1000) for step in range(1_000)]
    assert sorted(taken) == list(range(1_000))
    assert all(number >= 500 for number in taken[300:400])
