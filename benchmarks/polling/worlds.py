"""The worlds: how long tasks take, and what the server announces."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MEDIANS = (4.0, 12.0, 45.0, 90.0, 300.0)
SIGMAS = (0.25, 0.5, 1.0)

Mixture = tuple[tuple[float, float, float], ...]
"""A mixture of log-normals: (share, median in seconds, sigma)."""


@dataclass(frozen=True)
class Job:
    """One task: how long it takes (seconds), what was announced, and the distribution it was drawn from."""

    duration: float
    estimate: float | None
    truth: Mixture


@dataclass(frozen=True)
class World:
    name: str
    median: float
    sigma: float

    def jobs(self, count: int, seed: int) -> list[Job]:
        rng = random.Random(f"{self.name} {self.median} {self.sigma} {seed}")
        make = MAKERS[self.name]
        return [make(self, rng, i / count) for i in range(count)]

    @property
    def settled_after(self) -> float:
        """The part of a run after which its distribution no longer changes."""
        return 0.5 if self.name.startswith("shift") else 0.0


def survival(truth: Mixture) -> Callable[[float], float]:
    """Return the chance that a task takes longer than t seconds, as a function of t."""
    parts = [(share, math.log(median), math.sqrt(0.5) / sigma) for share, median, sigma in truth]

    def at(t: float) -> float:
        if t <= 0.0:
            return 1.0
        x = math.log(t)
        return sum([0.5 * share * math.erfc((x - mu) * scale) for share, mu, scale in parts])

    return at


def draw(rng: random.Random, truth: Mixture) -> float:
    _, median, sigma = rng.choices(truth, [share for share, _, _ in truth])[0]
    return median * math.exp(rng.gauss(0.0, sigma))


Maker = Callable[[World, random.Random, float], Job]


def _announcing(estimate: Callable[[World, random.Random], float | None]) -> Maker:
    def make(world: World, rng: random.Random, part: float) -> Job:
        del part
        truth: Mixture = ((1.0, world.median, world.sigma),)
        return Job(draw(rng, truth), estimate(world, rng), truth)

    return make


def _own_size(world: World, rng: random.Random, part: float) -> Job:
    """Every task has a size of its own, which the server knows within 5 %."""
    del part
    size = world.median * math.exp(round(rng.gauss(0.0, 0.7) * 6.0) / 6.0)
    truth: Mixture = ((1.0, size, world.sigma),)
    return Job(draw(rng, truth), size * math.exp(rng.gauss(0.0, 0.05)), truth)


def _bimodal(world: World, rng: random.Random, part: float) -> Job:
    del part
    truth: Mixture = ((0.8, world.median, world.sigma), (0.2, 5.0 * world.median, world.sigma))
    return Job(draw(rng, truth), world.median, truth)


def _shift(factor: float) -> Maker:
    def make(world: World, rng: random.Random, part: float) -> Job:
        median = world.median * (factor if part >= 0.5 else 1.0)
        truth: Mixture = ((1.0, median, world.sigma),)
        return Job(draw(rng, truth), world.median, truth)

    return make


def _garbage(world: World, rng: random.Random) -> float | None:
    """What an adversary would send: now nonsense, now a plausible figure that means nothing."""
    del world
    nonsense: Sequence[float | None] = (None, 0.0, -1.0, math.nan, math.inf, 1e12)
    if rng.random() < 0.25:
        return rng.choice(nonsense)
    return math.exp(rng.uniform(math.log(0.2), math.log(50_000.0)))


MAKERS: dict[str, Maker] = {
    "exact": _announcing(lambda world, _: world.median),
    "own size": _own_size,
    "x0.1": _announcing(lambda world, _: 0.1 * world.median),
    "x0.3": _announcing(lambda world, _: 0.3 * world.median),
    "x3": _announcing(lambda world, _: 3.0 * world.median),
    "x10": _announcing(lambda world, _: 10.0 * world.median),
    "constant 45": _announcing(lambda *_: 45.0),
    "missing": _announcing(lambda *_: None),
    "zero": _announcing(lambda *_: 0.0),
    "garbage": _announcing(_garbage),
    "bimodal": _bimodal,
    "shift x2.5": _shift(2.5),
    "shift /2.5": _shift(0.4),
}
