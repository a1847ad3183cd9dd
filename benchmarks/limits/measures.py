"""What is read off a run."""

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
    those = between(records, start, end)
    return sum(not record.served for record in those) / max(len(those), 1)


def lane_share(records: Sequence[Record], lane: Lane, start: float, end: float) -> float:
    served = [record.lane for record in between(records, start, end) if record.served]
    return served.count(lane) / max(len(served), 1)


def time_to_adapt(
    records: Sequence[Record], change: float, end: float, rate: float, *, span: float = 10.0
) -> float | None:
    """Seconds after a change until the first ``span`` that is nearly as good as it should be.

    Good is 0.9 of the rate with at most 5 % (or one) answered 429; None if that never comes.
    """
    start = change
    while start + span <= end:
        those = between(records, start, start + span)
        served = sum(record.served for record in those)
        # One request less than due is no shortfall where only a handful fits into the span.
        enough = served >= min(0.9 * rate * span, rate * span - 1.5)
        if enough and len(those) - served <= max(0.05 * len(those), 1):
            return start - change
        start += 0.5
    return None
