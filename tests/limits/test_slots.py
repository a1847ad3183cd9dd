"""Slots for images in flight: first come, first served, never exceeded, never leaked."""

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
    """Run all ready tasks: an admission takes a few iterations of the event loop."""
    for _ in range(6):
        await asyncio.sleep(0)


class SlotTask:
    """A task that takes slots and can be cancelled from outside."""

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


async def states(*tasks: SlotTask) -> list[str]:
    await settle()
    return [each.state for each in tasks]


async def test_a_request_that_fits_is_admitted_at_once():
    budget = OutputSlots(4)
    await budget.take(3)
    await budget.take(1)
    assert (budget.in_flight, budget.spent, len(budget._queue)) == (4, 4, 0)


async def test_a_request_that_does_not_fit_waits_for_free_slots():
    budget = OutputSlots(4)
    await budget.take(2)
    await budget.take(2)
    waiter = SlotTask(budget, 3)
    assert await states(waiter) == ["waiting"]
    assert len(budget._queue) == 1
    budget.free(2)
    assert await states(waiter) == ["waiting"]
    budget.free(2)
    assert await states(waiter) == ["admitted"]
    assert (budget.in_flight, budget.spent, len(budget._queue)) == (3, 7, 0)


async def test_a_large_task_is_not_starved_by_small_ones():
    budget = OutputSlots(10)
    for _ in range(10):
        await budget.take(1)
    large = SlotTask(budget, 10)
    await settle()
    small = [SlotTask(budget, 1) for _ in range(20)]
    for held in range(10):
        assert await states(large) == ["waiting"], held
        assert set(await states(*small)) == {"waiting"}
        budget.free(1)
    assert await states(large) == ["admitted"]
    assert set(await states(*small)) == {"waiting"}
    budget.free(10)
    assert await states(*small) == ["admitted"] * 10 + ["waiting"] * 10
    for each in small[10:]:
        each.task.cancel()
    await settle()


async def test_a_small_request_does_not_overtake_a_large_one():
    budget = OutputSlots(4)
    await budget.take(2)
    large = SlotTask(budget, 3)
    await settle()
    small = SlotTask(budget, 1)
    assert await states(large, small) == ["waiting", "waiting"]
    budget.free(2)
    assert await states(large, small) == ["admitted", "admitted"]


async def test_cancelling_the_first_waiter_admits_the_next_ones():
    budget = OutputSlots(4)
    await budget.take(2)
    large = SlotTask(budget, 3)
    await settle()
    others = [SlotTask(budget, 1), SlotTask(budget, 1), SlotTask(budget, 1)]
    assert await states(*others) == ["waiting"] * 3
    large.task.cancel()
    assert await states(large, *others) == ["cancelled", "admitted", "admitted", "waiting"]
    assert budget.in_flight == 4
    budget.free(1)
    assert await states(*others) == ["admitted"] * 3


async def test_cancelling_a_waiter_in_the_middle_does_not_affect_the_others():
    budget = OutputSlots(1)
    await budget.take(1)
    tasks = [SlotTask(budget, 1) for _ in range(3)]
    await settle()
    tasks[1].task.cancel()
    assert await states(*tasks) == ["waiting", "cancelled", "waiting"]
    budget.free(1)
    assert await states(*tasks) == ["admitted", "cancelled", "waiting"]
    budget.free(1)
    assert await states(*tasks) == ["admitted", "cancelled", "admitted"]


async def test_a_waiter_cancelled_right_after_admission_returns_its_slots():
    budget = OutputSlots(2)
    await budget.take(2)
    first = SlotTask(budget, 2)
    second = SlotTask(budget, 1)
    await settle()
    budget.free(2)
    # Both slots are reserved for the first waiter, which has not resumed yet.
    assert (budget.in_flight, budget.spent) == (2, 4)
    first.task.cancel()
    assert await states(first, second) == ["cancelled", "admitted"]
    assert (budget.in_flight, budget.spent) == (1, 3)


