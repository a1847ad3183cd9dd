"""What a job still costs: each request beside what the journal knows of it."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import attrs

from foxapi_async.bulk.problem import Problem
from foxapi_async.bulk.shelf import is_there
from foxapi_async.journal import Entry, Journal, JournalStatus
from foxapi_async.journal.entry import difference
from foxapi_async.requests import Request

__all__ = ["STEPS", "Plan", "Step", "in_batches", "plan_of", "step_for"]

T = TypeVar("T")

_BATCH: Final = 200
"""Lines that are looked up in the journal at once."""

_KEPT: Final = 1000
"""Conflicts that are kept; the others are only counted."""


class Step(enum.Enum):
    """What is to be done for a request, by what the journal knows of its key."""

    SUBMIT = "submit"
    """Nothing was billed: it is submitted."""
    PICK_UP = "pick up"
    """Its task is under way, or somebody is submitting it right now: it is waited for."""
    FETCH = "fetch"
    """Its task is completed; the files are fetched."""
    CHECK = "check"
    """Its files were saved: those that are missing or damaged are fetched again."""
    FAILED = "failed"
    """Its task failed and may have been billed; only a person can want another."""
    UNKNOWN = "unknown"
    """It may have been billed; only a person can decide."""


STEPS: Final[Mapping[JournalStatus, Step]] = {
    JournalStatus.PLANNED: Step.SUBMIT,
    JournalStatus.SENDING: Step.PICK_UP,
    JournalStatus.ACCEPTED: Step.PICK_UP,
    JournalStatus.COMPLETED: Step.FETCH,
    JournalStatus.FAILED: Step.FAILED,
    JournalStatus.SAVED: Step.CHECK,
    JournalStatus.REJECTED: Step.SUBMIT,
    JournalStatus.UNKNOWN: Step.UNKNOWN,
}
"""The step for each status of an entry; without an entry it is to submit."""


def step_for(entry: Entry | None) -> Step:
    """Return what is to be done for a request with such an entry."""
    return Step.SUBMIT if entry is None else STEPS[entry.status]


@attrs.frozen(kw_only=True)
class Plan:
    """What running a job would do now.

    ``requests`` and ``outputs`` count all lines; each of the others counts the requests of a kind and
    ends in ``_outputs`` for their images. Only what is in ``submit`` costs money.
    """

    requests: int
    outputs: int
    submit: int
    submit_outputs: int
    done: int
    """Saved, and the files are there."""
    done_outputs: int
    fetch: int
    """Paid for and completed; the files are fetched, without being billed again."""
    fetch_outputs: int
    in_flight: int
    """Paid for and under way; they are picked up."""
    in_flight_outputs: int
    failed: int
    failed_outputs: int
    unknown: int
    """Perhaps paid for; nobody knows the task."""
    unknown_outputs: int
    conflicts: tuple[Problem, ...] = ()
    """Keys that stand for another request in the journal, by line."""
    more_conflicts: int = 0

    def to_submit(self, *, retry_failed: bool = False, retry_unknown: bool = False) -> int:
        """Return how many requests would be submitted with these decisions."""
        return self.submit + self.failed * retry_failed + self.unknown * retry_unknown

    def outputs_to_submit(self, *, retry_failed: bool = False, retry_unknown: bool = False) -> int:
        """Return how many images would be billed with these decisions."""
        return (
            self.submit_outputs
            + self.failed_outputs * retry_failed
            + self.unknown_outputs * retry_unknown
        )


def plan_of(
    asked: Iterable[tuple[int, str, Request]], journal: Journal | None, directory: Path | None
) -> Plan:
    """Count what is to be done for requests, each with its line and key, in bounded memory.

    Raises:
        ConfigurationError: The journal cannot be read.
    """
    requests: Counter[str] = Counter()
    outputs: Counter[str] = Counter()
    conflicts: list[Problem] = []
    more = 0
    for some in in_batches(asked, _BATCH):
        found = {} if journal is None else journal.find(key for _, key, _ in some)
        for number, key, request in some:
            entry = found.get(key)
            name = _name(entry, directory)
            requests[name] += 1
            outputs[name] += request.num_outputs
            if (conflict := _conflict(number, entry, request)) is not None:
                if len(conflicts) < _KEPT:
                    conflicts.append(conflict)
                else:
                    more += 1
    return Plan(
        requests=requests.total(),
        outputs=outputs.total(),
        **{name: requests[name] for name in _NAMES.values()},
        **{f"{name}_outputs": outputs[name] for name in _NAMES.values()},
        conflicts=tuple(conflicts),
        more_conflicts=more,
    )


_NAMES: Final[Mapping[Step, str]] = {
    Step.SUBMIT: "submit",
    Step.PICK_UP: "in_flight",
    Step.FETCH: "fetch",
    Step.CHECK: "done",
    Step.FAILED: "failed",
    Step.UNKNOWN: "unknown",
}


def _name(entry: Entry | None, directory: Path | None) -> str:
    step = step_for(entry)
    if entry is None or step is not Step.CHECK or directory is None:
        return _NAMES[step]
    # By size alone: a plan is made often, and the run looks at every byte.
    there = all(is_there(directory, file) for file in entry.files)
    return _NAMES[step if there else Step.FETCH]


def _conflict(number: int, entry: Entry | None, request: Request) -> Problem | None:
    if entry is None or step_for(entry) is Step.SUBMIT:  # nothing was billed: the line was mended
        return None
    different = difference(entry.path, entry.payload, request.path, request.payload())
    if not different:
        return None
    return Problem(
        number,
        "key",
        f"the key {entry.key!r} stands for another request in the journal ({entry.status}): "
        f"{different}; use another key",
    )


def in_batches(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    """Yield items in lists of at most so many."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
