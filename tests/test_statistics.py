"""The counters of a session and their snapshot."""

from __future__ import annotations

from datetime import UTC, datetime

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
    "paused_since": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
}
"""Fields of a snapshot that `Counters` does not count."""

COUNTERS = [field.name for field in attrs.fields(Statistics) if field.name not in OUTSIDE]


def test_new_counters_are_zero():
    snapshot = Counters().snapshot(**OUTSIDE)
    assert {getattr(snapshot, name) for name in COUNTERS} == {0}


def test_the_rate_is_none_without_a_limit():
    snapshot = Counters().snapshot(**{**OUTSIDE, "requests_per_second": None})
    assert snapshot.requests_per_second is None


@pytest.mark.parametrize("name", COUNTERS)
def test_a_snapshot_shows_every_counter_under_its_own_name(name):
    counters = Counters()
    setattr(counters, name, 7)
    snapshot = counters.snapshot(**OUTSIDE)
    assert {other for other in COUNTERS if getattr(snapshot, other)} == {name}
    assert {other: getattr(snapshot, other) for other in OUTSIDE} == OUTSIDE


def test_a_snapshot_does_not_show_progress():
    assert set(Counters.__slots__) - set(COUNTERS) == {"progress"}


def test_a_snapshot_is_immutable():
    counters = Counters()
    counters.polls += 1
    before = counters.snapshot(**OUTSIDE)
    counters.polls += 1
    assert before.polls == 1
    assert before != counters.snapshot(**OUTSIDE)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        before.polls = 2


def test_an_unknown_counter_cannot_be_set():
    with pytest.raises(AttributeError):
        Counters().pols = 1  # type: ignore[attr-defined]
