"""The table of results: one row per request of the jobs of a folder, in bounded memory. Blocking.

Rows go to a temporary file first, because the columns are only known when every row has been seen.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import IO, Final

import attrs

from foxapi_async import ConfigurationError, InvalidRequestError, JobFileError, Journal
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.job import Job
from foxapi_async.bulk.record.run_log import JOURNAL_NAME, RunLog, RunRecord
from foxapi_async.bulk.results.results_file import RESULTS_NAME, ResultsFile
from foxapi_async.bulk.store.records_folder import records_folder
from foxapi_async.bulk.table.table_formats import (
    FORMATS,
    Columns,
    TableFormat,
    check_format,
    write_rows,
)
from foxapi_async.bulk.table.table_row import TableRow
from foxapi_async.bulk.temporary_index import index_error, key_digest, temporary_database
from foxapi_async.errors import FoxAPIError
from foxapi_async.files.filenames import is_written_by_jobs
from foxapi_async.files.object_path import destination
from foxapi_async.files.replacing import replacing
from foxapi_async.journal.protocol import SessionJournal

TABLE_NAME: Final = "results.csv"
_NAMES: Final[Mapping[TableFormat, str]] = {
    "csv": TABLE_NAME,
    "jsonl": "results-table.jsonl",
    "parquet": "results.parquet",
}
_BATCH: Final = 200  # Lines that are looked up in the journal at once


@attrs.frozen(kw_only=True)
class TableReport:
    """A table that was written.

    ``rows`` are the requests of all jobs, ``statuses`` their number by status, ``images`` the files on disk,
    ``credits`` what the server has reserved for the tasks (None if no run has recorded any), as far as it
    is known: ``without_credits`` requests have a task whose credits no run has recorded. ``notes`` say which jobs could not be read: only their lines with results are in the table.
    """

    path: Path
    format: TableFormat
    rows: int
    statuses: Mapping[str, int]
    images: int
    credits: float | None
    jobs: tuple[str, ...]
    without_credits: int = 0
    notes: tuple[str, ...] = ()


def write_table(
    directory: str | os.PathLike[str],
    *,
    format: TableFormat = "csv",  # noqa: A002
    output: str | os.PathLike[str] | None = None,
    journal: SessionJournal | str | os.PathLike[str] | None = None,
) -> TableReport:
    """Write the table of results of a directory of jobs: one row per line, with its last status.

    Lines without a result are told from the job files and the read options that ``runs.jsonl`` names.
    Nothing is sent. A run writes ``results.csv`` itself.

    Args:
        directory: The directory of a job. For the URL of a job in an object store, its records of the
            default place are read.
        format: "csv", "jsonl", or "parquet" (with the extra).
        output: The table; None for ``results.csv``, ``results-table.jsonl`` or ``results.parquet`` in
            the directory. Paths of files are relative to its folder.
        journal: The journal; None for the one that the last run in the directory used.

    Raises:
        InvalidRequestError: The format is unknown, or ``output`` is a file that jobs write themselves.
        ConfigurationError: There are no results, the extra is missing, or a file cannot be read or
            written.
    """
    if format not in FORMATS:
        raise InvalidRequestError(
            f"format is {format!r}; it must be one of {', '.join(FORMATS)}",
            field="format",
            value=format,
        )
    check_format(format)
    folder = records_folder(destination(directory))
    target = folder / _NAMES[format] if output is None else Path(output)
    if is_written_by_jobs(target.name) and target.name not in _NAMES.values():
        raise InvalidRequestError(
            f"{target} has the name of a file that jobs write themselves; choose another",
            field="output",
            value=str(target),
        )
    jobs, notes = read_jobs(folder)
    used = _journal_of(folder) if journal is None else journal
    opened = _opened(used) if isinstance(used, str | os.PathLike) else used
    has_results = (folder / RESULTS_NAME).is_file()
    if not has_results and not opened.count():
        raise ConfigurationError(
            f"there are no results in {folder}: no {RESULTS_NAME}, and nothing in the journal "
            f"{opened.address!r}"
        )
    if not has_results:
        return TableWriter(folder, None, opened, jobs, notes).write(target, format)
    with closing(ResultsFile(folder / RESULTS_NAME)) as results:
        return TableWriter(folder, results, opened, jobs, notes).write(target, format)


def write_job_table(
    directory: Path,
    results: ResultsFile,
    journal: SessionJournal,
    job: Job,
    *,
    is_cancelled: Callable[[], bool],
) -> TableReport | None:
    """Write ``results.csv`` at the end of a run of a job; None if it was cancelled.

    Raises:
        ConfigurationError: A file cannot be read or written.
    """
    others, notes = read_jobs(directory, but=job.path)
    writer = TableWriter(
        directory, results, journal, [job.whole, *others], notes, is_cancelled=is_cancelled
    )
    try:
        return writer.write(directory / TABLE_NAME)
    except TableCancelledError:
        return None


def read_jobs(directory: Path, *, but: Path | None = None) -> tuple[list[Job], list[str]]:
    """Return the jobs of the runs of a directory, and why others cannot be read; ``but`` is left out.

    The job that was run last comes first.
    """
    latest: dict[Path, RunRecord] = {}
    for record in reversed(RunLog(directory).runs()):
        latest.setdefault(record.job.absolute(), record)
    jobs: list[Job] = []
    notes: list[str] = []
    for path, record in latest.items():
        if but is not None and path == but.absolute():
            continue
        try:
            jobs.append(Job.read(record.job, **record.read))
        except (FoxAPIError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            notes.append(f"{path.name}: only lines with results are listed ({reason})")
    return jobs, notes


def _journal_of(directory: Path) -> Path | str:
    last = RunLog(directory).last()
    return directory / JOURNAL_NAME if last is None or last.journal is None else last.journal


def _opened(address: str | os.PathLike[str]) -> SessionJournal:
    from foxapi_async.journal.address import journal_at  # noqa: PLC0415 - for an address only

    return journal_at(address)


class TableCancelledError(Exception):
    """The table is not wanted any more."""


class TableWriter:
    """Collects the rows of the jobs of a directory and writes them to a table."""

    def __init__(
        self,
        directory: Path,
        results: ResultsFile | None,
        journal: SessionJournal,
        jobs: Sequence[Job],
        notes: Iterable[str] = (),
        *,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._directory = directory
        self._results = results
        self._journal = journal
        self._jobs = jobs
        self._notes = list(notes)
        self._is_cancelled = is_cancelled
        self._columns = Columns()
        self._names: dict[str, None] = {}
        self._statuses: Counter[str] = Counter()
        self._images = 0
        self._credits: float | None = None
        self._without_credits = 0

    def write(self, path: Path, form: TableFormat = "csv") -> TableReport:
        """Write the table.

        Raises:
            ConfigurationError: A file cannot be read or written.
            TableCancelledError: ``is_cancelled`` has become true.
        """
        prefix = _relative(self._directory, path.parent)
        try:
            with tempfile.TemporaryFile() as spool:
                self._collect(spool, prefix)
                self._columns.has_jobs = len(self._names) > 1
                spool.seek(0)
                with replacing(path) as file:
                    write_rows(form, file, self._columns, map(json.loads, spool))
        except (OSError, ValueError) as error:  # ValueError: the path cannot be encoded
            raise ConfigurationError(
                f"the table {path} cannot be written: {getattr(error, 'strerror', None) or error}"
            ) from error
        return TableReport(
            path=path,
            format=form,
            rows=self._statuses.total(),
            statuses=dict(self._statuses),
            images=self._images,
            credits=self._credits,
            jobs=tuple(self._names),
            without_credits=self._without_credits,
            notes=tuple(self._notes),
        )

    def _collect(self, spool: IO[bytes], prefix: str) -> None:
        for row in self._rows():
            self._columns.add(row.own)
            self._statuses[row.status] += 1
            self._images += row.images
            if row.credits is not None:
                self._credits = (self._credits or 0) + row.credits
            elif row.task_id is not None:
                self._without_credits += 1
            if row.job is not None and len(self._names) < _BATCH:
                self._names[row.job] = None
            cells = row.cells()
            cells["files"] = [prefix + file for file in row.files]
            spool.write(json.dumps(cells).encode() + b"\n")

    def _rows(self) -> Iterator[TableRow]:
        with closing(_Seen()) as seen:
            for job in self._jobs:
                yield from self._rows_of(job, seen)
            yield from self._rows_without_line(seen)
            if self._is_all_of_folder():
                for entry in self._journal.stream():
                    if seen.add(entry.key):
                        yield TableRow.of(entry.key, job=None, line=None, told=None, entry=entry)

    def _rows_of(self, job: Job, seen: _Seen) -> Iterator[TableRow]:
        with closing(job.lines()) as lines:
            while batch := self._next(lines, job):
                found = self._journal.find(line.key for line in batch)
                for line in batch:
                    # Several jobs may have a request; it is billed once, and so it is counted once.
                    if not seen.add(line.key):
                        continue
                    yield TableRow.of(
                        line.key,
                        job=job.path.name,
                        line=line,
                        told=None if self._results is None else self._results.find(line.key),
                        entry=found.get(line.key),
                    )

    def _next(self, lines: Iterator[JobLine], job: Job) -> list[JobLine]:
        if self._is_cancelled():
            raise TableCancelledError
        try:
            return list(islice(lines, _BATCH))
        except JobFileError as error:
            self._notes.append(f"{job.path.name}: only lines with results are listed ({error})")
            return []

    def _rows_without_line(self, seen: _Seen) -> Iterator[TableRow]:
        """Yield the rows of requests that have a result and are in no job that can be read."""
        told = iter(()) if self._results is None else self._results.other_lines(seen.has)
        while batch := list(islice(told, _BATCH)):
            if self._is_cancelled():
                raise TableCancelledError
            found = self._journal.find(fields["key"] for fields in batch)
            for fields in batch:
                key = fields["key"]
                seen.add(key)
                yield TableRow.of(key, job=None, line=None, told=fields, entry=found.get(key))

    def _is_all_of_folder(self) -> bool:
        """Return whether the other entries of the journal are lines of a job that cannot be read."""
        is_own = self._journal.address == Journal(self._directory / JOURNAL_NAME).address
        return is_own and (bool(self._notes) or not self._jobs)


class _Seen:
    """The keys that have a row, in little memory."""

    def __init__(self) -> None:
        self._database = temporary_database(
            "CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID"
        )

    def add(self, key: str) -> bool:
        """Add a key and return whether it is new."""
        insert = "INSERT OR IGNORE INTO seen VALUES (?)"
        return bool(self._execute(insert, key_digest(key)).rowcount)

    def has(self, digest: bytes) -> bool:
        """Return whether a key with this digest has a row."""
        return self._execute("SELECT 1 FROM seen WHERE key = ?", digest).fetchone() is not None

    def _execute(self, statement: str, digest: bytes) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, (digest,))
        except sqlite3.Error as error:
            raise index_error(error) from error

    def close(self) -> None:
        """Remove the index."""
        self._database.close()


def _relative(directory: Path, folder: Path) -> str:
    """Return what leads from the folder of a table to the directory of the files: "", or with a slash."""
    target, start = directory.resolve(), folder.resolve()
    if target == start:
        return ""
    try:
        relative = os.path.relpath(target, start)
    except ValueError:  # another drive of Windows
        relative = str(target)
    return relative.replace(os.sep, "/").rstrip("/") + "/"
