"""Servers with a limit on the rate, and how a session fares with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from attrs import frozen

from benchmarks.limits.measures import (
    lane_share,
    refused_share,
    served_per_second,
    time_to_adapt,
)
from benchmarks.limits.servers import (
    FixedWindow,
    RetryAfter,
    Server,
    SlidingWindow,
    TokenBucket,
    constant,
    http_date,
    silent,
    whole_seconds,
)
from benchmarks.limits.simulation import RateRun
from foxapi_async.limits.rate_scheduler import Lane, RateScheduler

SETTLED, HALVED, DOUBLED, END = 60.0, 240.0, 390.0, 540.0
"""Seconds: when the first minute is over, when the limit changes, and when the run ends."""

HEADERS: Mapping[str, RetryAfter] = {
    "-": silent,
    "seconds": whole_seconds,
    "date": http_date,
    "always 2": constant(2.0),
}
"""What a 429 says of when to come back."""


@frozen
class World:
    """One server, and the way to it.

    Args:
        kind: "bucket", "fixed" or "sliding".
        rate: Requests per second.
        size: The burst of a bucket in requests, or the length of a window in seconds.
        header: A key of `HEADERS`.
        jitter: Mean of an exponential delay on the way there, in seconds.
        slow: Seconds by which an answer is late at most.
    """

    kind: str
    rate: float
    size: float
    header: str = "-"
    jitter: float = 0.0
    slow: float = 0.0

    def __str__(self) -> str:
        unit = "" if self.kind == "bucket" else " s"
        way = f" jitter {self.jitter:g}" if self.jitter else ""
        way += f" slow {self.slow:g}" if self.slow else ""
        return f"{self.rate:>5g}/s {f'{self.kind} {self.size:g}{unit}':<13} {self.header:<8}{way}"

    @property
    def settled(self) -> float:
        """Seconds after which the limit should be known.

        A quota per minute cannot be in one: the first window is used up before there is anything to
        learn, the second is the first that is seen from its beginning, and the third shows where
        it ended.
        """
        return 3.0 * SETTLED if self.kind != "bucket" and self.size >= SETTLED else SETTLED

    def server(self, seed: int) -> Server:
        if self.kind == "bucket":
            return TokenBucket(self.rate, self.size)
        if self.kind == "fixed":
            return FixedWindow(self.rate, self.size, phase=seed * 0.37 * self.size)
        return SlidingWindow(self.rate, self.size)


@frozen
class Verdict:
    """What was reached."""

    world: World
    seed: int
    reached: float
    """Served from minute 1 to 4, as a part of the limit."""
    refused: float
    """Part of the requests of that time that were answered 429."""
    submissions: float
    """Part of the served that were submissions."""
    halved: float | None
    """Seconds until the session has adapted to half the limit; None for never."""
    doubled: float | None

    @property
    def missed(self) -> tuple[str, ...]:
        """Which targets were missed."""
        return tuple(
            name
            for name, good in (
                ("rate", self.reached >= 0.95),
                ("429", self.refused < 0.02),
                ("lanes", 0.4 < self.submissions < 0.6),
                ("halve", self.halved is not None and self.halved <= 60),
                ("double", self.doubled is not None and self.doubled <= 60),
            )
            if not good
        )

    def __str__(self) -> str:
        return (
            f"{self.world!s:<32} {self.reached:>7.3f} {100 * self.refused:>6.2f}% "
            f"{100 * self.submissions:>5.0f}% {_seconds(self.halved)} {_seconds(self.doubled)}"
            f"{'  missed' if self.missed else ''} {' '.join(self.missed)}".rstrip()
        )


def _seconds(value: float | None) -> str:
    return f"{'never' if value is None else f'{value:.0f} s':>7}"


def judge(world: World, seed: int) -> Verdict:
    """Let a session run into the limit, halve it, and double it again."""
    server = world.server(seed)
    run = RateRun(
        server,
        RateScheduler(),
        seed=seed,
        retry_after=HEADERS[world.header],
        jitter=world.jitter,
        slow=world.slow,
    )
    run.run(HALVED)
    server.rate = world.rate / 2
    half = server.rate  # a window serves a whole number
    run.run(DOUBLED)
    server.rate = world.rate
    run.run(END)
    records = run.records
    return Verdict(
        world,
        seed,
        reached=served_per_second(records, world.settled, HALVED) / world.rate,
        refused=refused_share(records, world.settled, HALVED),
        submissions=lane_share(records, Lane.SUBMIT, world.settled, HALVED),
        halved=time_to_adapt(records, HALVED, DOUBLED, half),
        doubled=time_to_adapt(records, DOUBLED, END, world.rate),
    )


def worlds(*, quick: bool) -> Iterator[World]:
    """Yield the servers of the table."""
    for rate in (5.0, 20.0) if quick else (1.0, 2.0, 5.0, 20.0, 100.0, 500.0):
        for header in ("-", "seconds"):
            for burst in sorted({1.0, max(rate / 2, 1.0), rate, 5 * rate}):
                yield World("bucket", rate, burst, header)
            for kind, length in product(("fixed", "sliding"), (1.0, 10.0)):
                yield World(kind, rate, length, header)
            if not quick:
                yield World("fixed", rate, 60.0, header)
    if not quick:
        for rate in (3.0, 30.0):
            yield from _unusual(rate)


def _unusual(rate: float) -> Iterator[World]:
    for size, header in ((rate, "date"), (rate, "always 2"), (5 * rate, "always 2")):
        yield World("bucket", rate, size, header)
    yield World("fixed", rate, 1.0, "date")
    for kind, size in (("bucket", rate), ("fixed", 1.0), ("fixed", 10.0)):
        for header in ("-", "seconds"):
            yield World(kind, rate, size, header, jitter=0.02, slow=0.3)
            yield World(kind, rate, size, header, jitter=0.2, slow=1.5)