async def test_a_cancel_scope_removes_the_waiter_from_the_queue():
    budget = OutputSlots(2)
    await budget.take(2)
    with anyio.move_on_after(5) as scope:
        await budget.take(1)
    assert scope.cancelled_caught
    assert (budget.in_flight, budget.spent, len(budget._queue)) == (2, 2, 0)


@pytest.mark.parametrize("outputs", [5, 100])
async def test_a_request_above_the_limit_is_refused_with_advice_to_split(outputs):
    budget = OutputSlots(4, total=3)
    with pytest.raises(InvalidRequestError) as refused:
        await budget.take(outputs)
    assert (refused.value.field, refused.value.value) == ("num_outputs", outputs)
    for words in (f"num_outputs is {outputs}", "Limits(outputs=4)", "request.split(4)", "fan_out"):
        assert words in str(refused.value)
    assert (budget.in_flight, budget.spent, len(budget._queue)) == (0, 0, 0)


async def test_a_request_equal_to_the_limit_is_admitted():
    budget = OutputSlots(4)
    await budget.take(4)
    assert budget.in_flight == 4


async def test_a_request_beyond_the_total_is_refused():
    budget = OutputSlots(10, total=5)
    await budget.take(4)
    with pytest.raises(BudgetExceededError) as refused:
        await budget.take(2)
    error = refused.value
    assert (error.total, error.used, error.requested) == (5, 4, 2)
    assert str(error) == (
        "2 more images would exceed the limit of 5 (total_outputs, --max-images): "
        "4 are billed or in flight"
    )
    await budget.take(1)
    assert (budget.in_flight, budget.spent) == (5, 5)


async def test_a_request_beyond_the_total_is_refused_at_once_without_free_slots():
    budget = OutputSlots(4, total=5)
    await budget.take(4)
    with pytest.raises(BudgetExceededError):
        await budget.take(2)
    assert len(budget._queue) == 0


async def test_waiters_are_refused_once_the_total_is_used_up():
    budget = OutputSlots(2, total=3)
    await budget.take(2)
    tasks = [SlotTask(budget, 1), SlotTask(budget, 1), SlotTask(budget, 1)]
    assert await states(*tasks) == ["waiting"] * 3
    budget.free(2)
    assert await states(*tasks) == ["admitted", "refused", "refused"]
    assert (budget.in_flight, budget.spent) == (1, 3)
    with pytest.raises(BudgetExceededError):
        await tasks[1].task
    tasks[2].task.exception()


async def test_a_refund_restores_the_budget_and_a_free_slot_does_not():
    budget = OutputSlots(10, total=4)
    await budget.take(4)
    budget.free(2)
    with pytest.raises(BudgetExceededError):
        await budget.take(1)
    budget.refund(2)
    assert (budget.in_flight, budget.spent) == (0, 2)
    await budget.take(2)
    assert (budget.in_flight, budget.spent) == (2, 4)


async def test_a_refund_admits_the_next_request():
    budget = OutputSlots(2, total=2)
    await budget.take(2)
    assert len(budget._queue) == 0
    budget.refund(2)
    await budget.take(2)
    assert (budget.in_flight, budget.spent) == (2, 2)


async def test_a_waiter_that_is_refused_and_cancelled_releases_everything():
    budget = OutputSlots(2, total=3)
    await budget.take(2)
    first, second = SlotTask(budget, 1), SlotTask(budget, 1)
    await settle()
    budget.free(2)
    second.task.cancel()
    assert await states(first, second) == ["admitted", "cancelled"]
    assert (budget.in_flight, budget.spent, len(budget._queue)) == (1, 3, 0)


def steps_of(budget: OutputSlots, tasks: list[SlotTask]) -> dict[str, Callable[[], object]]:
    """Return the possible steps with all slots taken and three waiters in the queue."""
    return {
        "free": lambda: budget.free(1),
        "free again": lambda: budget.free(1),
        "cancel first": tasks[0].task.cancel,
        "cancel second": tasks[1].task.cancel,
        "cancel third": tasks[2].task.cancel,
    }


