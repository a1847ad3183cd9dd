"""What earlier tasks of one group tell about the next one, with or without an estimate of the server."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from foxapi_async._typeguards import is_array, is_object, is_tuple
from foxapi_async.polling.durations import (
    BINS,
    LAST,
    ORIGIN,
    SHORTEST,
    STEP,
    Interval,
    estimated,
    mixture,
    survival_of,
)

# Seconds; an estimate beyond them is taken for a missing one.
SHORTEST_ESTIMATE, LONGEST_ESTIMATE = 0.1, 86_400.0
RATIO_ONE = BINS // 2  # the position of elapsed / estimate = 1
HALF = math.log(2.0) / STEP  # bins between a duration and its half

MEMORY = 256  # observations kept: enough for a loss of 1 % at the usual spread
FADE = 0.998  # weight of an observation against the next one
WEIGHTS = [FADE**i for i in range(MEMORY)]
MOST_NEWS = 64  # ends after which the distributions are fitted again at the latest
RUNNING_NEWS = 2.0  # before the first end: the growth, from fit to fit, of the number of polls that found a task running
# Log odds that the estimate is informative.
PRIOR_LOG_ODDS = 1.0  # before any observation: 3 to 1
LOG_ODDS_FADE = 0.97  # observations are forgotten over some thirty tasks
LOG_ODDS_STEP = 4.0  # no single task changes them by more
MOST_LOG_ODDS = 50.0
# Log likelihood ratio of the history against two alternatives: the prior, and the history with all durations halved.
CHANGE_FADE = 0.9
MOST_CONFIRMED = 5.0  # good predictions make up for no more than this
CHANGED = -7.0  # an alternative is e^7 times more likely: the durations have changed
KEPT = 10  # observations that survive such a change
SMOOTHING = 1e-5  # added to likelihoods before their ratio is taken

# (share, sigma) of elapsed / estimate and of seconds, before any observation
RATIO_PRIOR = ((0.8, 0.5), (0.2, 1.5))
SECONDS_PRIOR = ((1.0, 1.4),)
USUAL = 25.0  # seconds: the median of the prior for tasks without estimate and history
OTHERS_SHARE = 0.5  # weight of other groups in the prior of a new one

VERSION = 1

Observed = tuple[float, float, float | None, float, float]
"""Positions in seconds (from, to), the shift of the estimate, and the positions relative to the estimate."""

End = tuple[float | None, float, float]
"""An estimate (or None), the last age seen running and the first age seen ended, in seconds."""


class Distribution:
    """A distribution of durations over bins, estimated from a prior and observations.

    `mass[i]` is the probability of bin i, `survival[i]` that of a longer duration than the lower edge of bin i.
    """

    __slots__ = ("mass", "prior", "prior_survival", "survival")

    def __init__(self, prior: list[float]) -> None:
        self.prior: list[float] = prior
        self.prior_survival: list[float] = survival_of(prior)
        self.reset()

    def reset(self) -> None:
        """Go back to the prior."""
        self.mass: list[float] = self.prior
        self.survival: list[float] = self.prior_survival

    def likelihoods(self, low: float, high: float) -> tuple[float, float, float]:
        """Return the probability of a duration between two positions.

        It is given by the current estimate, by the same with all durations halved, and by the prior.
        """
        low_half = min(low + HALF, LAST) if low > 0.0 else 0.0
        found: list[float] = []
        for survival, start, end in (
            (self.survival, low, high),
            (self.survival, low_half, min(high + HALF, LAST)),
            (self.prior_survival, low, high),
        ):
            i, j = int(start), int(end)
            before, after = survival[i], survival[j]
            before += (survival[i + 1] - before) * (start - i)
            after += (survival[j + 1] - after) * (end - j)
            found.append(max(before - after, 0.0))
        return found[0], found[1], found[2]

    def fit(self, ended: Sequence[Interval], running: Sequence[float], *, rounds: int) -> None:
        """Estimate the distribution from these observations alone; see `estimated`."""
        self.mass = estimated(self.prior, self.mass, ended, running, rounds=rounds)
        self.survival = survival_of(self.mass)


class History:
    """What was observed of the tasks of one group.

    Two distributions are kept: of elapsed time over announced estimate, and of elapsed seconds. `trust` is the
    probability, by Bayes' rule with fading memory, that the estimate is informative. It follows from how well either
    distribution predicted each task that ended.

    Args:
        others: Histories of other groups, which count for half of the prior.
    """

    def __init__(self, others: Iterable[History] = ()) -> None:
        others = list(others)
        for other in others:
            other.fit()
        ratio_prior, seconds_prior = (
            _prior(RATIO_PRIOR, RATIO_ONE),
            _prior(SECONDS_PRIOR, position_of(USUAL)),
        )
        self.ratios: Distribution = Distribution(
            _mixed(ratio_prior, [other.ratios.mass for other in others])
        )
        self.seconds: Distribution = Distribution(
            _mixed(seconds_prior, [other.seconds.mass for other in others])
        )
        self.ended: deque[Observed] = deque(maxlen=MEMORY)
        self.log_odds: float = 0.0
        self.seen: int = 0
        self.version: int = 0
        """Grows whenever enough was observed to make another fit worth its cost."""
        self._fitted_version = 0
        self._fit_when_seen = 1
        self._running_ratios = [0.0] * BINS
        self._running_seconds = [0.0] * BINS
        self._running_seen = 0
        self._fit_when_running = 3.0
        self._log_likelihood_ratio = 0.0

    @property
    def trust(self) -> float:
        """The probability that the estimate is informative."""
        log_odds = max(min(self.log_odds + PRIOR_LOG_ODDS, MOST_LOG_ODDS), -MOST_LOG_ODDS)
        return 1.0 / (1.0 + math.exp(-log_odds))

    def observe(self, estimate: float | None, ran_until: float, ended_by: float) -> None:
        """Record that a task ended between two ages, in seconds."""
        low, high, shift, low_ratio, high_ratio = self.remember(estimate, ran_until, ended_by)
        expected, halved, prior = self.seconds.likelihoods(low, high)
        if shift is not None:
            by_ratio, halved_ratio, ratio_prior = self.ratios.likelihoods(low_ratio, high_ratio)
            trust = self.trust
            evidence = math.log((by_ratio + SMOOTHING) / (expected + SMOOTHING))
            evidence = max(min(evidence, LOG_ODDS_STEP), -LOG_ODDS_STEP)
            self.log_odds = self.log_odds * LOG_ODDS_FADE + evidence
            expected += trust * (by_ratio - expected)
            halved += trust * (halved_ratio - halved)
            prior += 0.9 * (ratio_prior - prior)
        if low >= 1.0:
            self._move(shift, low, None)
        # When tasks become much quicker, all end before the first poll, and the polls alone would never tell: the
        # estimate of the time before it would be confirmed for ever. Hence the second alternative.
        ratio = math.log((expected + SMOOTHING) / (max(prior, halved) + SMOOTHING))
        self._log_likelihood_ratio = min(
            self._log_likelihood_ratio * CHANGE_FADE + ratio, MOST_CONFIRMED
        )
        if self._log_likelihood_ratio < CHANGED:
            self._start_over()

    def still_running(self, estimate: float | None, since: float, age: float) -> None:
        """Record that a task last seen running at the age `since` also ran at `age`, in seconds."""
        if not self.ended:
            self._running_seen += 1
            if self._running_seen >= self._fit_when_running:
                self._fit_when_running = self._running_seen * RUNNING_NEWS
                self.version += 1
        self._move(shift_of(estimate), position_of(since), position_of(age))

    def remember(self, estimate: float | None, ran_until: float, ended_by: float) -> Observed:
        """Add an end, in seconds, without comparing it with what is known now."""
        low = left = position_of(ran_until)
        high = right = max(low, position_of(ended_by))
        shift = shift_of(estimate)
        if shift is not None:
            left = min(max(low - shift, 0.0), LAST) if low > 0.0 else 0.0
            right = min(max(high - shift, 0.0), LAST) if high > 0.0 else 0.0
        observed = low, high, shift, left, right
        self.ended.append(observed)
        self.seen += 1
        if self.seen >= self._fit_when_seen:
            # After the 1st, 2nd, 4th, 8th, 16th, ... end: the more is known, the less another end changes.
            known = len(self.ended)
            step = 1 << (known.bit_length() - 1)
            self._fit_when_seen = self.seen + min(step, MOST_NEWS)
            self.version += 1
        return observed

    def recalled(self) -> list[End]:
        """Return the ends that are kept, oldest first."""
        return [
            (None if shift is None else _seconds(shift + RATIO_ONE), _seconds(low), _seconds(high))
            for low, high, shift, _, _ in self.ended
        ]

    def fit(self) -> None:
        """Bring the distributions up to date, if enough was observed since the last time."""
        if self._fitted_version == self.version:
            return
        self._fitted_version = self.version
        ended = list(zip(reversed(self.ended), WEIGHTS, strict=False))
        rounds = 3 if len(self.ended) < 40 else 1  # noqa: PLR2004
        seconds = [(low, high, weight) for (low, high, _, _, _), weight in ended]
        ratios = [(low, high, w) for (_, _, shift, low, high), w in ended if shift is not None]
        self.seconds.fit(seconds, self._running_seconds, rounds=rounds)
        self.ratios.fit(ratios, self._running_ratios, rounds=rounds)

    def _move(self, shift: float | None, old: float, new: float | None) -> None:
        """Count a running task at a new position (None: nowhere) instead of the old one."""
        for running, by in ((self._running_seconds, 0.0), (self._running_ratios, shift)):
            if by is None:
                continue
            # A task last seen running below the first bin carries no information. The count may be missing at the old
            # position (an estimate may change on the way), hence the floor.
            if old > 0.0 and (index := int(min(old - by, LAST))) >= 1:
                running[index] = max(running[index] - 1.0, 0.0)
            if new and (index := int(min(new - by, LAST))) >= 1:
                running[index] += 1.0

    def _start_over(self) -> None:
        self._log_likelihood_ratio = 0.0
        while len(self.ended) > KEPT:
            self.ended.popleft()
        self.ratios.reset()
        self.seconds.reset()
        self._fit_when_seen = self.seen + 1
        self.version += 1


def position_of(seconds: float) -> float:
    """Return the position of a duration in bins, limited to the bounds of the scale."""
    if not seconds > SHORTEST:  # NaN as well
        return 0.0
    return min((math.log(seconds) - ORIGIN) / STEP, LAST)


def shift_of(estimate: float | None) -> float | None:
    """Return by how many bins a duration in seconds lies above the same duration relative to the estimate."""
    if estimate is None or not SHORTEST_ESTIMATE <= estimate <= LONGEST_ESTIMATE:
        return None
    return position_of(estimate) - RATIO_ONE


@cache
def _prior(parts: tuple[tuple[float, float], ...], centre: float) -> list[float]:
    return mixture((share, centre, sigma / STEP) for share, sigma in parts)


def exported(groups: Iterable[tuple[Hashable, History]]) -> dict[str, object]:
    """Return the ends of all groups as a mapping that `json.dumps` takes.

    A later release may draw other conclusions from them. A group whose name JSON cannot hold is left out.
    """
    rows: list[object] = []
    for name, history in groups:
        if history.ended and _is_plain(name):
            ends = [list(end) for end in history.recalled()]
            rows.append({"group": name, "evidence": round(history.log_odds, 3), "ended": ends})
    return {"version": VERSION, "groups": rows}


def imported(data: object) -> Iterator[tuple[Hashable, float, list[End]]]:
    """Yield group, log odds and ends from what `exported` returned; what cannot be read is left out."""
    rows = data.get("groups") if is_object(data) and data.get("version") == VERSION else None
    for row in rows if is_array(rows) else ():
        if not (is_object(row) and _is_plain(name := row.get("group"))):
            continue
        ended = row.get("ended")
        ends = [end for cells in ended[-MEMORY:] if (end := _end(cells))] if is_array(ended) else []
        log_odds = _number(row.get("evidence")) or 0.0
        yield _frozen(name), max(min(log_odds, MOST_LOG_ODDS), -MOST_LOG_ODDS), ends


def _seconds(position: float) -> float:
    return float(f"{math.exp(ORIGIN + STEP * position):.4g}") if position > 0.0 else 0.0


def _mixed(prior: list[float], others: list[list[float]]) -> list[float]:
    if not others:
        return prior
    share = OTHERS_SHARE / len(others)
    return [
        (1.0 - OTHERS_SHARE) * first + share * sum(rest)
        for first, *rest in zip(prior, *others, strict=True)
    ]


def _end(cells: object) -> End | None:
    if not (is_array(cells) and len(cells) == 3):  # noqa: PLR2004
        return None
    estimate, low, high = map(_number, cells)
    if low is None or high is None or not 0.0 <= low <= high:
        return None
    return estimate, low, high


def _number(cell: object) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    try:
        number = float(cell)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_plain(name: object) -> bool:
    if is_tuple(name) or is_array(name):
        return all(map(_is_plain, name))
    return name is None or isinstance(name, str | int | float)


def _frozen(name: Any) -> Hashable:
    return tuple(map(_frozen, name)) if is_array(name) or is_tuple(name) else name
