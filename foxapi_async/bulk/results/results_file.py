"""What became of each request, and the file ``results.jsonl``: append-only, repaired after a crash. Blocking.

Several processes may append to it. Each line describes one request. The last line of a request counts,
and a line that would only repeat it is not written. An index of the last lines in a temporary database
keeps the memory small, however long the file is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args

import attrs

from foxapi_async import ConfigurationError, FoxAPIError, Request, Task, errors
from foxapi_async._typeguards import is_array, is_object
from foxapi_async.bulk.temporary_index import index_error, key_digest, temporary_database
from foxapi_async.journal.entry import SavedFile

if sys.platform != "win32":
    import fcntl

ResultStatus = Literal[
    "completed", "unsaved", "failed", "unfinished", "rejected", "unknown", "not_submitted"
]


@attrs.frozen(kw_only=True)
class Result:
    """What became of one request of a job.

    ============= ==================================================================================
    status        means
    ============= ==================================================================================
    completed     ``files`` are on disk; outputs that are not files are in ``data``
    unsaved       completed and billed, but files could not be saved; the next run tries again
    failed        the task failed or was cancelled; it is not submitted again by itself
    unfinished    accepted and billed, but the wait ended first; the next run continues it
    rejected      the server refused it; nothing was billed
    unknown       it may have been billed, and no task id was received
    not_submitted nothing was sent
    ============= ==================================================================================

    ``line`` counts from 1; paths of ``files`` are relative to the directory of the job. ``own`` are the columns of the line that are not sent. ``fetched`` is the
    number of files that this run downloaded; ``from_journal`` is True if nothing was requested from the
    server. ``error_code`` and ``error`` are None for "completed"; ``response`` is what the server said
    to an unknown request. ``seconds`` are from the submission to the end of the task, ``credits`` what
    the server reserved for it (``usage.credits_reserved``; FoxAPI does not document its unit); both are
    None if this run did not see them.
    """

    line: int
    key: str
    status: ResultStatus
    request: Request
    own: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    task_id: str | None = None
    seconds: float | None = None
    credits: float | None = None
    files: tuple[SavedFile, ...] = ()
    data: tuple[Mapping[str, Any], ...] = attrs.field(default=(), hash=False)
    error_code: str | None = None
    error: str | None = None
    response: str | None = None
    fetched: int = 0
    from_journal: bool = False

    @property
    def prompt(self) -> str | None:
        """The prompt, if the request has one."""
        prompt = self.request.payload().get("prompt")
        return prompt if isinstance(prompt, str) else None


def error_code_of(error: FoxAPIError | None, task: Task | None = None) -> str | None:
    """Return the server's code of an error, else the name of its class."""
    if error is None:
        return None
    code = None
    if isinstance(error, errors.TaskOutcomeError):
        task = error.task if task is None else task
        code = None if task is None or task.error is None else task.error.code
    elif isinstance(error, errors.APIStatusError):
        code = error.code
    return code or type(error).__name__


def credits_of(task: Task) -> float | None:
    """Return the credits that the server has reserved for a task, if it says so."""
    value = task.usage.get("credits_reserved")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


RESULTS_NAME: Final = "results.jsonl"

_STATUSES: Final = frozenset(get_args(ResultStatus))
_PAID: Final = ("completed", "unsaved", "unfinished", "failed", "unknown")
"""The statuses of requests that may have been billed."""


