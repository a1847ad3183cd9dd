"""Phases of refusals, and caps on images in flight: how a session with tasks comes through them."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from benchmarks.limits.measures import refused_share, submissions, time_to_adapt
from benchmarks.limits.scenarios import ADAPTED, SETTLED, seconds
from benchmarks.limits.servers import (
    Outage,
    RetryAfter,
    TokenBucket,
    constant,
    silent,
    whole_seconds,
)
from benchmarks.limits.tasks import TaskRun
from foxapi_async.limits.rate_scheduler import Lane, RateScheduler

RECOVERED = 30.0
"""Seconds after a phase of refusals until the session must have its former throughput."""
_FORMER = 0.8
"""Fraction of the former throughput that counts as recovered."""
_DELAY = 1.7
"""Seconds from the end of a task to the next submission: half a poll interval and two answers."""


@frozen
class Phase:
    """A job whose submissions are all refused for some time, and are not limited otherwise.

    Args:
        tasks: Shortest and longest duration of a task, in seconds.
        images: Images in flight.
        length: Seconds of the phase.
        retry_after: Retry-After of its answers; None for none.
    """

    tasks: tuple[float, float]
    images: int
    length: float
    retry_after: float | None

    def __str__(self) -> str:
        header = "-" if self.retry_after is None else f"{self.retry_after:g}"
        low, high = self.tasks
        return f"{self.images:>3} images {f'{low:g} to {high:g} s':<10} {self.length:>4g} s {header:>4}"

    def run(self, seed: int) -> tuple[float | None, int]:
        """Return the seconds from the end until the session has recovered, and the refusals."""
        begin, end = 100.0, 100.0 + self.length
        run = TaskRun(
            cap=10**6,
            scheduler=RateScheduler(),
            seed=seed,
            outputs=self.images,
            server=Outage(TokenBucket(1e9, 1e9), begin, end),
            limited=(Lane.SUBMIT,),
            retry_after=silent if self.retry_after is None else constant(self.retry_after),
            shortest=self.tasks[0],
            longest=self.tasks[1],
        )
        run.run(end + 120.0)
        rate = self.images / (sum(self.tasks) / 2 + _DELAY)
        sent = submissions(run.records)
        recovered = time_to_adapt(sent, end, end + 120.0, rate, served=_FORMER)
        return recovered, sum(not record.served for record in sent)


def phases(*, quick: bool) -> Iterator[Phase]:
    """Yield the phases of the table."""
    for tasks, images in (((2.0, 10.0), 32),) if quick else (((2.0, 10.0), 32), ((5.0, 45.0), 8)):
        for length in (60.0,) if quick else (5.0, 20.0, 60.0, 180.0):
            for retry_after in (None, 0.0, 5.0, 30.0):
                yield Phase(tasks, images, length, retry_after)


@frozen
class Cap:
    """A cap on images in flight that halves, and doubles again; 64 images are wanted."""

    images: int
    tasks: tuple[float, float]
    has_header: bool

    def __str__(self) -> str:
        low, high = self.tasks
        header = "seconds" if self.has_header else "-"
        return f"{self.images:>4} images {f'{low:g} to {high:g} s':<11} {header:<8}"

    def run(self, seed: int) -> str:
        """Return the columns of the table: done, refused, and seconds to adapt."""
        best, ours = self._run(seed, knows_cap=True), self._run(seed, knows_cap=False)
        done, possible = (
            sum(SETTLED <= at < _HALVED for at in run.finished) for run in (ours, best)
        )
        tiny = self.images <= _TINY
        least, most = (0.8, 0.1) if tiny else (0.85, 0.05)
        sent = submissions(ours.records)
        rate = self.images / (sum(self.tasks) / 2 + _DELAY)
        halved = time_to_adapt(sent, _HALVED, _DOUBLED, rate / 2, served=least, refused=most)
        doubled = time_to_adapt(sent, _DOUBLED, _END, rate, served=least, refused=most)
        refused = refused_share(sent, SETTLED, _HALVED)
        good = done >= least * possible and refused <= most
        good = good and all(each is not None and each <= ADAPTED for each in (halved, doubled))
        return (
            f"{done / possible:>7.3f} {100 * refused:>6.2f}% {seconds(halved)} {seconds(doubled)}"
            f"{'' if good else '  missed'}"
        )

    def _run(self, seed: int, *, knows_cap: bool) -> TaskRun:
        header: RetryAfter = whole_seconds if self.has_header else silent
        run = TaskRun(
            self.images,
            RateScheduler(),
            seed=seed,
            knows_cap=knows_cap,
            retry_after=header,
            shortest=self.tasks[0],
            longest=self.tasks[1],
        )
        run.run(_HALVED)
        run.cap = self.images // 2
        run.run(_DOUBLED)
        run.cap = self.images
        run.run(_END)
        return run


_HALVED, _DOUBLED, _END = 600.0, 750.0, 900.0
_TINY = 8
"""Images in flight up to which the targets are lower."""


def caps(*, quick: bool) -> Iterator[Cap]:
    """Yield the caps of the table."""
    for images in (16,) if quick else (4, 8, 16, 32, 48):
        for tasks in ((2.0, 10.0), (5.0, 45.0)):
            for has_header in (False, True):
                yield Cap(images, tasks, has_header)
