"""Ten thousand random steps: nothing is billed twice or lost, no slot is exceeded, nothing leaks."""

from __future__ import annotations

from typing import Any

import pytest

from foxapi_async.http.retry_rules import SUBMISSION_DECISIONS, ResponseClass, RetryDecision
from foxapi_async.journal import Claim
from foxapi_async.limits.slots import OutputSlots
from foxapi_async.registry import TaskRegistry
from tests.proof.simulation import OUTPUTS, run

pytestmark = [pytest.mark.once, pytest.mark.much]


@pytest.mark.parametrize("seed", range(1, 21))
def test_the_invariants_hold_after_every_step(seed: int):
    world = run(seed, 500)
    assert world.emulator.counters.tasks > 50


def repeat_after_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SUBMISSION_DECISIONS, ResponseClass.CUT_OFF, RetryDecision.REPEAT)  # type: ignore[arg-type]


def grant_more_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    init = OutputSlots.__init__

    def generous(self: OutputSlots, places: int, total: int | None = None) -> None:
        init(self, places + OUTPUTS, total)

    monkeypatch.setattr(OutputSlots, "__init__", generous)


def forget_intents(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: Claim) -> None:
        pass

    monkeypatch.setattr(Claim, "sending", nothing)


def forget_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Claim, *_: Any) -> None:
        self._finish()

    monkeypatch.setattr(Claim, "accepted", nothing)


def lose_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    resume = TaskRegistry.update

    def update(self: TaskRegistry, tracked: Any, task: Any) -> None:
        resume(self, tracked, task)
        if task.progress and task.progress > 40:
            self.tasks.pop(task.id, None)

    monkeypatch.setattr(TaskRegistry, "update", update)


def run_until_it_fails() -> None:
    for seed in range(1, 6):
        run(seed, 300)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (repeat_after_a_cut, "billed twice"),
        (grant_more_slots, "images are in flight"),
        (forget_intents, "not in the journal|billed twice"),
        (forget_ids, "not in the journal|billed twice"),
        (lose_a_task, "not listed"),
    ],
)
def test_the_simulation_notices_a_broken_rule(
    break_it: Any, said: str, monkeypatch: pytest.MonkeyPatch
):
    break_it(monkeypatch)
    with pytest.raises(AssertionError, match=said) as caught:
        run_until_it_fails()
    assert "replay it" in caught.value.__notes__[0]