class ResultsFile:
    """The results of jobs, open for appending; the file is created if it does not exist.

    ``job`` is the name of the job whose results are appended.
    """

    def __init__(self, path: Path, job: str | None = None) -> None:
        self.path: Final = path
        self._job = job
        self.damaged: int = 0  # lines that cannot be read
        self._indexed = 0
        self._lock = threading.Lock()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        with ExitStack() as undo:
            try:
                self._file = os.open(path, flags, 0o666)
                undo.callback(os.close, self._file)
                self._index = temporary_database(
                    "CREATE TABLE last (key BLOB PRIMARY KEY, facts BLOB, line INTEGER, status TEXT,"
                    " files INTEGER, place INTEGER) WITHOUT ROWID"
                )
                undo.callback(self._index.close)
                with _locked(self._file):
                    self._update_index()
            except OSError as error:
                raise self._error(error) from error
            undo.pop_all()

    def close(self) -> None:
        """Write everything to disk and close the file."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._error(error) from error
        finally:
            os.close(self._file)
            self._index.close()

    def append(self, results: Sequence[Result]) -> int:
        """Write the results that are not known yet, without a partial line; return how many those are."""
        try:
            with self._lock, _locked(self._file):
                self._update_index()
                now = datetime.now(UTC).isoformat(timespec="seconds")
                new = [_fields_of(result) for result in results if self._is_new(result)]
                rest = {"at": now} if self._job is None else {"job": self._job, "at": now}
                text = "".join(f"{_encode(fields | rest)}\n" for fields in new)
                self._write(text.encode())
                self._update_index()
        except OSError as error:
            raise self._error(error) from error
        return len(new)

    def select(self, *statuses: str) -> Iterator[dict[str, Any]]:
        """Yield the last lines of the requests with one of these statuses, in the order of the job.

        A status that no `Result` has is "other". Nothing may be appended before the last is read.
        """
        marks = ", ".join("?" * len(statuses))
        places = self._index.execute(
            f"SELECT place FROM last WHERE status IN ({marks}) ORDER BY line, place",  # noqa: S608
            statuses,
        )
        for (place,) in places:
            if (fields := self._line_at(place)) is not None:
                yield fields

    def find(self, key: str) -> dict[str, Any] | None:
        """Return the last line of a request, None if there is none."""
        select = "SELECT place FROM last WHERE key = ?"
        row = self._index.execute(select, (key_digest(key),)).fetchone()
        return None if row is None else self._line_at(row[0])

    def other_lines(self, is_known: Callable[[bytes], bool]) -> Iterator[dict[str, Any]]:
        """Yield the last lines of requests by their numbers, but those whose key digest is known.

        Nothing may be appended before the last is read.
        """
        for key, place in self._index.execute("SELECT key, place FROM last ORDER BY line, place"):
            if not is_known(key) and (fields := self._line_at(place)) is not None:
                yield fields

    def counts(self) -> dict[str, int]:
        """Return the number of requests with each last status, of all jobs in the file."""
        rows = self._index.execute("SELECT status, count(*) FROM last GROUP BY status").fetchall()
        return {str(status): int(number) for status, number in rows}

    def outputs(self) -> int:
        """Return the number of files of the completed and unsaved requests, or 1 if completed without."""
        select = (
            "SELECT total(max(files, status = 'completed')) FROM last"
            " WHERE status IN ('completed', 'unsaved')"
        )
        return int(self._index.execute(select).fetchone()[0])

    def count_paid(self) -> int:
        """Return the number of requests that may have been billed by their last status."""
        return sum(number for status, number in self.counts().items() if status in _PAID)

    def paid_before(self, key: str) -> str | None:
        """Return the last status of a request if it may have been billed, else None."""
        with self._lock:
            _, status = self._last(key)
        return status if status in _PAID else None

    def _last(self, key: str) -> tuple[bytes | None, str | None]:
        select = "SELECT facts, status FROM last WHERE key = ?"
        return self._index.execute(select, (key_digest(key),)).fetchone() or (None, None)

    def _is_new(self, result: Result) -> bool:
        facts, status = self._last(result.key)
        # If the journal could not be written when the task was accepted, this file knows more.
        is_worse = status == "completed" and result.status == "unknown"
        return not is_worse and facts != _facts_digest(_fields_of(result))

    def _write(self, content: bytes) -> None:
        end = os.fstat(self._file).st_size
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, end)
            raise

    def _reader(self) -> BinaryIO:
        # Each reading has its own buffer, because other processes change the end of the file. Two
        # readers would share one position. No descriptor of its own, because none may be left.
        return os.fdopen(self._file, "rb", closefd=False)

    def _line_at(self, place: int) -> dict[str, Any] | None:
        with self._reader() as file:
            file.seek(place)
            line = file.readline()
        try:
            fields = json.loads(line)  # it was checked when it was indexed
        except ValueError:
            return None
        return fields if is_object(fields) and "key" in fields else None

    def _update_index(self) -> None:
        """Index the lines that any process has written since; repair the last if its process died."""
        if os.fstat(self._file).st_size < self._indexed:
            raise ConfigurationError(f"{self.path} was truncated during the run; run the job again")
        with self._reader() as file:
            file.seek(self._indexed)
            while line := file.readline():
                if not line.endswith(b"\n"):
                    if _parse(line) is None:
                        os.ftruncate(self._file, self._indexed)
                        return
                    os.write(self._file, b"\n")
                    line += b"\n"
                self._index_line(line, self._indexed)
                self._indexed += len(line)

    def _index_line(self, line: bytes, place: int) -> None:
        fields = _parse(line)
        if fields is None:
            self.damaged += bool(line.strip())
            return
        number, status, files = fields.get("line"), fields["status"], fields.get("files")
        row = (
            key_digest(fields["key"]),
            _facts_digest(fields),
            number if isinstance(number, int) and abs(number) < 2**62 else 0,
            status if status in _STATUSES else "other",
            len(files) if is_array(files) else 0,
            place,
        )
        try:
            self._index.execute("INSERT OR REPLACE INTO last VALUES (?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise index_error(error) from error

    def _error(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"{self.path} cannot be written: {error.strerror or error}")


def lasting(results: Sequence[Result]) -> list[Result]:
    """Return the results that are worth a line: the next run decides the others."""
    return [
        result
        for result in results
        if result.status != "unfinished"
        and (result.status != "not_submitted" or result.error_code == "InvalidRequestError")
    ]


_encode: Final = json.JSONEncoder(default=str).encode


def _fields_of(result: Result) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "key": result.key,
        "line": result.line,
        "status": result.status,
        "task_id": result.task_id,
        "model": result.request.model,
        "prompt": result.prompt,
        "num_outputs": result.request.num_outputs,
        "files": [attrs.asdict(file) for file in result.files],
    }
    if result.own:
        fields["own"] = dict(result.own)
    if result.seconds is not None:
        fields["seconds"] = round(result.seconds, 3)
    if result.credits is not None:
        fields["credits"] = result.credits
    if result.data:
        fields["data"] = [dict(data) for data in result.data]
    error = {"code": result.error_code, "message": result.error}
    if result.response is not None:
        error["response"] = result.response
    fields["error"] = error if any(value is not None for value in error.values()) else None
    return fields


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(line)
        if not is_object(fields):
            return None
        _facts_digest(fields)
    except (ValueError, RecursionError):
        return None
    required = (fields.get("key"), fields.get("status"))
    return fields if all(isinstance(value, str) for value in required) else None


def _facts_digest(fields: dict[str, Any]) -> bytes:
    """Return a digest of what a line says; a line with the same facts is not written again."""
    files = fields.get("files")
    facts: list[object] = [
        fields.get("status"),
        fields.get("task_id"),
        [_pick(file, "path", "sha256") for file in files] if is_array(files) else None,
        _pick(fields.get("error"), "code"),
    ]
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).digest()


def _pick(value: object, *names: str) -> list[object]:
    return [value.get(name) for name in names] if is_object(value) else []


@contextmanager
def _locked(descriptor: int) -> Generator[None, None, None]:
    """Lock the file for other processes; not on Windows, where only one process may run a job."""
    if sys.platform == "win32":
        yield
        return
    # Not lockf, whose lock is lost as soon as any descriptor of the file is closed. Either lock ends
    # with the process.
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
