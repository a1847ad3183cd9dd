"""When commits are due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.journal.pace import ENOUGH, Pace


def pace_after(commits: list[tuple[float, int]]) -> Pace:
    pace = Pace()
    for now, size in commits:
        pace.committing(now, size)
    return pace


BURST = [(number * 0.005, 2) for number in range(8)]


def test_a_change_after_a_pause_is_committed_at_once():
    assert pace_after([(0, 1), (5, 1), (10, 1)]).due(1) < 0


def test_a_burst_of_commits_is_slowed_down_so_that_groups_form():
    assert pace_after(BURST).due(3) == BURST[-1][0] + 0.08


def test_the_id_of_a_task_waits_for_little_company():
    assert pace_after(BURST).due(3, has_ids=True) == BURST[-1][0] + 0.03


def test_enough_changes_do_not_wait_for_more():
    assert pace_after(BURST).due(ENOUGH) < 0


def test_who_submits_one_by_one_is_left_alone():
    lonely = [(0.1, 1), (0.12, 1), (0.14, 1)]
    assert pace_after([*BURST, *lonely]).due(1) < 0
    at_once = [(0.141 + number * 0.001, 1) for number in range(20)]
    assert pace_after([*BURST, *lonely, *at_once]).due(1) < 0


def test_gathering_is_tried_again_after_a_while():
    lonely = [(0.1, 1), (0.12, 1), (0.14, 1)]
    later = [(now + 2, 1) for now, _ in BURST]
    assert pace_after([*BURST, *lonely, *later]).due(1) > 2


def test_good_company_keeps_it_gathering():
    assert pace_after([*BURST, *((0.1 + n * 0.04, 4) for n in range(50))]).due(4) > 1


def test_a_pause_ends_gathering_without_a_grudge():
    later = [(now + 5, 2) for now, _ in BURST]
    assert pace_after([*BURST, later[0]]).due(1) < 0
    assert pace_after([*BURST, *later]).due(1) > 5


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), max_size=60), st.integers(1, 99))
def test_nobody_waits_longer_than_a_moment(steps: list[tuple[float, int]], waiting: int):
    pace, now = Pace(), 0.0
    for step, size in steps:
        now += step
        pace.committing(now, size)
        assert pace.due(waiting) <= now + 0.04
