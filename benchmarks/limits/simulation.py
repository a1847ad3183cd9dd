"""A seeded discrete-event simulation of a session and a server.

Like the real session, the simulated one asks the rate scheduler, sends, and reports the answer.
Timers fire up to a millisecond late and sometimes stall. Requests reach the server after a one-way
delay with jitter. Answers take 5 to 300 ms, refusals 5 to 50 ms, plus the delay of a slow network.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence

from attrs import define, field

from benchmarks.limits.servers import RetryAfter, Server, silent
from foxapi_async.limits.rate_scheduler import Lane, RateScheduler

CONCURRENT = 64
"""Maximum number of concurrent requests of the session."""


@define
class Record:
    """The arrival of one request at the server."""

    at: float
    lane: Lane
    served: bool


class Clock:
    """Runs callbacks in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def at(self, moment: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (max(moment, self.now), next(self._count), call))

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, call = heapq.heappop(self._heap)
            call()
        self.now = until


@define
class Network:
    """Delays in seconds.

    Args:
        jitter: Mean of an exponential delay of requests.
        slow: Maximum extra delay of answers.
    """

    rng: random.Random
    jitter: float = 0.0
    slow: float = 0.0

    def trip(self) -> float:
        return 0.005 + (self.rng.expovariate(1 / self.jitter) if self.jitter else 0.0)

    def answer(self) -> float:
        return min(max(self.rng.lognormvariate(math.log(0.04), 0.8), 0.005), 0.3) + self._slow()

    def refusal(self) -> float:
        return self.rng.uniform(0.005, 0.05) + self._slow()

    def _slow(self) -> float:
        return self.rng.uniform(0.0, self.slow) if self.slow else 0.0

    def lateness(self) -> float:
        stall = self.rng.random() < 0.001
        return self.rng.uniform(0.005, 0.02) if stall else self.rng.uniform(0.0, 0.001)


@define
class RateRun:
    """A session that always has requests to send, or receives requests over time."""

    server: Server
    scheduler: RateScheduler
    seed: int = 0
    retry_after: RetryAfter = silent
    jitter: float = 0.0
    slow: float = 0.0
    lanes: Sequence[Lane] = (Lane.SUBMIT,)
    demand: Callable[[float], int] | None = None
    clock: Clock = field(factory=Clock)
    records: list[Record] = field(factory=list[Record])
    _concurrent: int = 0
    _wake_at: float = math.inf
    _round: int = 0
    _queued: int = 0
    _network: Network = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._network = Network(random.Random(self.seed), self.jitter, self.slow)
        self.clock.at(0.0, self._dispatch)
        if self.demand is not None:
            self.clock.at(0.0, self._tick)

    def run(self, until: float) -> None:
        self.clock.run(until)

    def _tick(self) -> None:
        assert self.demand is not None
        self._queued += self.demand(self.clock.now)
        self.clock.at(self.clock.now + 0.1, self._tick)
        self._dispatch()

    def _dispatch(self) -> None:
        now = self.clock.now
        while self._concurrent < CONCURRENT and (self.demand is None or self._queued):
            self._round += 1
            order = [
                self.lanes[(self._round + n) % len(self.lanes)] for n in range(len(self.lanes))
            ]
            delays = [(self.scheduler.delay(lane, now), n) for n, lane in enumerate(order)]
            shortest, which = min(delays)
            if shortest > 0:
                self._wake(now + shortest)
                return
            self._send(order[which])

    def _wake(self, moment: float) -> None:
        if self._wake_at <= self.clock.now or moment < self._wake_at:
            self._wake_at = moment + self._network.lateness()
            self.clock.at(self._wake_at, self._woken)

    def _woken(self) -> None:
        if self.clock.now >= self._wake_at:
            self._wake_at = math.inf
        self._dispatch()

    def _send(self, lane: Lane) -> None:
        sent_at = self.clock.now
        self.scheduler.sent(lane, sent_at)
        self._concurrent += 1
        self._queued -= 1
        self.clock.at(sent_at + self._network.trip(), lambda: self._arrive(lane, sent_at))

    def _arrive(self, lane: Lane, sent_at: float) -> None:
        now = self.clock.now
        served = self.server.allows(now)
        self.records.append(Record(now, lane, served))
        if served:
            self.clock.at(now + self._network.answer(), lambda: self._answer(lane, sent_at))
        else:
            wait = self.retry_after(self.server.free_in(now), now)
            back = now + self._network.refusal()
            self.clock.at(back, lambda: self._refuse(lane, sent_at, wait))

    def _answer(self, lane: Lane, sent_at: float) -> None:
        self._concurrent -= 1
        self.scheduler.answered(lane, self.clock.now, sent_at=sent_at)
        self._dispatch()

    def _refuse(self, lane: Lane, sent_at: float, wait: float | None) -> None:
        self._concurrent -= 1
        self._queued += 1
        self.scheduler.refused(lane, self.clock.now, wait, sent_at=sent_at)
        self._dispatch()
