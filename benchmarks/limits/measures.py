"""Measures of a run."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from benchmarks.limits.simulation import Record
from foxapi_async.limits.rate_scheduler import Lane


def between(records: Sequence[Record], start: float, end: float) -> Sequence[Record]:
    first = bisect_left(records, start, key=lambda record: record.at)
    return records[first : bisect_left(records, end, key=lambda record: record.at)]


def served_per_second(records: Sequence[Record], start: float, end: float) -> float:
    return sum(record.served for record in between(records, start, end)) / (end - start)


def refused_share(records: Sequence[Record], start: float, end: float) -> float:
    selected = between(records, start, end)
    return sum(not record.served for record in selected) / max(len(selected), 1)


def lane_share(records: Sequence[Record], lane: Lane, start: float, end: float) -> float:
    served = [record.lane for record in between(records, start, end) if record.served]
    return served.count(lane) / max(len(served), 1)


def time_to_adapt(
    records: Sequence[Record], change: float, end: float, rate: float, *, span: float = 10.0
) -> float | None:
    """Return the seconds after a change until the first good ``span``; None if there is none.

    A span is good if at least 0.9 of the rate is served and at most 5 % (or one) are refused.
    """
    start = change
    while start + span <= end:
        selected = between(records, start, start + span)
        served = sum(record.served for record in selected)
        # At low rates few requests fit into the span, so one request less is accepted.
        enough = served >= min(0.9 * rate * span, rate * span - 1.5)
        if enough and len(selected) - served <= max(0.05 * len(selected), 1):
            return start - change
        start += 0.5
    return None
