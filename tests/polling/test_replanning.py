"""Which tasks are planned anew after something was learned."""

from __future__ import annotations

from foxapi_async.models import Task
from foxapi_async.polling.replanning import Replanning
from foxapi_async.polling.tracked_task import TrackedTask


def watches_of(count: int, groups: str = "ab") -> dict[str, TrackedTask]:
    return {
        f"{i}": TrackedTask(Task(f"{i}"), born=0.0, deadline=9.0, group=groups[i % len(groups)])
        for i in range(count)
    }


def all_of(replanning: Replanning) -> list[str]:
    found: list[str] = []
    while not replanning.is_done:
        found += [watch.id for watch in replanning.some()]
    return found


def test_nobody_asked():
    replanning = Replanning(watches_of(3))
    assert replanning.is_done
    assert replanning.some() == []


def test_each_task_of_the_group_comes_once():
    watches = watches_of(1000)
    replanning = Replanning(watches)
    replanning.ask("b")
    assert all_of(replanning) == [id_ for id_, watch in watches.items() if watch.group == "b"]


def test_ten_thousand_come_a_few_at_a_time():
    replanning = Replanning(watches_of(10_000, "a"))
    replanning.ask("a")
    assert 0 < len(replanning.some()) <= 500
    assert not replanning.is_done


def test_tasks_may_end_and_others_come_meanwhile():
    watches = watches_of(1000, "a")
    replanning = Replanning(watches)
    replanning.ask("a")
    first = {watch.id for watch in replanning.some()}
    watches["999"].finish(None)
    del watches["998"]
    watches["new"] = TrackedTask(Task("new"), born=0.0, deadline=9.0, group="a")
    rest = all_of(replanning)
    assert "999" not in rest
    assert len(rest) == len(set(rest))
    assert len(first | set(rest)) >= 998


def test_who_asks_meanwhile_gets_a_round_of_their_own():
    replanning = Replanning(watches_of(1000))
    replanning.ask("a")
    replanning.some()
    replanning.ask("a")
    replanning.ask("b")
    found = all_of(replanning)
    assert sum(int(id_) % 2 for id_ in found) == 500
    assert len(found) > 1000
