"""The state of the server: tasks, what was billed for them, and counters."""

from __future__ import annotations

import heapq
import math
import random
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from attrs import define, field, frozen

from foxapi_async.emulator.answers import JSON
from foxapi_async.emulator.task_lifecycle import Fate, Payload, Sentinel, Standing, standing

Clock = Callable[[], float]
_ALPHABET = string.ascii_lowercase + string.digits


@define(eq=False)
class Record:
    """The state of a task. Times are on the clock of the event loop."""

    id: str
    kind: str
    payload: Payload
    outputs: int
    credits: int
    created: float
    created_unix: int
    finish: float
    ends_as: str
    estimate: JSON | Sentinel
    fate: Fate
    polls: int = 0
    synced_polls: int = 0
    empty_polls: int = 0

    @property
    def model(self) -> str:
        """Return the requested model."""
        return str(self.payload.get("model"))

    def standing(self, now: float) -> Standing:
        """Return status and progress of the task."""
        return standing(self.created, self.finish, now, self.ends_as)


@frozen(eq=False)
class TaskView:
    """The state of a task, for tests. Times are seconds on the clock of the event loop."""

    _record: Record
    _clock: Clock

    @property
    def id(self) -> str:
        """Return the task's id."""
        return self._record.id

    @property
    def kind(self) -> str:
        """Return "image", "video", "audio" or "document"."""
        return self._record.kind

    @property
    def model(self) -> str:
        """Return the requested model."""
        return self._record.model

    @property
    def prompt(self) -> str:
        """Return the prompt, or an empty string."""
        return str(self._record.payload.get("prompt", ""))

    @property
    def payload(self) -> Payload:
        """Return the JSON object of the submission."""
        return MappingProxyType(dict(self._record.payload))

    @property
    def num_outputs(self) -> int:
        """Return the number of requested and billed outputs."""
        return self._record.outputs

    @property
    def credits_reserved(self) -> int:
        """Return the billed credits."""
        return self._record.credits

    @property
    def created_at(self) -> float:
        """Return when the task was created."""
        return self._record.created

    @property
    def finishes_at(self) -> float:
        """Return when the task ends or ended; `math.inf` if never."""
        return self._record.finish

    @property
    def status(self) -> str:
        """Return the true current status, whatever a script makes polls return."""
        return self._record.standing(self._clock()).status

    @property
    def polls(self) -> int:
        """Return how often the task was polled."""
        return self._record.polls

    @property
    def synced_polls(self) -> int:
        """Return how many of the polls had `sync_upstream`."""
        return self._record.synced_polls


@frozen
class Counters:
    """What the server has counted so far.

    `posts` are submissions that arrived, refused ones included; `tasks`, `images_billed` and
    `credits_reserved` are their results. `wrong_keys` are requests with a wrong key or none,
    `keys_leaked` downloads that came with a key. `answered` maps an HTTP status to how often it
    was answered; answers that were not sent (a reset, a hang) are in `unanswered`.
    """

    posts: int
    tasks: int
    images_billed: int
    credits_reserved: int
    polls: int
    polls_per_task: Mapping[str, int]
    images_in_flight: int
    max_images_in_flight: int
    wrong_keys: int
    keys_leaked: int
    uploads: int
    downloads: int
    requests: int
    answered: Mapping[int, int]
    unanswered: int

    @property
    def answered_429(self) -> int:
        """Return how many requests were answered 429."""
        return self.answered.get(429, 0)


@define(eq=False)
class RequestCounters:
    """Counters that are updated by each request."""

    posts: int = 0
    polls: int = 0
    wrong_keys: int = 0
    keys_leaked: int = 0
    uploads: int = 0
    downloads: int = 0
    requests: int = 0
    unanswered: int = 0
    answered: Counter[int] = field(factory=Counter[int])


@define(eq=False)
class Ledger:
    """Creates and bills tasks, and counts the images in flight."""

    _rng: random.Random
    tasks: dict[str, Record] = field(factory=dict[str, Record])
    counted: RequestCounters = field(factory=RequestCounters)
    images_billed: int = 0
    credits_reserved: int = 0
    max_in_flight: int = 0
    _in_flight: int = 0
    _ends: list[tuple[float, int]] = field(factory=list[tuple[float, int]])

    def in_flight(self, now: float) -> int:
        """Return how many images have been submitted and not ended by `now`."""
        while self._ends and self._ends[0][0] <= now:
            self._in_flight -= heapq.heappop(self._ends)[1]
        return self._in_flight

    def next_end(self, now: float) -> float:
        """Return when the next task ends; `math.inf` if none will."""
        self.in_flight(now)
        return self._ends[0][0] if self._ends else math.inf

    def new_id(self, unix: int) -> str:
        """Return a new task id in the format of the service."""
        while True:
            task_id = f"task-unified-{unix}-{''.join(self._rng.choices(_ALPHABET, k=8))}"
            if task_id not in self.tasks:
                return task_id

    def enter(self, record: Record) -> None:
        """Create and bill a task."""
        self.tasks[record.id] = record
        self.images_billed += record.outputs
        self.credits_reserved += record.credits
        in_flight = self.in_flight(record.created)
        if record.finish > record.created:
            heapq.heappush(self._ends, (record.finish, record.outputs))
            self._in_flight = in_flight + record.outputs
            self.max_in_flight = max(self.max_in_flight, self._in_flight)

    def counters(self, now: float) -> Counters:
        """Take a snapshot of all counters."""
        counted = self.counted
        return Counters(
            posts=counted.posts,
            tasks=len(self.tasks),
            images_billed=self.images_billed,
            credits_reserved=self.credits_reserved,
            polls=counted.polls,
            polls_per_task={record.id: record.polls for record in self.tasks.values()},
            images_in_flight=self.in_flight(now),
            max_images_in_flight=self.max_in_flight,
            wrong_keys=counted.wrong_keys,
            keys_leaked=counted.keys_leaked,
            uploads=counted.uploads,
            downloads=counted.downloads,
            requests=counted.requests,
            answered=dict(counted.answered),
            unanswered=counted.unanswered,
        )


@frozen(eq=False)
class TaskViews(Mapping[str, TaskView]):
    """All tasks by id, in the order of their creation."""

    _records: Mapping[str, Record]
    _clock: Clock

    def __getitem__(self, task_id: str) -> TaskView:
        return TaskView(self._records[task_id], self._clock)

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)
