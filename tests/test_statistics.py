"""The counters of a session and their snapshot."""

from __future__ import annotations

import attrs
import pytest

from foxapi_async import Statistics
from foxapi_async.statistics import Counters

OUTSIDE = {
    "in_flight": 3,
    "images_in_flight": 5,
    "requests_per_second": 2.5,
    "downloads": 4,
    "bytes_downloaded": 1024,
}
"""What is not counted by `Counters`."""

COUNTERS = [field.name for field in attrs.fields(Statistics) if field.name not in OUTSIDE]


def test_a_new_counters_counts_from_zero():
    snapshot = Counters().snapshot(**OUTSIDE)
    assert {getattr(snapshot, name) for name in COUNTERS} == {0}


def test_no_rate_was_found_while_no_limit_was_met():
    snapshot = Counters().snapshot(**{**OUTSIDE, "requests_per_second": None})
    assert snapshot.requests_per_second is None


@pytest.mark.parametrize("name", COUNTERS)
def test_every_counter_is_shown_under_its_own_name(name):
    counters = Counters()
    setattr(counters, name, 7)
    snapshot = counters.snapshot(**OUTSIDE)
    assert {other for other in COUNTERS if getattr(snapshot, other)} == {name}
    assert {other: getattr(snapshot, other) for other in OUTSIDE} == OUTSIDE


def test_progress_is_not_shown():
    assert set(Counters.__slots__) - set(COUNTERS) == {"progress"}


def test_a_snapshot_does_not_change_when_counting_goes_on():
    counters = Counters()
    counters.polls += 1
    before = counters.snapshot(**OUTSIDE)
    counters.polls += 1
    assert before.polls == 1
    assert before != counters.snapshot(**OUTSIDE)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        before.polls = 2


def test_a_counter_that_does_not_exist_cannot_be_counted():
    with pytest.raises(AttributeError):
        Counters().poles = 1  # type: ignore[attr-defined]