@pytest.mark.parametrize("pause", [0, 1, 2, 6], ids="{} loop iterations between".format)
async def test_no_slot_is_leaked_in_any_order_of_freeing_and_cancelling(pause):
    names = list(steps_of(OutputSlots(1), [SlotTask(OutputSlots(1), 1) for _ in range(3)]))
    for order in itertools.permutations(names):
        budget = OutputSlots(2)
        await budget.take(1)
        await budget.take(1)
        tasks = [SlotTask(budget, outputs) for outputs in (2, 1, 2)]
        await settle()
        steps = steps_of(budget, tasks)
        for name in order:
            steps[name]()
            assert budget.in_flight <= 2, order
            for _ in range(pause):
                await asyncio.sleep(0)
        await settle()
        held = sum(each.outputs for each in tasks if each.state == "admitted")
        assert budget.in_flight == held, order
        assert budget.spent == 2 + held, order
        assert len(budget._queue) == sum(each.state == "waiting" for each in tasks) == 0, order


class Model:
    """The admission rules, without any waiting."""

    def __init__(self, places: int, total: int | None) -> None:
        self.places, self.total = places, total
        self.in_flight = self.spent = 0
        self.queue: list[SlotTask] = []
        self.admitted: list[SlotTask] = []
        self.expected: dict[SlotTask, str] = {}

    def arrive(self, each: SlotTask) -> None:
        self.expected[each] = "waiting"
        self.queue.append(each)
        self.admit()

    def cancel(self, number: int) -> None:
        each = self.queue.pop(number)
        self.expected[each] = "cancelled"
        each.task.cancel()
        self.admit()

    def leave(self, number: int, *, billed: bool) -> SlotTask:
        each = self.admitted.pop(number)
        self.in_flight -= each.outputs
        self.spent -= 0 if billed else each.outputs
        self.admit()
        return each

    def admit(self) -> None:
        while self.queue:
            each = self.queue[0]
            if self.total is not None and self.spent + each.outputs > self.total:
                self.expected[each] = "refused"
            elif self.in_flight + each.outputs <= self.places:
                self.in_flight += each.outputs
                self.spent += each.outputs
                self.admitted.append(each)
                self.expected[each] = "admitted"
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
def test_slots_behave_like_the_model(places, total, steps):
    async def scenario() -> None:
        budget, model = OutputSlots(places, total), Model(places, total)
        for step, number in steps:
            if step == "arrive":
                model.arrive(SlotTask(budget, 1 + number % places))
            elif step == "cancel" and model.queue:
                model.cancel(number % len(model.queue))
            elif step == "free" and model.admitted:
                budget.free(model.leave(number % len(model.admitted), billed=True).outputs)
            elif step == "refund" and model.admitted:
                budget.refund(model.leave(number % len(model.admitted), billed=False).outputs)
            assert budget.in_flight <= places
            await settle()
            assert (budget.in_flight, budget.spent) == (model.in_flight, model.spent)
            assert len(budget._queue) == len(model.queue)
            assert total is None or budget.spent <= total
            assert {each: each.state for each in model.expected} == model.expected
        while model.queue:
            model.cancel(0)
        await settle()
        assert len(budget._queue) == 0

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())


async def test_the_limit_holds_with_hundreds_of_concurrent_tasks():
    budget = OutputSlots(16)
    rng = random.Random(7)
    highest = finished = 0

    async def take_and_free(outputs: int, timeout: float, hold: float) -> None:
        nonlocal highest, finished
        with anyio.move_on_after(timeout):
            await budget.take(outputs)
            highest = max(highest, budget.in_flight)
            try:
                await anyio.sleep(hold)
                finished += 1
            finally:
                budget.free(outputs)

    async with anyio.create_task_group() as tasks:
        for _ in range(500):
            tasks.start_soon(
                take_and_free, rng.randint(1, 16), rng.uniform(1, 400), rng.uniform(0, 5)
            )
            await anyio.sleep(rng.uniform(0, 0.5))
    assert highest == 16
    assert 0 < finished < 500
    assert (budget.in_flight, len(budget._queue)) == (0, 0)
