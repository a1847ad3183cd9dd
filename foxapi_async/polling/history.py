"""What earlier tasks of one kind tell about the next one, with or without an estimate of the server."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import cache

from foxapi_async.polling.durations import BINS, ORIGIN, STEP, TOP, Belief, bell, place

UNITY = BINS // 2  # where elapsed / estimate = 1 lies among the bins

MEMORY = 256  # observations kept: enough for a loss of 1 % at the usual spread
FADE = 0.998  # weight of an observation against the next one
TRUST = 1.0  # log odds that the estimate means something, before there is evidence: 3 to 1
TRUST_FADE = 0.97  # evidence about it is forgotten over some thirty tasks
TRUST_STEP = 4.0  # no single task says more than e^4
SURPRISE_FADE = 0.9
CALM = 5.0  # good forecasts make up for no more surprise than this
SURPRISE = -7.0  # a rival foretold e^7 times better than the history: the world has changed
HALF = math.log(2.0) / STEP  # the rivals: a broad guess, and the history with all durations halved
HINT = 1.4  # while no end was seen, tasks seen running are news whenever they have grown to so many times as many
KEPT = 10  # observations that survive such a change
UNSURE = 1e-5
WEIGHTS = [FADE**i for i in range(MEMORY)]

# (share, sigma) of elapsed / estimate and of seconds, before anything was seen
RELATIVE = ((0.8, 0.5), (0.2, 1.5))
ABSOLUTE = ((1.0, 1.4),)
USUAL = 25.0  # seconds: the middle of the guess for tasks without estimate and history

End = tuple[float, float, float | None, float, float]
"""Where it lies among the seconds (from, to), the shift of its estimate, and where it lies in relation to that."""


def shift_of(estimate: float) -> float:
    """Return by how many bins a duration in seconds lies above the same duration relative to the estimate."""
    return (math.log(estimate) - ORIGIN) / STEP - UNITY


class History:
    """What was seen of the tasks of one kind.

    Two beliefs are kept side by side: of elapsed time over announced estimate, and of elapsed seconds. Which of them
    counts is decided by evidence: `trust` is the probability, by Bayes' rule with fading memory, that the estimate
    means something, from how well either had foretold each task that ended.
    """

    def __init__(
        self, relative: list[float] | None = None, absolute: list[float] | None = None
    ) -> None:
        self.relative: Belief = Belief(relative or guess_relative())
        self.absolute: Belief = Belief(absolute or guess_absolute())
        self.ended: deque[End] = deque(maxlen=MEMORY)
        self._running_relative = [0.0] * BINS
        self._running_absolute = [0.0] * BINS
        self.evidence: float = 0.0
        self.seen: int = 0
        self.news: int = 0
        self.learned_at: int = 0
        self._told = 0
        self._next_hint = 3.0
        self._surprise = 0.0

    @property
    def trust(self) -> float:
        """The probability that the estimate means something."""
        return 1.0 / (1.0 + math.exp(-max(min(self.evidence + TRUST, 50.0), -50.0)))

    def observe(self, estimate: float | None, ran_until: float, ended_by: float) -> None:
        """Note that a task ended between two ages, in seconds."""
        low, high = place(ran_until), place(ended_by)
        high = max(low, high)
        expected = self.absolute.between(low, high)
        guessed = _ignorant(guess_absolute).between(low, high)
        halved = self.absolute.between(
            min(low + HALF, TOP) if low > 0.0 else 0.0, min(high + HALF, TOP)
        )
        shift = None
        if estimate is not None:
            shift = shift_of(estimate)
            left, right = _shifted(low, shift), _shifted(high, shift)
            relatively = self.relative.between(left, right)
            trust = self.trust
            evidence = math.log((relatively + UNSURE) / (expected + UNSURE))
            evidence = max(min(evidence, TRUST_STEP), -TRUST_STEP)
            self.evidence = self.evidence * TRUST_FADE + evidence
            expected += trust * (relatively - expected)
            half = _shifted(low, shift - HALF), _shifted(high, shift - HALF)
            halved += trust * (self.relative.between(*half) - halved)
            guessed = 0.9 * _ignorant(guess_relative).between(left, right) + 0.1 * guessed
            _move(self._running_relative, left, None)
        _move(self._running_absolute, low, None)
        self.ended.append(_end(low, high, shift))
        self.seen += 1
        self.news += 1
        # When tasks become much quicker, all end before the first look, and the looks alone would never tell: what is
        # believed of the time before it would be confirmed for ever. Hence the second rival.
        surprise = math.log((expected + UNSURE) / (max(guessed, halved) + UNSURE))
        self._surprise = min(self._surprise * SURPRISE_FADE + surprise, CALM)
        if self._surprise < SURPRISE:
            self._start_over()

    def still_running(self, estimate: float | None, since: float, age: float) -> None:
        """Note that a task last seen running at the age `since` also ran at `age`, in seconds."""
        if not self.ended:
            self._told += 1
            if self._told >= self._next_hint:
                self._next_hint = self._told * HINT
                self.news += 1
        old, new = place(since), place(age)
        _move(self._running_absolute, old, new)
        if estimate is not None:
            shift = shift_of(estimate)
            _move(self._running_relative, _shifted(old, shift), _shifted(new, shift))

    def remember(self, estimate: float | None, ran_until: float, ended_by: float) -> None:
        """Take up an end of an earlier run, in seconds; it is not held against what is believed now."""
        low = place(ran_until)
        shift = None if estimate is None else shift_of(estimate)
        self.ended.append(_end(low, max(low, place(ended_by)), shift))
        self.seen += 1
        self.news += 1

    def recalled(self) -> list[tuple[float | None, float, float]]:
        """Return the ends that are kept, oldest first: estimate, ran until, ended by, in seconds."""
        return [
            (None if shift is None else _seconds(shift + UNITY), _seconds(low), _seconds(high))
            for low, high, shift, _, _ in self.ended
        ]

    def is_news(self, since: int) -> bool:
        """Whether enough was learned after the first `since` news to be worth another look at all that is known."""
        known = len(self.ended)
        # What is well known changes little by one end more; to learn more often was no better.
        return self.news - since >= 1 + known // (8 if known < 64 else 4)  # noqa: PLR2004

    def learn(self) -> None:
        """Bring the beliefs up to date, if there is news."""
        if not self.is_news(self.learned_at):
            return
        ended = list(zip(reversed(self.ended), WEIGHTS, strict=False))
        absolute = [(low, high, weight) for (low, high, _, _, _), weight in ended]
        relative = [
            (left, right, weight)
            for (_, _, shift, left, right), weight in ended
            if shift is not None
        ]
        rounds = 3 if len(self.ended) < 40 else 1  # noqa: PLR2004
        self.relative.learn(relative, self._running_relative, rounds=rounds)
        self.absolute.learn(absolute, self._running_absolute, rounds=rounds)
        self.learned_at = self.news

    def _start_over(self) -> None:
        self._surprise = 0.0
        while len(self.ended) > KEPT:
            self.ended.popleft()
        self.relative.reset()
        self.absolute.reset()
        self.learned_at = -MEMORY


@cache
def guess_relative() -> list[float]:
    """Return what is believed of elapsed / estimate before anything was seen."""
    return bell((share, UNITY, sigma / STEP) for share, sigma in RELATIVE)


@cache
def guess_absolute() -> list[float]:
    """Return what is believed of elapsed seconds before anything was seen."""
    return bell((share, place(USUAL), sigma / STEP) for share, sigma in ABSOLUTE)


def _seconds(at: float) -> float:
    return float(f"{math.exp(ORIGIN + STEP * at):.4g}") if at > 0.0 else 0.0


@cache
def _ignorant(guess: Callable[[], list[float]]) -> Belief:
    return Belief(guess())


def _end(low: float, high: float, shift: float | None) -> End:
    if shift is None:
        return low, high, None, 0.0, 0.0
    return low, high, shift, _shifted(low, shift), _shifted(high, shift)


def _shifted(at: float, shift: float) -> float:
    return min(max(at - shift, 0.0), TOP) if at > 0.0 else 0.0


def _move(running: list[float], old: float, new: float | None) -> None:
    # A task last seen running below the first bin says nothing. What leaves was not always seen coming (an estimate
    # may change on the way), hence the floor.
    if old >= 1.0:
        running[int(old)] = max(running[int(old)] - 1.0, 0.0)
    if new is not None and new >= 1.0:
        running[int(new)] += 1.0
