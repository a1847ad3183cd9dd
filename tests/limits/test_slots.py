"""Places for images in flight: first come, first served, never exceeded, never leaked."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import BudgetExceededError, InvalidRequestError
from foxapi_async.limits.slots import OutputSlots
from tests.virtual_time import VirtualTimeLoop


async def settle() -> None:
    """Let everything that can run, run: an admission takes a few turns of the loop."""
    for _ in range(6):
        await asyncio.sleep(0)


class Guest:
    """Somebody who takes places, as a task that can be cancelled from outside."""

    def __init__(self, budget: OutputSlots, outputs: int) -> None:
        self.outputs = outputs
        self.task = asyncio.create_task(budget.take(outputs))

    @property
    def state(self) -> str:
        if not self.task.done():
            return "waiting"
        if self.task.cancelled():
            return "cancelled"
        return "admitted" if self.task.exception() is None else "refused"


async def states(*guests: Guest) -> list[str]:
    await settle()
    return [guest.state for guest in guests]


async def test_who_fits_is_admitted_without_waiting():
    budget = OutputSlots(4)
    await budget.take(3)
    await budget.take(1)
    assert (budget.in_flight, budget.spent, budget.waiting) == (4, 4, 0)


async def test_who_does_not_fit_waits_until_enough_places_are_free():
    budget = OutputSlots(4)
    await budget.take(2)
    await budget.take(2)
    guest = Guest(budget, 3)
    assert await states(guest) == ["waiting"]
    assert budget.waiting == 1
    budget.free(2)
    assert await states(guest) == ["waiting"]
    budget.free(2)
    assert await states(guest) == ["admitted"]
    assert (budget.in_flight, budget.spent, budget.waiting) == (3, 7, 0)


async def test_a_large_task_is_not_starved_by_small_ones():
    budget = OutputSlots(10)
    for _ in range(10):
        await budget.take(1)
    large = Guest(budget, 10)
    await settle()
    small = [Guest(budget, 1) for _ in range(20)]
    for held in range(10):
        assert await states(large) == ["waiting"], held
        assert set(await states(*small)) == {"waiting"}
        budget.free(1)
    assert await states(large) == ["admitted"]
    assert set(await states(*small)) == {"waiting"}
    budget.free(10)
    assert await states(*small) == ["admitted"] * 10 + ["waiting"] * 10
    for guest in small[10:]:
        guest.task.cancel()
    await settle()


async def test_nobody_overtakes_even_if_there_is_room():
    budget = OutputSlots(4)
    await budget.take(2)
    large = Guest(budget, 3)
    await settle()
    small = Guest(budget, 1)
    assert await states(large, small) == ["waiting", "waiting"]
    budget.free(2)
    assert await states(large, small) == ["admitted", "admitted"]


async def test_who_leaves_the_head_of_the_queue_lets_the_next_ones_in():
    budget = OutputSlots(4)
    await budget.take(2)
    large = Guest(budget, 3)
    await settle()
    others = [Guest(budget, 1), Guest(budget, 1), Guest(budget, 1)]
    assert await states(*others) == ["waiting"] * 3
    large.task.cancel()
    assert await states(large, *others) == ["cancelled", "admitted", "admitted", "waiting"]
    assert budget.in_flight == 4
    budget.free(1)
    assert await states(*others) == ["admitted"] * 3


async def test_who_leaves_the_middle_of_the_queue_changes_nothing_for_the_others():
    budget = OutputSlots(1)
    await budget.take(1)
    guests = [Guest(budget, 1) for _ in range(3)]
    await settle()
    guests[1].task.cancel()
    assert await states(*guests) == ["waiting", "cancelled", "waiting"]
    budget.free(1)
    assert await states(*guests) == ["admitted", "cancelled", "waiting"]
    budget.free(1)
    assert await states(*guests) == ["admitted", "cancelled", "admitted"]


async def test_who_is_cancelled_right_after_admission_gives_the_places_back():
    budget = OutputSlots(2)
    await budget.take(2)
    first = Guest(budget, 2)
    second = Guest(budget, 1)
    await settle()
    budget.free(2)
    assert (budget.in_flight, budget.spent) == (2, 4)  # held for the first, which does not know yet
    first.task.cancel()
    assert await states(first, second) == ["cancelled", "admitted"]
    assert (budget.in_flight, budget.spent) == (1, 3)


async def test_a_cancel_scope_is_as_good_as_a_cancelled_task():
    budget = OutputSlots(2)
    await budget.take(2)
    with anyio.move_on_after(5) as scope:
        await budget.take(1)
    assert scope.cancelled_caught
    assert (budget.in_flight, budget.spent, budget.waiting) == (2, 2, 0)


@pytest.mark.parametrize("outputs", [5, 100])
async def test_who_is_heavier_than_the_limit_is_told_to_split(outputs):
    budget = OutputSlots(4, total=3)
    with pytest.raises(InvalidRequestError) as refused:
        await budget.take(outputs)
    assert (refused.value.field, refused.value.value) == ("num_outputs", outputs)
    for words in (f"num_outputs is {outputs}", "Limits(outputs=4)", "request.split(4)", "fan_out"):
        assert words in str(refused.value)
    assert (budget.in_flight, budget.spent, budget.waiting) == (0, 0, 0)


async def test_as_heavy_as_the_limit_is_not_heavier():
    budget = OutputSlots(4)
    await budget.take(4)
    assert budget.in_flight == 4


async def test_nothing_beyond_the_total_is_admitted():
    budget = OutputSlots(10, total=5)
    await budget.take(4)
    with pytest.raises(BudgetExceededError) as refused:
        await budget.take(2)
    error = refused.value
    assert (error.total, error.used, error.requested) == (5, 4, 2)
    assert str(error) == (
        "2 more images would exceed Limits(total_outputs=5): 4 are billed or in flight"
    )
    await budget.take(1)
    assert (budget.in_flight, budget.spent) == (5, 5)


async def test_what_is_beyond_the_total_is_refused_at_once_even_if_no_place_is_free():
    budget = OutputSlots(4, total=5)
    await budget.take(4)
    with pytest.raises(BudgetExceededError):
        await budget.take(2)
    assert budget.waiting == 0


async def test_who_waits_for_places_is_refused_once_the_total_is_used_up():
    budget = OutputSlots(2, total=3)
    await budget.take(2)
    guests = [Guest(budget, 1), Guest(budget, 1), Guest(budget, 1)]
    assert await states(*guests) == ["waiting"] * 3
    budget.free(2)
    assert await states(*guests) == ["admitted", "refused", "refused"]
    assert (budget.in_flight, budget.spent) == (1, 3)
    with pytest.raises(BudgetExceededError):
        await guests[1].task
    guests[2].task.exception()


async def test_a_refund_can_be_spent_again_and_a_free_place_cannot():
    budget = OutputSlots(10, total=4)
    await budget.take(4)
    budget.free(2)
    with pytest.raises(BudgetExceededError):
        await budget.take(1)
    budget.refund(2)
    assert (budget.in_flight, budget.spent) == (0, 2)
    await budget.take(2)
    assert (budget.in_flight, budget.spent) == (2, 4)


async def test_a_refund_admits_who_waits():
    budget = OutputSlots(2, total=2)
    await budget.take(2)
    assert budget.waiting == 0
    budget.refund(2)
    await budget.take(2)
    assert (budget.in_flight, budget.spent) == (2, 2)


async def test_who_is_refused_and_cancelled_at_once_leaves_nothing_behind():
    budget = OutputSlots(2, total=3)
    await budget.take(2)
    first, second = Guest(budget, 1), Guest(budget, 1)
    await settle()
    budget.free(2)
    second.task.cancel()
    assert await states(first, second) == ["admitted", "cancelled"]
    assert (budget.in_flight, budget.spent, budget.waiting) == (1, 3, 0)


def steps_of(budget: OutputSlots, guests: list[Guest]) -> dict[str, Callable[[], object]]:
    """What can happen to a full house with three in the queue, each step without a pause."""
    return {
        "free": lambda: budget.free(1),
        "free again": lambda: budget.free(1),
        "cancel first": guests[0].task.cancel,
        "cancel second": guests[1].task.cancel,
        "cancel third": guests[2].task.cancel,
    }


@pytest.mark.parametrize("pause", [0, 1, 2, 6], ids="{} turns between".format)
async def test_in_every_order_of_freeing_and_cancelling_nothing_is_leaked(pause):
    names = list(steps_of(OutputSlots(1), [Guest(OutputSlots(1), 1) for _ in range(3)]))
    for order in itertools.permutations(names):
        budget = OutputSlots(2)
        await budget.take(1)
        await budget.take(1)
        guests = [Guest(budget, outputs) for outputs in (2, 1, 2)]
        await settle()
        steps = steps_of(budget, guests)
        for name in order:
            steps[name]()
            assert budget.in_flight <= 2, order
            for _ in range(pause):
                await asyncio.sleep(0)
        await settle()
        held = sum(guest.outputs for guest in guests if guest.state == "admitted")
        assert budget.in_flight == held, order
        assert budget.spent == 2 + held, order
        assert budget.waiting == sum(guest.state == "waiting" for guest in guests) == 0, order


class Rules:
    """The rules, written down once more without any waiting."""

    def __init__(self, places: int, total: int | None) -> None:
        self.places, self.total = places, total
        self.in_flight = self.spent = 0
        self.queue: list[Guest] = []
        self.inside: list[Guest] = []
        self.expected: dict[Guest, str] = {}

    def arrive(self, guest: Guest) -> None:
        self.expected[guest] = "waiting"
        self.queue.append(guest)
        self.let_in()

    def cancel(self, number: int) -> None:
        guest = self.queue.pop(number)
        self.expected[guest] = "cancelled"
        guest.task.cancel()
        self.let_in()

    def leave(self, number: int, *, billed: bool) -> Guest:
        guest = self.inside.pop(number)
        self.in_flight -= guest.outputs
        self.spent -= 0 if billed else guest.outputs
        self.let_in()
        return guest

    def let_in(self) -> None:
        while self.queue:
            guest = self.queue[0]
            if self.total is not None and self.spent + guest.outputs > self.total:
                self.expected[guest] = "refused"
            elif self.in_flight + guest.outputs <= self.places:
                self.in_flight += guest.outputs
                self.spent += guest.outputs
                self.inside.append(guest)
                self.expected[guest] = "admitted"
            else:
                return
            del self.queue[0]


@given(
    st.integers(1, 6),
    st.none() | st.integers(1, 30),
    st.lists(
        st.tuples(st.sampled_from(["arrive", "free", "refund", "cancel"]), st.integers(0, 2**16)),
        max_size=40,
    ),
)
def test_whatever_happens_the_budget_does_what_the_rules_say(places, total, steps):
    async def scenario() -> None:
        budget, rules = OutputSlots(places, total), Rules(places, total)
        for step, dice in steps:
            if step == "arrive":
                rules.arrive(Guest(budget, 1 + dice % places))
            elif step == "cancel" and rules.queue:
                rules.cancel(dice % len(rules.queue))
            elif step == "free" and rules.inside:
                budget.free(rules.leave(dice % len(rules.inside), billed=True).outputs)
            elif step == "refund" and rules.inside:
                budget.refund(rules.leave(dice % len(rules.inside), billed=False).outputs)
            assert budget.in_flight <= places
            await settle()
            assert (budget.in_flight, budget.spent) == (rules.in_flight, rules.spent)
            assert budget.waiting == len(rules.queue)
            assert total is None or budget.spent <= total
            assert {guest: guest.state for guest in rules.expected} == rules.expected
        while rules.queue:
            rules.cancel(0)
        await settle()
        assert budget.waiting == 0

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())


async def test_with_hundreds_of_guests_that_come_stay_and_go_the_limit_always_holds():
    budget = OutputSlots(16)
    dice = random.Random(7)
    highest = done = 0

    async def guest(outputs: int, patience: float, stay: float) -> None:
        nonlocal highest, done
        with anyio.move_on_after(patience):
            await budget.take(outputs)
            highest = max(highest, budget.in_flight)
            try:
                await anyio.sleep(stay)
                done += 1
            finally:
                budget.free(outputs)

    async with anyio.create_task_group() as guests:
        for _ in range(500):
            guests.start_soon(guest, dice.randint(1, 16), dice.uniform(1, 400), dice.uniform(0, 5))
            await anyio.sleep(dice.uniform(0, 0.5))
    assert highest == 16
    assert 0 < done < 500
    assert (budget.in_flight, budget.waiting) == (0, 0)
