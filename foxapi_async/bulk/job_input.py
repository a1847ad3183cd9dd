"""The input of a run: the requests that the session must carry out; others are reported at once."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import attrs
from anyio.streams.memory import MemoryObjectSendStream

from foxapi_async import Request
from foxapi_async._concurrency import run_in_thread
from foxapi_async.bulk.input.input_uploads import InputUploads
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.job import Job
from foxapi_async.bulk.journal_query import ask
from foxapi_async.bulk.money.credit_gate import CreditGate
from foxapi_async.bulk.paid_before import PaidBefore
from foxapi_async.bulk.plan import Step, step_for
from foxapi_async.bulk.results.results_file import Result, ResultsFile, ResultStatus
from foxapi_async.bulk.results.saved_files import files_of, is_intact
from foxapi_async.files.pace import run_with_descriptors
from foxapi_async.journal.entry import Entry, JournalStatus, SavedFile
from foxapi_async.journal.protocol import SessionJournal

if TYPE_CHECKING:
    from foxapi_async.bulk.store.job_store import JobStore

_BATCH: Final = 64
"""Lines that are looked up at once: they share a query, and a run that is stopped stops soon."""


@attrs.frozen
class _Submission:
    """A line to submit. ``forget`` is an unbilled entry to remove, ``resubmit`` one to submit again.

    Without ``bills`` it has a task already.
    """

    line: JobLine
    forget: Entry | None = None
    resubmit: Entry | None = None
    bills: bool = True


@attrs.frozen
class _Unchecked:
    """A line with files in an object store, which have not been checked yet."""

    line: JobLine
    entry: Entry
    files: tuple[SavedFile, ...]


_Decided = Result | _Submission
_Step = _Decided | _Unchecked


@attrs.define(eq=False, repr=False)
class JobInput(AsyncIterator[tuple[str, Request]]):
    """Yields keys and requests for `Session.map`.

    Results that need nothing from the server go to ``known``. ``retry`` says whether requests are
    submitted again at `Step.FAILED` and at `Step.UNKNOWN`. Requests that were rejected in an earlier
    run come last: if the reason still holds, it must not stop the run before the others. This is not
    an async generator, because those cannot be closed while they run, and a cancelled reader leaves a
    thread at work.
    """

    _job: Job
    _journal: SessionJournal
    _results: ResultsFile
    _directory: Path
    _known: MemoryObjectSendStream[Result]
    uploads: InputUploads
    _retry: Mapping[Step, bool] = attrs.field(alias="retry")
    gate: CreditGate | None = None
    """Holds back what is billed; None without a budget of credits."""
    forgets: bool = attrs.field(default=False, init=False)
    """Whether entries to be submitted again are removed: another process submits them."""
    _store: JobStore | None = attrs.field(default=None, alias="store")
    pending: dict[str, JobLine] = attrs.field(factory=dict[str, JobLine], init=False)
    """The lines that were yielded, by key; the reader removes those that it has reported."""
    _batch: deque[_Decided] = attrs.field(factory=deque["_Decided"], init=False)
    _lines: Generator[JobLine, None, None] = attrs.field(init=False)
    # The numbers of the lines that were put off, in ascending order; None once they are read again.
    _put_off: array[int] | None = attrs.field(factory=lambda: array("Q"), init=False)
    _lock: anyio.Lock = attrs.field(factory=anyio.Lock, init=False)
    _closed: bool = attrs.field(default=False, init=False)
    _read: list[JobLine] = attrs.field(factory=list[JobLine], init=False)

    def __attrs_post_init__(self) -> None:
        self._lines = self._job.lines()

    async def __anext__(self) -> tuple[str, Request]:
        async with self._lock:
            while True:
                if not self._batch and not self._closed:
                    self._batch.extend(await self._checked(await self._next_batch()))
                if not self._batch:
                    raise StopAsyncIteration
                match self._batch.popleft():
                    case Result() as result:
                        await self._known.send(result)
                    case _Submission(line, forget, resubmit) as submission:
                        self.pending[line.key] = line
                        if not await self._is_admitted(submission):
                            raise StopAsyncIteration
                        if self.forgets:
                            forget = forget or resubmit
                        if forget is not None:
                            # Not if somebody else has decided on the key since.
                            forget_it = partial(self._journal.forget, line.key, only=forget)
                            await ask(self._journal, forget_it)
                        if resubmit is not None and not self.forgets:
                            self._journal.resubmit(resubmit)
                        return line.key, self.uploads.prepared(line.request)

    async def _is_admitted(self, submission: _Submission) -> bool:
        line = submission.line
        if (
            self.gate is None
            or not submission.bills
            or await self.gate.admit(line.key, line.request)
        ):
            return True
        self._closed = True
        self._batch.clear()
        return False

    async def aclose(self) -> None:
        """Close the job file as soon as no thread reads it."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                self._closed = True
                self._batch.clear()
                await run_in_thread(self._lines.close)

    async def _checked(self, batch: list[_Step]) -> list[_Decided]:
        """Replace what is to be checked in the store by what follows from that."""
        files = [f for step in batch if isinstance(step, _Unchecked) for f in step.files]
        intact = iter([] if self._store is None else await self._store.intact(files))
        checked: list[_Decided] = []
        for step in batch:
            if not isinstance(step, _Unchecked):
                checked.append(step)
            elif all(list(islice(intact, len(step.files)))):
                checked.append(_known(step.line, step.entry, "completed", files=step.files))
            else:
                checked.append(_Submission(step.line, bills=False))
        return checked

    async def _next_batch(self) -> list[_Step]:
        while lines := await run_with_descriptors(self._next_lines):
            found = await self._journal.lookup(line.key for line in lines)
            if batch := await ask(self._journal, partial(self._decide_all, lines, found)):
                return batch
        return []

    def _next_lines(self) -> list[JobLine]:
        # Kept until they are decided, for another attempt.
        lines = self._read = self._read or list(islice(self._lines, _BATCH))
        if not lines and self._put_off:
            self._lines, self._put_off = self._read_again(self._put_off), None
            lines = self._read = list(islice(self._lines, _BATCH))
        return lines

    def _decide_all(self, lines: Sequence[JobLine], found: Mapping[str, Entry]) -> list[_Step]:
        decided = [(line, self._decide(line, found.get(line.key))) for line in lines]
        self._read = []
        if self._put_off is not None:
            self._put_off.extend(line.number for line, step in decided if step is None)
        return [step for _, step in decided if step is not None]

    def _read_again(self, numbers: Iterable[int]) -> Generator[JobLine, None, None]:
        """Yield the lines of these numbers, which ascend."""
        following = iter(numbers)
        number = next(following, None)
        with closing(self._job.lines()) as lines:
            for line in lines:
                if line.number == number:
                    yield line
                    number = next(following, None)

    def _decide(self, line: JobLine, entry: Entry | None) -> _Step | None:
        step = step_for(entry)
        if entry is None:
            PaidBefore(self._results, self._journal).check(line)
            return _Submission(line)
        if line.request.path != entry.path or line.request.payload() != entry.payload:
            # If nothing was billed, the line was corrected. Otherwise the journal refuses the key.
            return _Submission(line, forget=entry if step is Step.SUBMIT else None)
        if entry.status is JournalStatus.REJECTED and self._put_off is not None:
            return None
        if step in self._retry:
            return _Submission(line, resubmit=entry) if self._retry[step] else _ended(line, entry)
        # Without files its outputs are data, which only the server has.
        files = files_of(entry) if step is Step.CHECK else ()
        saved = self._saved(line, entry, files) if files else None
        return saved or _Submission(line, bills=step is Step.SUBMIT)

    def _saved(
        self, line: JobLine, entry: Entry, files: tuple[SavedFile, ...]
    ) -> Result | _Unchecked | None:
        if self._store is not None:
            return _Unchecked(line, entry, files)
        if all(is_intact(self._directory, file) for file in files):
            return _known(line, entry, "completed", files=files)
        return None


def _ended(line: JobLine, entry: Entry) -> Result:
    detail = entry.error
    if step_for(entry) is Step.FAILED:
        error = f"task {entry.task_id} failed" + (f": {detail}" if detail else "")
        return _known(
            line, entry, "failed", error_code=entry.error_code or "unknown_error", error=error
        )
    error = (
        f"sent at {entry.updated:%Y-%m-%d %H:%M:%S} UTC; it may have been billed, but no task id was "
        f"received{f' ({detail})' if detail else ''}"
    )
    return _known(
        line,
        entry,
        "unknown",
        error_code="SubmissionUnknownError",
        error=error,
        response=entry.response,
    )


def _known(line: JobLine, entry: Entry, status: ResultStatus, **fields: Any) -> Result:
    return Result(
        line=line.number,
        key=line.key,
        status=status,
        request=line.request,
        own=line.own,
        task_id=entry.task_id,
        from_journal=True,
        **fields,
    )
