"""A budget of credits is not exceeded if every task costs what an earlier one of its kind did."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import (
    BudgetExceededError,
    GenerationRequest,
    InvalidRequestError,
    Limits,
    PhotaImage,
)
from foxapi_async.bulk import Job, run_job
from foxapi_async.bulk.money.credit_budget import CreditBudget, Room, kind_of
from foxapi_async.emulator import Drop, Fault, Rewrite, error
from tests.bulk.conftest import JobFolder

ENDS = ("settle", "settle", "settle", "release", "lose")


class Simulation:
    """Requests of a few kinds that are submitted as the budget allows, and end in any order."""

    def __init__(self, costs: list[int], total: float, data: st.DataObject) -> None:
        self.budget = CreditBudget(total)
        self.costs = costs
        self.data = data
        self.under_way: dict[str, int] = {}
        self.spent = 0
        self.firsts = 0
        """What the requests have cost that were the first of their kind."""
        self._submitted = 0

    def submit(self, kind: int) -> Room:
        room = self.budget.room_for(kind)
        if room is Room.SUBMIT:
            if self.budget.expected(kind) is None:
                assert not self.under_way, "the first of a kind leaves alone"
                self.firsts += self.costs[kind]
            self._submitted += 1
            self.budget.submit(f"{self._submitted}", kind)
            self.under_way[f"{self._submitted}"] = kind
            self.spent += self.costs[kind]
        return room

    def end_one(self) -> None:
        key = self.data.draw(st.sampled_from(sorted(self.under_way)))
        cost = self.costs[self.under_way.pop(key)]
        match self.data.draw(st.sampled_from(ENDS)):
            case "settle":
                self.budget.settle(key, cost)
            case "release":
                self.spent -= cost
                self.budget.release(key)
            case _:
                self.budget.lose(key, was_answered=False)


@given(
    costs=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    total=st.integers(1, 60),
    known=st.booleans(),
    data=st.data(),
)
def test_the_budget_is_kept(costs: list[int], total: int, known: bool, data: st.DataObject):
    run = Simulation(costs, total, data)
    if known:
        for kind, cost in enumerate(costs):
            run.budget.submit("first", kind)
            run.budget.settle("first", cost)
        run.budget.reserved = 0
    for kind in data.draw(st.lists(st.integers(0, len(costs) - 1), max_size=25)):
        while (room := run.submit(kind)) is Room.WAIT:
            assert run.under_way, "what is waited for can end"
            run.end_one()
        assert run.spent <= total + (0 if known else run.firsts)
        if room is Room.NONE:
            cost = run.budget.expected(kind) or 0
            assert run.budget.used + cost >= total, "it is not refused while it fits"
    while run.under_way:
        run.end_one()
    assert run.spent <= total + (0 if known else run.firsts)


def test_a_task_that_costs_more_than_its_kind_raises_what_is_expected():
    budget = CreditBudget(100)
    for key, cost in (("a", 10), ("b", 30)):
        assert budget.room_for("k") is Room.SUBMIT
        budget.submit(key, "k")
        budget.settle(key, cost)
    assert (budget.reserved, budget.expected("k")) == (40, 30)
    for key in "cd":
        budget.submit(key, "k")
    assert (budget.used, budget.room_for("k")) == (100, Room.WAIT)


def test_a_server_that_does_not_say_what_it_reserves_ends_the_budget():
    budget = CreditBudget(100)
    budget.submit("a", "k")
    assert (budget.room_for("k"), budget.room_for("other")) == (Room.WAIT, Room.WAIT)
    budget.lose("a", was_answered=True)
    assert budget.room_for("k") is Room.NONE
    assert budget.is_silent


def test_a_kind_is_what_the_cost_depends_on():
    image = PhotaImage("a")
    assert kind_of(image) == kind_of(PhotaImage("b", aspect_ratio="3:4"))
    others: list[Any] = [
        PhotaImage("a", num_outputs=2),
        PhotaImage("a", resolution="4K"),
        GenerationRequest("other", {"prompt": "a", "resolution": "1K"}),
    ]
    assert len({kind_of(each) for each in [image, *others]}) == 4


@pytest.mark.ordinary_loop
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "5", True])
async def test_a_budget_is_a_number_above_0(job_folder: JobFolder, value: Any):
    job_folder.write({"prompt": "a"})
    job = Job.read(job_folder.path / "jobs.jsonl")
    with pytest.raises(InvalidRequestError, match="max_credits"):
        run_job(job_folder.session(), job, job_folder.out, max_credits=value)


@pytest.mark.ordinary_loop
async def test_a_run_ends_when_its_credits_are_reserved_and_the_next_one_goes_on(
    job_folder: JobFolder,
):
    job_folder.write(
        *({"prompt": f"p{n}"} for n in range(5)),
        *({"prompt": f"q{n}", "resolution": "4K"} for n in range(3)),
    )
    emulator = job_folder.emulator
    emulator.script(
        # Not billed, so they count for nothing.
        Fault("submit", error(422), when=lambda call: call.prompt == "p0"),
        Fault("submit", error(429), when=lambda call: call.prompt == "p1"),
    )
    _, first = await job_folder.run(max_credits=150_000)
    assert isinstance(first.stopped, BudgetExceededError)
    # The first in 4K is sent although it does not fit: nothing is known of its kind.
    assert (first.stopped.total, emulator.counters.credits_reserved) == (150_000, 180_000)
    assert "180,000 of 150,000 credits" in str(first.stopped)
    _, second = await job_folder.run(max_credits=1e9)
    assert (second.is_done, second.stopped) == (True, None)
    assert (emulator.counters.images_billed, emulator.counters.credits_reserved) == (8, 330_000)


@pytest.mark.ordinary_loop
async def test_what_may_have_been_billed_counts_and_a_silent_server_ends_the_run(
    job_folder: JobFolder,
):
    job_folder.write(*({"prompt": f"p{n}"} for n in range(6)))
    job_folder.emulator.script(
        Fault("submit", Drop(carried_out=True), when=lambda call: call.prompt == "p1")
    )
    limits = Limits(outputs=1)
    _, first = await job_folder.run(max_credits=120_000, limits=limits)
    assert (first.completed, first.unknown) == (3, 1)
    assert job_folder.emulator.counters.credits_reserved == 120_000
    job_folder.emulator.script(Fault("poll", Rewrite({}, without=["usage"]), times=None))
    _, second = await job_folder.run(max_credits=120_000, limits=limits)
    assert second.completed == 4
    assert "does not say how many credits" in str(second.stopped)
