"""Duration, estimate and status of a task, as pure functions of time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final, Literal, TypeAlias

from attrs import field, frozen

from foxapi_async.emulator.answers import JSON

Payload: TypeAlias = Mapping[str, JSON]


class Sentinel(Enum):
    """A default where None has another meaning."""

    ORDINARY = "ordinary"


ORDINARY: Final = Sentinel.ORDINARY
"""As without a script."""

PENDING_SHARE = 0.1
"""The share of its duration during which a task is `pending`; then it is `processing`."""


@frozen
class LogNormal:
    """Durations whose logarithm is normal: `median` seconds, `sigma` the spread of the logarithm."""

    median: float = 20.0
    sigma: float = 0.3

    def draw(self, rng: random.Random) -> float:
        """Return a random duration in seconds."""
        return self.median * math.exp(rng.gauss(0.0, self.sigma))


@frozen
class Times:
    """An estimate that is wrong by a factor: `Times(0.3)` announces 3 s for what takes 10 s."""

    factor: float


Duration: TypeAlias = (
    float | tuple[float, float] | LogNormal | Callable[[Payload, random.Random], float]
)
"""Seconds: fixed, uniform in (low, high), log-normal, or a function."""

Estimate: TypeAlias = float | str | Times | Callable[[Payload, float], JSON] | None
"""What is announced: "exact" is the truth, "missing" nothing at all; else seconds, the truth times a
factor, your own function of payload and true duration, or what is sent as it is (`"45"`, None)."""


@frozen
class Fate:
    """How one task differs from an ordinary one.

    Times are the client's seconds, except `duration`, which `speed` shortens like any other.

    Args:
        duration: Seconds until it ends; `math.inf` for never.
        estimate: The announced estimate, as `estimate` of `Emulator`.
        ends_as: The last status: "completed", "failed", "cancelled" or any other word.
        error: The `error` of a task that failed; any JSON, or None.
        outputs: The number of results, whatever was requested.
        items: The list of results itself, instead of links to pictures.
        shape: "results" (current), "output" (older) or "strings" (bare links in `results`).
        looks: The answers to the first polls, one each: a status, or fields that update the true
            answer. Later polls get the true answer.
        empty_looks: How many polls of the completed task return `results: null`.
        empty_for: Seconds after the end in which `results` is null.
        empty_when_synced: Polls with `sync_upstream=true` never return results.
        hidden_for: Seconds after the submission in which the task is not found (404).
        spelling: Applied to every status word, such as `str.upper`.
    """

    duration: float | Sentinel = ORDINARY
    estimate: Estimate | Sentinel = ORDINARY
    ends_as: str | None = None
    error: JSON | Sentinel = ORDINARY
    outputs: int | None = None
    items: Sequence[JSON] | None = None
    shape: Literal["results", "output", "strings"] | None = None
    looks: Sequence[str | Mapping[str, JSON]] = ()
    empty_looks: int = 0
    empty_for: float = 0.0
    empty_when_synced: bool = False
    hidden_for: float = 0.0
    spelling: Callable[[str], str] | None = None


ORDINARY_FATE: Final = Fate()


@frozen
class Standing:
    """Status and progress of a task at a point in time."""

    status: str
    progress: int = field(default=0)


def draw_duration(duration: Duration, payload: Payload, rng: random.Random) -> float:
    """Return the duration of a new task in seconds, at least 0."""
    if isinstance(duration, LogNormal):
        seconds = duration.draw(rng)
    elif callable(duration):
        seconds = duration(payload, rng)
    elif isinstance(duration, (int, float)):
        seconds = duration
    else:
        seconds = rng.uniform(*duration)
    return max(0.0, float(seconds))


def announce(
    estimate: Estimate, payload: Payload, duration: float, speed: float
) -> JSON | Sentinel:
    """Return the `estimated_time` of a task that takes `duration` seconds at normal speed.

    Numbers are divided by `speed`; `ORDINARY` means that there is no estimate.
    """
    said: JSON
    if estimate == "missing":
        return ORDINARY
    if estimate == "exact":
        said = duration if math.isfinite(duration) else None
    elif isinstance(estimate, Times):
        said = duration * estimate.factor if math.isfinite(duration) else None
    elif callable(estimate):
        said = estimate(payload, duration)
    else:
        said = estimate
    if isinstance(said, (int, float)) and not isinstance(said, bool):
        return round(said / speed, 3)
    return said


def standing(created: float, finish: float, now: float, ends_as: str) -> Standing:
    """Return status and progress of a task that ends at `finish`."""
    if now >= finish:
        return Standing(ends_as, 100 if ends_as == "completed" else 0)
    share = (now - created) / (finish - created)
    if share < PENDING_SHARE:
        return Standing("pending", 0)
    return Standing("processing", max(1, min(99, int(100 * share))))
