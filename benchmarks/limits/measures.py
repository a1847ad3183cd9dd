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


def submissions(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.lane is Lane.SUBMIT]


def time_to_adapt(
    records: Sequence[Record],
    change: float,
    end: float,
    rate: float,
    *,
    served: float = 0.85,
    refused: float = 0.05,
    span: float = 10.0,
) -> float | None:
    """Return the seconds after a change until the first good ``span``; None if there is none.

    A span is good if at least this fraction of the rate is served, and at most this fraction refused.
    At low rates one request decides, so two requests less, or one that is refused, are accepted.
    """
    start = change
    while start + span <= end:
        selected = between(records, start, start + span)
        count = sum(record.served for record in selected)
        enough = count >= min(served * rate * span, rate * span - 2.5)
        if enough and len(selected) - count <= max(refused * len(selected), 1):
            return start - change
        start += 0.5
    return None
