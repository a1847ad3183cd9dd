"""A session that runs tasks on a server which caps the images in flight, in simulated time."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Collection

from attrs import define, field

from benchmarks.limits.servers import RetryAfter, Server, silent
from benchmarks.limits.simulation import Clock, Network, Record
from foxapi_async.limits.rate_scheduler import Lane, RateScheduler

_POLL_INTERVAL = 3.0
"""Seconds between two polls of one task."""


@define
class Task:
    """A task on the server; the session does not know when it ends."""

    images: int
    ends_at: float


@define
class TaskRun:
    """An endless supply of submissions, at most ``outputs`` images at once.

    Args:
        cap: Images in flight that the server accepts.
        scheduler: The rate scheduler under test.
        knows_cap: Whether the session knows the cap, which gives the best possible result.
        server: A rate limit in addition to the cap.
        limited: The lanes that the server limits.
    """

    cap: int
    scheduler: RateScheduler
    seed: int = 0
    knows_cap: bool = False
    retry_after: RetryAfter = silent
    images: int = 1
    outputs: int = 64
    server: Server | None = None
    limited: Collection[Lane] = (Lane.SUBMIT, Lane.POLL)
    shortest: float = 5.0
    longest: float = 45.0
    clock: Clock = field(factory=Clock)
    records: list[Record] = field(factory=list[Record])
    finished: list[float] = field(factory=list[float])
    _running: list[Task] = field(factory=list[Task])
    _due: deque[Task] = field(factory=deque[Task])
    _occupied: int = 0
    _accepted: int = 0
    _next_wake: float = math.inf
    _network: Network = field(init=False)
    _rng: random.Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._network = Network(random.Random(self.seed + 1))
        self.clock.at(0.0, self._dispatch)

    def run(self, until: float) -> None:
        self.clock.run(until)

    def _dispatch(self) -> None:
        if self.clock.now >= self._next_wake:
            self._next_wake = math.inf
        while (wait := min(self._submit(), self._poll())) == 0.0:
            pass
        moment = self.clock.now + wait
        if moment < self._next_wake:
            self._next_wake = moment + self._network.lateness()
            self.clock.at(self._next_wake, self._dispatch)

    def _submit(self) -> float:
        """Send a submission if allowed, and return the seconds until the next may be sent."""
        now = self.clock.now
        most = min(self.cap, self.outputs) if self.knows_cap else self.outputs
        if self._occupied + self.images > most:
            return math.inf
        room = self.scheduler.room_delay(self.images, self._occupied, now)
        wait = max(room, self.scheduler.delay(Lane.SUBMIT, now))
        if wait == 0.0:
            self._occupied += self.images
            self.scheduler.sent(Lane.SUBMIT, now)
            self.clock.at(now + self._network.trip(), lambda: self._arrive(Lane.SUBMIT, now, None))
        return wait

    def _poll(self) -> float:
        now = self.clock.now
        if not self._due:
            return math.inf
        wait = self.scheduler.delay(Lane.POLL, now)
        if wait == 0.0:
            task = self._due.popleft()
            self.scheduler.sent(Lane.POLL, now)
            self.clock.at(now + self._network.trip(), lambda: self._arrive(Lane.POLL, now, task))
        return wait

    def _arrive(self, lane: Lane, sent_at: float, task: Task | None) -> None:
        now = self.clock.now
        served = self.server is None or lane not in self.limited or self.server.allows(now)
        wait = 0.0 if self.server is None or served else self.server.free_in(now)
        if served and lane is Lane.SUBMIT:
            self._running = [each for each in self._running if each.ends_at > now]
            served = sum(each.images for each in self._running) + self.images <= self.cap
            wait = 1.0
        self.records.append(Record(now, lane, served))
        if not served:
            asked = self.retry_after(wait, now)
            back = now + self._network.refusal()
            self.clock.at(back, lambda: self._refused(lane, sent_at, asked, task))
            return
        ended = task is not None and task.ends_at <= now
        if task is None:
            task = Task(self.images, now + self._rng.uniform(self.shortest, self.longest))
            self._running.append(task)
        back = now + self._network.answer()
        answered = task
        self.clock.at(back, lambda: self._answered(lane, sent_at, answered, ended=ended))

    def _refused(self, lane: Lane, sent_at: float, asked: float | None, task: Task | None) -> None:
        if task is None:
            self._occupied -= self.images
        else:
            self._due.appendleft(task)
        self.scheduler.refused(
            lane, self.clock.now, asked, sent_at=sent_at, in_flight=self._accepted
        )
        self._dispatch()

    def _answered(self, lane: Lane, sent_at: float, task: Task, *, ended: bool) -> None:
        now = self.clock.now
        if lane is Lane.SUBMIT:
            self._accepted += task.images
        if ended:
            self._accepted -= task.images
            self._occupied -= task.images
            self.finished.append(now)
        else:
            self.clock.at(now + _POLL_INTERVAL, lambda: self._becomes_due(task))
        in_flight = self._accepted if lane is Lane.SUBMIT else None
        self.scheduler.answered(lane, now, sent_at=sent_at, in_flight=in_flight)
        self._dispatch()

    def _becomes_due(self, task: Task) -> None:
        self._due.append(task)
        self._dispatch()
