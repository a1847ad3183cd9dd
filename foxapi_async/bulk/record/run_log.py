"""The runs of a folder, and how far they are: ``runs.jsonl``. Blocking.

The file is append-only: one line when a run begins and one when it ends. While a run lives, it holds a
lock on a small file (see `foxapi_async.journal.sqlite.owners`), which the kernel releases when the process
ends, so whether a run is alive needs neither a clock nor a process id. Beside it lies a file with the
progress of the run, which is replaced about once a second.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

import attrs

from foxapi_async import ConfigurationError
from foxapi_async._typeguards import is_object
from foxapi_async.bulk.record.run_progress import (
    RunProgress,
    aware,
    number,
    summary_from_json,
    summary_to_json,
)
from foxapi_async.bulk.summary import Summary
from foxapi_async.journal.sqlite.owners import Owner, is_alive

_log = logging.getLogger("foxapi_async")

RUNS_NAME: Final = "runs.jsonl"
JOURNAL_NAME: Final = "journal.sqlite"
"""The default name of the journal of a job, in the directory of its pictures."""

EndReason = Literal["done", "incomplete", "stopped", "interrupted", "max_time", "error", "killed"]
"""Everything is on disk; some requests failed; a fatal answer; a signal or `JobRun.stop`; the time was
up; the run raised an error; the process ended without a word."""

_REASONS: Final = frozenset(get_args(EndReason))
_LONGEST: Final = 1024 * 1024  # Bytes of a line; a longer one is damaged


@attrs.frozen(kw_only=True)
class RunRecord:
    """A run of a folder.

    ``job`` is the path of its job and ``read`` the options with which it was read. ``journal`` is None
    for the default in the folder, and a text if it is on a server: its address without the password.
    ``options`` are those of `run_job` and the limits. ``is_alive`` is
    whether the run is at work now; ``progress`` is the last that it has reported, if it is at work or
    was killed. ``ended`` is None while it is at work, and if it was killed. ``summary`` is its end, else
    its last progress, else None. ``credits`` are those that are reserved for the tasks that ended in the
    run, also for tasks that an earlier run has submitted. ``images_per_minute`` is over the time in which it was at work,
    without the contact sheet; None if it has fetched nothing.
    """

    id: str
    began: datetime
    pid: int
    host: str
    job: Path
    read: Mapping[str, Any]
    journal: Path | str | None
    options: Mapping[str, Any]
    is_alive: bool = False
    progress: RunProgress | None = None
    ended: datetime | None = None
    reason: EndReason | None = None
    summary: Summary | None = None
    credits: float | None = None
    images_per_minute: float | None = None


@attrs.frozen(kw_only=True)
class RunEnd:
    """How a run ended."""

    reason: EndReason
    summary: Summary
    credits: float | None
    images_per_minute: float | None


@attrs.frozen
class RunLog:
    """The runs of a folder."""

    directory: Path

    @property
    def path(self) -> Path:
        """The file; it need not exist."""
        return self.directory / RUNS_NAME

    def runs(self) -> list[RunRecord]:
        """Return all runs in the order of their beginnings. Lines that cannot be read are skipped.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        records: dict[str, RunRecord] = {}
        for fields in self._lines():
            name = fields.get("run")
            if not isinstance(name, str):
                continue
            with suppress(ValueError, TypeError):
                if fields.get("event") == "begin":
                    records.setdefault(name, self._begun(name, fields))
                elif name in records and records[name].reason is None:
                    records[name] = self._ended(records[name], fields)
        return [self._with_progress(record) for record in records.values()]

    def live(self) -> list[RunRecord]:
        """Return the runs that are at work now."""
        return [record for record in self.runs() if record.is_alive]

    def last(self) -> RunRecord | None:
        """Return the run that began last, None if there was none."""
        runs = self.runs()
        return runs[-1] if runs else None

    def last_rate(self) -> float | None:
        """Return the images per minute of the last run that has fetched images, None if none has."""
        rates = [run.images_per_minute for run in self.runs() if run.images_per_minute]
        return rates[-1] if rates else None

    def begin(
        self,
        *,
        job: Path,
        read: Mapping[str, Any],
        journal: Path | str | None,
        options: Mapping[str, Any],
    ) -> LiveRun:
        """Record the beginning of a run of this process; runs that were killed get their end.

        Raises:
            ConfigurationError: The file cannot be written.
        """
        others = self.runs()
        for record in others:
            if record.reason is None and not record.is_alive:
                self._bury(record)
        try:
            owner = Owner(self.path)
        except OSError as error:
            raise self._unwritable(error) from error
        run = LiveRun(self, owner, [record for record in others if record.is_alive])
        inside = job.absolute()
        line = {
            "event": "begin",
            "run": owner.id,
            "at": _now(),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "job": str(inside),
            # The folder may be moved, and the job with it.
            "job_in_folder": _relative(inside, self.directory.absolute()),
            "read": dict(read),
            "journal": str(journal.absolute()) if isinstance(journal, Path) else journal,
            "journal_in_folder": _relative(journal.absolute(), self.directory.absolute())
            if isinstance(journal, Path)
            else None,
            "options": dict(options),
        }
        try:
            self._append(line)
        except OSError as error:
            owner.release()
            raise self._unwritable(error) from error
        return run

    def append_end(self, name: str, end: RunEnd) -> None:
        """Record the end of a run; raise OSError if that is not possible."""
        self._append(
            {
                "event": "end",
                "run": name,
                "at": None if end.reason == "killed" else _now(),
                "reason": end.reason,
                "credits": end.credits,
                "images_per_minute": end.images_per_minute,
                **summary_to_json(end.summary),
            }
        )

    def progress_path(self, name: str) -> Path:
        """Return the file with the progress of a run."""
        return self.directory / f"{RUNS_NAME}.{name}.progress"

    def begun_since(self, place: int) -> tuple[list[RunRecord], int]:
        """Return the runs whose beginning was recorded after a place of the file, and the new place."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return [], place
        if size <= place:
            return [], place
        begun = [fields for fields in self._lines(place) if fields.get("event") == "begin"]
        names = {fields.get("run") for fields in begun}
        return ([record for record in self.runs() if record.id in names] if names else []), size

    def _bury(self, record: RunRecord) -> None:
        summary = record.summary or summary_from_json({}, self.directory)
        end = RunEnd(
            reason="killed",
            summary=summary,
            credits=None,
            images_per_minute=record.images_per_minute,
        )
        with suppress(OSError):
            self.append_end(record.id, end)
            self.progress_path(record.id).unlink(missing_ok=True)

    def _begun(self, name: str, fields: Mapping[str, Any]) -> RunRecord:
        read, options = fields.get("read"), fields.get("options")
        journal = fields.get("journal")
        is_address = isinstance(journal, str) and "://" in journal
        return RunRecord(
            id=name,
            began=aware(fields.get("at")),
            pid=int(number(fields.get("pid")) or 0),
            host=str(fields.get("host", "")),
            job=self._place(fields, "job") or Path(),
            read=read if is_object(read) else {},
            journal=journal if is_address else self._place(fields, "journal"),
            options=options if is_object(options) else {},
        )

    def _place(self, fields: Mapping[str, Any], name: str) -> Path | None:
        inside, place = fields.get(f"{name}_in_folder"), fields.get(name)
        if isinstance(inside, str):  # the folder may have been moved
            return self.directory / inside
        return Path(place) if isinstance(place, str) else None

    def _ended(self, record: RunRecord, fields: Mapping[str, Any]) -> RunRecord:
        reason: Any = fields.get("reason")
        at = fields.get("at")
        return attrs.evolve(
            record,
            ended=None if at is None else aware(at),
            reason=reason if reason in _REASONS else "error",
            summary=summary_from_json(fields, self.directory / "results.jsonl"),
            credits=number(fields.get("credits")),
            images_per_minute=number(fields.get("images_per_minute")),
        )

    def _with_progress(self, record: RunRecord) -> RunRecord:
        if record.reason is not None:
            return record
        alive = is_alive(self.path, record.id)
        progress = None
        with suppress(OSError, ValueError, TypeError):
            fields = json.loads(self.progress_path(record.id).read_bytes())
            progress = RunProgress.from_json(fields, self.directory / "results.jsonl")
        if progress is None:
            return attrs.evolve(record, is_alive=alive)
        return attrs.evolve(
            record,
            is_alive=alive,
            progress=progress,
            summary=progress.summary,
            images_per_minute=progress.images_per_minute,
        )

    def _lines(self, place: int = 0) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open("rb") as file:
                file.seek(place)
                while line := file.readline(_LONGEST):
                    with suppress(ValueError, RecursionError):
                        fields = json.loads(line)
                        if is_object(fields):
                            yield fields
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:  # ValueError: a name that this locale cannot encode
            raise ConfigurationError(
                f"{self.path} cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from error

    def _append(self, fields: Mapping[str, Any]) -> None:
        line = json.dumps(fields, default=str).encode() + b"\n"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self.path, flags, 0o666)
        try:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            if size:
                os.lseek(descriptor, size - 1, os.SEEK_SET)
                if os.read(descriptor, 1) != b"\n":
                    line = b"\n" + line  # after a line that a full disk has cut
            # One write, so that lines of several processes do not mix.
            if os.write(descriptor, line) < len(line):
                raise OSError(None, "the line was cut")
        finally:
            os.close(descriptor)

    def _unwritable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"{self.path} cannot be written: {error.strerror or error}")


class LiveRun:
    """A run of this process that has begun; ``others`` were at work when it began."""

    def __init__(self, log: RunLog, owner: Owner, others: Sequence[RunRecord]) -> None:
        self.id: Final = owner.id
        self.others: tuple[RunRecord, ...] = tuple(others)
        self._log = log
        self._owner = owner
        self._place = 0
        with suppress(OSError):
            self._place = log.path.stat().st_size

    def report(self, progress: RunProgress) -> None:
        """Replace the progress of the run, and look for runs that have begun since.

        A failure is only logged: a full disk must not end the run.
        """
        path = self._log.progress_path(self.id)
        partial = path.with_name(f"{path.name}.tmp")
        try:
            partial.write_text(json.dumps(progress.to_json()), encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            _log.debug("cannot write %s: %s", path, error)
        with suppress(ConfigurationError):
            begun, self._place = self._log.begun_since(self._place)
            self.others += tuple(run for run in begun if run.id != self.id)

    def end(self, end: RunEnd) -> None:
        """Record the end, and release the lock. A failure is only logged."""
        try:
            self._log.append_end(self.id, end)
        except OSError as error:
            _log.warning("cannot write the end of the run to %s: %s", self._log.path, error)
        path = self._log.progress_path(self.id)
        with suppress(OSError):
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.tmp").unlink(missing_ok=True)
        self._owner.release()


def _relative(path: Path, directory: Path) -> str | None:
    return str(path.relative_to(directory)) if path.is_relative_to(directory) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
