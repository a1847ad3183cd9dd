"""Whether a series of measurements grows. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

_MOST_POINTS = 120


class Sample(NamedTuple):
    """What a process uses at a moment (seconds)."""

    at: float
    memory: float  # MiB, resident
    descriptors: int
    tasks: int
    lag: float  # milliseconds, the longest since the sample before


def growth(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much a series of (moment, value) grows from its first moment to its last.

    The slope is the median of the slopes of all pairs (Theil and Sen), so that up to a quarter of the
    values may be far off.
    """
    if len(points) > _MOST_POINTS:
        step = len(points) / _MOST_POINTS
        points = [points[int(number * step)] for number in range(_MOST_POINTS)]
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in combinations(points, 2)
        if later[0] > earlier[0]
    ]
    return statistics.median(slopes) * (points[-1][0] - points[0][0]) if slopes else 0.0


def complaints(samples: Sequence[Sample]) -> list[str]:
    """Return what grows, in words; the first third of the samples is the warm-up."""
    watched = samples[len(samples) // 3 :]
    found: list[str] = []
    for name, unit, least, share in (
        ("memory", "MiB", 4.0, 0.05),
        ("descriptors", "", 15.0, 0.3),
        ("tasks", "", 15.0, 0.3),
        ("lag", "ms", 30.0, 0.5),
    ):
        values = [float(getattr(sample, name)) for sample in watched]
        usual = statistics.median(values)
        by = growth([(sample.at, value) for sample, value in zip(watched, values, strict=True)])
        if by > max(least, share * usual):
            found.append(
                f"{name} grew by {by:.1f} {unit}".strip() + f" (the median is {usual:.1f})"
            )
    return found
