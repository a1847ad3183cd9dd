"""What a job still costs: compares each request with the journal and the files on disk. Blocking."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

import attrs

from foxapi_async.bulk.input.input_uploads import uploads_of
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.input.local_files import LocalFiles, stand_ins_of
from foxapi_async.bulk.input.profile_uses import ProfileUse, ProfileUses
from foxapi_async.bulk.money.model_counts import ModelCounts, ModelTally
from foxapi_async.bulk.paid_before import PaidBefore
from foxapi_async.bulk.results.results_file import RESULTS_NAME, ResultsFile, ResultStatus
from foxapi_async.bulk.results.saved_files import files_of, is_present
from foxapi_async.errors import Problem
from foxapi_async.journal.entry import Entry, JournalStatus, difference
from foxapi_async.journal.protocol import SessionJournal

_BATCH: Final = 200  # Lines that are looked up in the journal at once
_KEPT: Final = 1000  # Conflicts that are kept; the others are only counted


class Step(enum.Enum):
    """What is to be done for a request, by the status of its key; the name of a count of `Plan`."""

    SUBMIT = "submit"  # Nothing was billed: submit it
    PICK_UP = "in_flight"  # Under way, or another process is submitting it right now: wait for it
    FETCH = "fetch"  # Its task is completed: fetch the files
    CHECK = "done"  # Its files were saved: fetch those that are missing or damaged
    FAILED = "failed"  # Failed, perhaps billed; only a person can decide to submit it again
    UNKNOWN = "unknown"  # It may have been billed; only a person can decide


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


LEFT: Final[Mapping[JournalStatus, ResultStatus]] = {
    JournalStatus.SENDING: "unknown",
    JournalStatus.UNKNOWN: "unknown",
    JournalStatus.ACCEPTED: "unfinished",
    JournalStatus.COMPLETED: "unfinished",
    JournalStatus.SAVED: "unfinished",
    JournalStatus.FAILED: "failed",
}
"""The status of a request whose end the run did not wait for; any other was not submitted."""

_MAY_SUBMIT: Final = frozenset({Step.SUBMIT, Step.FAILED, Step.UNKNOWN})


def step_for(entry: Entry | None) -> Step:
    """Return what is to be done for a request with this entry in the journal."""
    return Step.SUBMIT if entry is None else STEPS[entry.status]


@attrs.frozen(kw_only=True)
class Plan:
    """What running a job would do now.

    ``requests`` and ``outputs`` are the totals. Each other number counts some of the requests; the one
    that ends in ``_outputs`` counts their images. Only ``submit`` costs money.
    """

    requests: int
    outputs: int
    submit: int
    submit_outputs: int
    done: int
    """Saved, and the files are there."""
    done_outputs: int
    fetch: int
    """Billed and completed; the files are fetched, which costs nothing."""
    fetch_outputs: int
    in_flight: int
    """Billed and under way; the run waits for them."""
    in_flight_outputs: int
    failed: int
    failed_outputs: int
    unknown: int
    """Perhaps billed; the id of the task is not known."""
    unknown_outputs: int
    conflicts: tuple[Problem, ...] = ()
    """Keys that belong to another request in the journal, by line."""
    more_conflicts: int = 0
    uploads: int = 0
    """Local files that are uploaded before the requests that need them; free."""
    upload_bytes: int = 0
    profiles: tuple[ProfileUse, ...] = ()
    """Profiles of requests to submit that are not known: perhaps their ids are misspelt."""
    models: tuple[ModelCounts, ...] = ()
    """What may be submitted, by model, requests in 4K apart; beyond the first 100 all are in one without a
    name."""

    def to_submit(self, *, retry_failed: bool = False, retry_unknown: bool = False) -> int:
        """Return how many requests would be submitted with these options."""
        return self.submit + self.failed * retry_failed + self.unknown * retry_unknown

    def outputs_to_submit(self, *, retry_failed: bool = False, retry_unknown: bool = False) -> int:
        """Return how many images would be billed with these options."""
        failed, unknown = self.failed_outputs, self.unknown_outputs
        return self.submit_outputs + failed * retry_failed + unknown * retry_unknown


def plan_of(
    lines: Iterable[JobLine],
    journal: SessionJournal | None,
    directory: Path | None,
    files: LocalFiles | None = None,
    profiles: Collection[str] = (),
    *,
    trusts_journal: bool = False,
) -> Plan:
    """Return the plan of the lines of a job with these local files, in bounded memory.

    ``profiles`` are known beside those that the journal has used. ``trusts_journal`` counts what it
    knows as saved as done: the directory has the records of the job, and not its pictures.

    Raises:
        ConfigurationError: The results in the directory show requests as paid that the journal does not
            know: a run would refuse to pay for them again.
    """
    with ExitStack() as stack:
        paid = (
            None if journal is None or directory is None else _PaidCheck(directory, journal, stack)
        )
        pictures = None if trusts_journal else directory
        return _plan_of(
            lines, journal, pictures, files=files, uses=ProfileUses(profiles), paid=paid
        )


@attrs.define
class _PaidCheck:
    """Reads the results at the first request that the journal does not know: that takes a while."""

    _directory: Path
    _journal: SessionJournal
    _stack: ExitStack
    _paid: PaidBefore | None = None
    _is_needed: bool | None = None

    def check(self, line: JobLine) -> None:
        if self._is_needed is None:
            self._is_needed = self._open()
        if self._is_needed and self._paid is not None:
            self._paid.check(line)

    def _open(self) -> bool:
        path = self._directory / RESULTS_NAME
        if not path.exists():
            return False
        results = ResultsFile(path)
        self._stack.callback(results.close)
        self._paid = PaidBefore(results, self._journal)
        self._paid.check_journal()
        return results.count_paid() > 0


def _plan_of(
    lines: Iterable[JobLine],
    journal: SessionJournal | None,
    directory: Path | None,
    *,
    files: LocalFiles | None,
    uses: ProfileUses,
    paid: _PaidCheck | None,
) -> Plan:
    counter = PlanCounter(uses)
    if files is not None:
        files.forget_wanted()
    rest = iter(lines)
    while batch := list(islice(rest, _BATCH)):
        found = {} if journal is None else journal.find(line.key for line in batch)
        for line in batch:
            entry = found.get(line.key)
            if entry is None and paid is not None:
                paid.check(line)
            step = _step_with_files(entry, directory)
            counter.add(line, entry, step)
            if step is Step.SUBMIT and files is not None:
                files.count_wanted(stand_ins_of(line.request.payload()))
    uploads, upload_bytes = (0, 0) if files is None else uploads_of(files, journal)
    plan = counter.plan(journal)
    return attrs.evolve(plan, uploads=uploads, upload_bytes=upload_bytes)


class PlanCounter:
    """Counts the requests of a job for a `Plan`, in bounded memory."""

    def __init__(self, uses: ProfileUses) -> None:
        self.uses: Final = uses
        self._requests: Counter[Step] = Counter()
        self._outputs: Counter[Step] = Counter()
        self._models = ModelTally()
        self._conflicts: list[Problem] = []
        self._more = 0

    def add(self, line: JobLine, entry: Entry | None = None, step: Step = Step.SUBMIT) -> None:
        """Count a request with its entry in the journal, and what is to be done for it."""
        outputs = line.request.num_outputs
        self._requests[step] += 1
        self._outputs[step] += outputs
        if step is Step.SUBMIT:
            self.uses.add(line.number, line.request.payload())
        if step in _MAY_SUBMIT:
            self._models.add(line.request, step.value)
        if (conflict := _conflict(line, entry)) is not None:
            if len(self._conflicts) < _KEPT:
                self._conflicts.append(conflict)
            else:
                self._more += 1

    def plan(self, journal: SessionJournal | None = None) -> Plan:
        """Return the plan of the requests that were counted, without uploads."""
        return Plan(
            requests=self._requests.total(),
            outputs=self._outputs.total(),
            **{step.value: self._requests[step] for step in Step},
            **{f"{step.value}_outputs": self._outputs[step] for step in Step},
            conflicts=tuple(self._conflicts),
            more_conflicts=self._more,
            profiles=self.uses.unknown(journal),
            models=self._models.counts(),
        )


def _step_with_files(entry: Entry | None, directory: Path | None) -> Step:
    step = step_for(entry)
    if entry is None or step is not Step.CHECK or directory is None:
        return step
    # By size alone, because plans are frequent; the run compares every byte.
    return step if all(is_present(directory, file) for file in files_of(entry)) else Step.FETCH


def _conflict(line: JobLine, entry: Entry | None) -> Problem | None:
    if entry is None or step_for(entry) is Step.SUBMIT:  # nothing was billed, so it may change
        return None
    request = line.request
    different = difference(entry.path, entry.payload, request.path, request.payload())
    if not different:
        return None
    text = f"the key {entry.key!r} belongs to another request in the journal ({entry.status})"
    return Problem(line.number, "key", f"{text}: {different}; use another key")
