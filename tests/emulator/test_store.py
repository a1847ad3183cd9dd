"""The books are right at every moment."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.emulator.store import Ledger, Record
from foxapi_async.emulator.task_lifecycle import Fate

_LIVES = st.lists(
    st.tuples(st.floats(0, 5), st.floats(0, 20) | st.just(math.inf), st.integers(1, 4)),
    max_size=60,
)


def _record(ledger: Ledger, created: float, duration: float, outputs: int) -> Record:
    return Record(
        id=ledger.new_id(1),
        kind="image",
        payload={},
        outputs=outputs,
        credits=10 * outputs,
        created=created,
        created_unix=1,
        finish=created + duration,
        ends_as="completed",
        estimate=None,
        fate=Fate(),
    )


@given(_LIVES)
def test_images_in_flight_are_exact_at_every_submission(lives):
    ledger, now, entered, greatest = Ledger(random.Random(1)), 0.0, [], 0
    for pause, duration, outputs in lives:
        now += pause
        record = _record(ledger, now, duration, outputs)
        ledger.enter(record)
        entered.append(record)
        in_flight = sum(each.outputs for each in entered if each.finish > now)
        greatest = max(greatest, in_flight)
        assert ledger.in_flight(now) == in_flight
        ends = [each.finish for each in entered if each.finish > now]
        assert ledger.next_end(now) == min(ends, default=math.inf)
    counters = ledger.counters(now)
    assert counters.max_images_in_flight == greatest
    assert counters.images_billed == sum(outputs for _, _, outputs in lives)
    assert counters.credits_reserved == 10 * counters.images_billed
    assert counters.tasks == len(lives)


def test_ids_are_not_repeated_and_depend_on_the_seed_alone():
    one, other = Ledger(random.Random(1)), Ledger(random.Random(1))
    assert [one.new_id(1) for _ in range(3)] == [other.new_id(1) for _ in range(3)]
    taken = _record(Ledger(random.Random(1)), 0.0, 1.0, 1)
    assert Ledger(random.Random(1), tasks={taken.id: taken}).new_id(1) != taken.id
