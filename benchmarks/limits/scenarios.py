"""Scenarios: servers with a limit on the rate of submissions, and the result of a session with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from attrs import frozen

from benchmarks.limits.measures import (
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
from foxapi_async.limits.rate_scheduler import RateScheduler

SETTLED, HALVED, DOUBLED, END = 60.0, 240.0, 390.0, 540.0
"""Times in seconds: end of the first minute, changes of the limit, and end of the run."""

HEADERS: Mapping[str, RetryAfter] = {
    "-": silent,
    "seconds": whole_seconds,
    "date": http_date,
    "always 2": constant(2.0),
}
"""Retry-After of 429 answers."""

TINY = 5.0
"""Requests per second up to which one request more or less is much: the targets are lower."""
ADAPTED = 40.0
"""Seconds in which a limit that halves or doubles must be found again."""


@frozen
class Scenario:
    """One server, and the network between.

    Args:
        kind: "bucket", "fixed" or "sliding".
        rate: Requests per second.
        size: The burst of a bucket in requests, or the length of a window in seconds.
        header: A key of `HEADERS`.
        jitter: Mean of an exponential delay of requests, in seconds.
        slow: Maximum extra delay of answers, in seconds.
    """

    kind: str
    rate: float
    size: float
    header: str = "-"
    jitter: float = 0.0
    slow: float = 0.0

    def __str__(self) -> str:
        unit = "" if self.kind == "bucket" else " s"
        network = f" jitter {self.jitter:g}" if self.jitter else ""
        network += f" slow {self.slow:g}" if self.slow else ""
        return (
            f"{self.rate:>5g}/s {f'{self.kind} {self.size:g}{unit}':<13} {self.header:<8}{network}"
        )

    @property
    def settled(self) -> float:
        """Seconds after which the limit should be known: three windows of a minute, else one minute."""
        return 3.0 * SETTLED if self.kind != "bucket" and self.size >= SETTLED else SETTLED

    @property
    def least_served(self) -> float:
        """The target for the served fraction of the limit."""
        return 0.8 if self.rate <= TINY else 0.85

    @property
    def most_refused(self) -> float:
        """The target for the refused fraction of the requests."""
        return 0.1 if self.rate <= TINY else 0.05

    def server(self, seed: int) -> Server:
        if self.kind == "bucket":
            return TokenBucket(self.rate, self.size)
        if self.kind == "fixed":
            return FixedWindow(self.rate, self.size, phase=seed * 0.37 * self.size)
        return SlidingWindow(self.rate, self.size)


@frozen
class Result:
    """The result of one run."""

    scenario: Scenario
    seed: int
    throughput: float
    """Served requests in minutes 1 to 4, as a fraction of the limit."""
    refused: float
    """Fraction of the requests in that time that were answered 429."""
    halved: float | None
    """Seconds until the session adapted to half the limit; None if it never did."""
    doubled: float | None

    @property
    def missed(self) -> tuple[str, ...]:
        """The targets that were missed."""
        return tuple(
            name
            for name, good in (
                ("rate", self.throughput >= self.scenario.least_served),
                ("429", self.refused <= self.scenario.most_refused),
                ("halve", self.halved is not None and self.halved <= ADAPTED),
                ("double", self.doubled is not None and self.doubled <= ADAPTED),
            )
            if not good
        )

    def __str__(self) -> str:
        return (
            f"{self.scenario!s:<32} {self.throughput:>7.3f} {100 * self.refused:>6.2f}% "
            f"{seconds(self.halved)} {seconds(self.doubled)}"
            f"{'  missed' if self.missed else ''} {' '.join(self.missed)}".rstrip()
        )


def seconds(value: float | None) -> str:
    """Return a cell of a table."""
    return f"{'never' if value is None else f'{value:.0f} s':>7}"


def run_scenario(scenario: Scenario, seed: int) -> Result:
    """Run a session against the limit, then halve the limit, then double it again."""
    server = scenario.server(seed)
    run = RateRun(
        server,
        RateScheduler(),
        seed=seed,
        retry_after=HEADERS[scenario.header],
        jitter=scenario.jitter,
        slow=scenario.slow,
    )
    run.run(HALVED)
    server.rate = scenario.rate / 2
    half = server.rate  # a window serves a whole number of requests
    run.run(DOUBLED)
    server.rate = scenario.rate
    run.run(END)
    records = run.records

    def adapted(change: float, end: float, rate: float) -> float | None:
        least, most = scenario.least_served, scenario.most_refused
        return time_to_adapt(records, change, end, rate, served=least, refused=most)

    return Result(
        scenario,
        seed,
        throughput=served_per_second(records, scenario.settled, HALVED) / scenario.rate,
        refused=refused_share(records, scenario.settled, HALVED),
        halved=adapted(HALVED, DOUBLED, half),
        doubled=adapted(DOUBLED, END, scenario.rate),
    )


def scenarios(*, quick: bool) -> Iterator[Scenario]:
    """Yield the scenarios of the table."""
    for rate in (5.0, 20.0) if quick else (2.0, 5.0, 20.0, 100.0):
        for header in ("-", "seconds"):
            for burst in sorted({1.0, rate / 2, rate, 5 * rate}):
                yield Scenario("bucket", rate, burst, header)
            for kind, length in product(("fixed", "sliding"), (1.0, 10.0)):
                yield Scenario(kind, rate, length, header)
            if not quick:
                yield Scenario("fixed", rate, 60.0, header)
    if not quick:
        for rate in (3.0, 30.0):
            yield from _unusual(rate)


def _unusual(rate: float) -> Iterator[Scenario]:
    for size, header in ((rate, "date"), (rate, "always 2"), (5 * rate, "always 2")):
        yield Scenario("bucket", rate, size, header)
    yield Scenario("fixed", rate, 1.0, "date")
    for kind, size in (("bucket", rate), ("fixed", 1.0), ("fixed", 10.0)):
        for header in ("-", "seconds"):
            yield Scenario(kind, rate, size, header, jitter=0.02, slow=0.3)
            yield Scenario(kind, rate, size, header, jitter=0.2, slow=1.5)
