"""The lines of a job beside what the journal knows: what to ask of the server, what is known. Blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import attrs

from foxapi_async.bulk.job import Job, JobLine
from foxapi_async.bulk.plan import Step, step_for
from foxapi_async.bulk.result import Result
from foxapi_async.bulk.shelf import is_whole
from foxapi_async.errors import ConfigurationError
from foxapi_async.journal import Entry, Journal

__all__ = ["Ask", "Feed", "Known"]

_BATCH: Final = 64
"""Lines that are looked up at once: many share a look, and a run is soon told to stop."""


@attrs.frozen
class Known:
    """A request that the journal knows all about."""

    result: Result


@attrs.frozen
class Ask:
    """A request that the session must carry out.

    ``forget`` is an entry of which nothing was billed and that is in its way; ``anew`` one that a
    person wants to be submitted once more.
    """

    line: JobLine
    forget: Entry | None = None
    anew: Entry | None = None


class Feed:
    """Goes through a job once; each method is called in one thread at a time."""

    def __init__(
        self,
        job: Job,
        journal: Journal,
        directory: Path,
        *,
        paid_before: Callable[[str], str | None],
        retry_failed: bool,
        retry_unknown: bool,
    ) -> None:
        self._lines: Iterator[JobLine] = job.lines()
        self._journal = journal
        self._directory = directory
        self._paid_before = paid_before
        self._again = {Step.FAILED: retry_failed, Step.UNKNOWN: retry_unknown}

    def next_batch(self) -> Sequence[Known | Ask]:
        """Return what is to be done for the next lines; empty at the end.

        Raises:
            JobFileError: The file was changed since it was checked.
            ConfigurationError: The journal cannot be read, or does not know what was paid for.
        """
        lines = list(islice(self._lines, _BATCH))
        if not lines:
            return ()
        found = self._journal.find(line.key for line in lines)
        return [self._judge(line, found.get(line.key)) for line in lines]

    def forget(self, entry: Entry) -> None:
        """Let go of a key, unless somebody has decided on it meanwhile."""
        self._journal.forget(entry.key, only=entry)

    def close(self) -> None:
        """Close the file."""
        close = getattr(self._lines, "close", None)
        if close is not None:
            close()

    def _judge(self, line: JobLine, entry: Entry | None) -> Known | Ask:
        step = step_for(entry)
        if entry is None:
            self._check_that_it_is_new(line)
            return Ask(line)
        if not _is_same(line, entry):
            # Nothing was billed: the line was mended. Else the journal refuses the key, in its words.
            return Ask(line, forget=entry if step is Step.SUBMIT else None)
        if step in self._again:
            return Ask(line, anew=entry) if self._again[step] else Known(_ended(line, entry))
        if step is Step.CHECK and self._is_whole(entry):
            return Known(Result.of_entry(line.number, line.request, entry, "completed", None))
        return Ask(line)

    def _check_that_it_is_new(self, line: JobLine) -> None:
        status = self._paid_before(line.key)
        if status is not None and not self._journal.was_forgotten(line.key):
            raise ConfigurationError(
                f"the results of an earlier run say that {line.key!r} (line {line.number}) is {status}, "
                f"but the journal {str(self._journal.path)!r} does not know it: to submit it would "
                "perhaps pay twice. Give the journal that belongs to these results, or another folder"
            )

    def _is_whole(self, entry: Entry) -> bool:
        # Without files its results are data, which only the server has.
        return bool(entry.files) and all(is_whole(self._directory, file) for file in entry.files)


def _is_same(line: JobLine, entry: Entry) -> bool:
    return line.request.path == entry.path and line.request.payload() == entry.payload


def _ended(line: JobLine, entry: Entry) -> Result:
    if step_for(entry) is Step.FAILED:
        code = entry.error_code or "unknown_error"
        error = f"task {entry.task_id} failed" + (f": {entry.error}" if entry.error else "")
        result = Result.of_entry(line.number, line.request, entry, "failed", error)
        return attrs.evolve(result, error_code=code)
    error = (
        f"it was sent at {entry.updated:%Y-%m-%d %H:%M:%S} UTC and may have been billed; no id came "
        f"back{f' ({entry.error})' if entry.error else ''}"
    )
    result = Result.of_entry(line.number, line.request, entry, "unknown", error)
    return attrs.evolve(result, error_code="SubmissionUnknownError")
