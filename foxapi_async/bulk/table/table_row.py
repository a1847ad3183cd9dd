"""A row of the table of results: what is known of one line of a job, from its log and its journal. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs

from foxapi_async._typeguards import is_object
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.results.saved_files import files_of, saved_paths
from foxapi_async.journal.entry import Entry, JournalStatus

_NOW: Final[Mapping[JournalStatus, str]] = {
    JournalStatus.PLANNED: "not_submitted",
    # By a process that is alive: `Entry.after_crash` has made the others unknown.
    JournalStatus.SENDING: "unfinished",
    JournalStatus.UNKNOWN: "unknown",
    JournalStatus.ACCEPTED: "unfinished",
    JournalStatus.COMPLETED: "unfinished",
    JournalStatus.FAILED: "failed",
    JournalStatus.REJECTED: "rejected",
    JournalStatus.SAVED: "completed",
}
"""The status of a line by its journal entry."""

_MORE_EXACT: Final[Mapping[JournalStatus, frozenset[str]]] = {
    JournalStatus.PLANNED: frozenset({"rejected", "not_submitted"}),
    JournalStatus.COMPLETED: frozenset({"unsaved"}),
    JournalStatus.SAVED: frozenset({"unsaved", "completed"}),
}
"""Statuses of the log that say more than the entry, if both are about the same task."""

_WITH_FILES: Final = frozenset({"completed", "unsaved"})


@attrs.frozen(kw_only=True)
class TableRow:
    """What is known of one line of a job.

    ``files`` are paths below the directory of the job. ``outputs`` is the number of images that were
    asked for, ``images`` the number of files that are saved. ``seconds`` and ``credits`` are None if no
    run has recorded them, ``line`` and ``job`` if the line is only known from the journal.
    """

    line: int | None
    key: str
    job: str | None
    own: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    status: str
    files: tuple[str, ...] = ()
    task_id: str | None = None
    seconds: float | None = None
    outputs: int | None = None
    images: int = 0
    credits: float | None = None
    error_code: str | None = None
    error: str | None = None
    model: str | None = None
    prompt: str | None = None

    @classmethod
    def of(
        cls,
        key: str,
        *,
        job: str | None,
        line: JobLine | None,
        told: Mapping[str, Any] | None,
        entry: Entry | None,
    ) -> Self:
        """Make the row of a key from its line in the job, its last line in the log, and its entry.

        Each may be missing. The journal decides on the status, because a run that was killed could not
        write to the log; what the log says of another task is out of date.
        """
        told = told or {}
        is_current = bool(told) and (entry is None or _text(told, "task_id") == entry.task_id)
        status = status_of(told.get("status") if is_current else None, entry)
        about: dict[str, Any] = {}
        if is_current:
            about = {
                "files": tuple(saved_paths(told)),
                "seconds": _number(told.get("seconds")),
                "credits": _number(told.get("credits")),
            }
        elif entry is not None:
            about["files"] = tuple(file.path for file in files_of(entry))
        if status not in _WITH_FILES:
            about.pop("files", None)
        error = told.get("error")
        if is_current and told.get("status") == status:
            error = error if is_object(error) else {}
            about |= {"error_code": _text(error, "code"), "error": _text(error, "message")}
        elif entry is not None:
            about |= {"error_code": entry.error_code, "error": entry.error}
        number = told.get("line")
        return cls(
            line=line.number if line else number if isinstance(number, int) else None,
            key=key,
            job=job or _text(told, "job"),
            own=line.own if line else _object(told.get("own")),
            status=status,
            task_id=entry.task_id if entry else _text(told, "task_id"),
            images=len(about.get("files", ())),
            **_request(line, told, entry),
            **about,
        )

    def cells(self) -> dict[str, Any]:
        """Return the row for JSON."""
        return attrs.asdict(self, recurse=False) | {
            "files": list(self.files),
            "own": dict(self.own),
        }


def status_of(told: object, entry: Entry | None) -> str:
    """Return the status of a line that the log tells (None: nothing of this task) and the journal knows."""
    if entry is None:
        return told if isinstance(told, str) else "not_submitted"
    if isinstance(told, str) and told in _MORE_EXACT.get(entry.status, ()):
        return told
    return _NOW[entry.status]


def _request(line: JobLine | None, told: Mapping[str, Any], entry: Entry | None) -> dict[str, Any]:
    """Return model, prompt and outputs from the first that knows them."""
    fields: Mapping[str, Any]
    model: str | None
    outputs: int | None
    if line is not None:
        fields, model = line.request.payload(), line.request.model
        outputs = line.request.num_outputs
    elif entry is not None:
        fields, model, outputs = entry.payload, entry.model, entry.num_outputs
    else:
        number = told.get("num_outputs")
        fields, model = told, _text(told, "model")
        outputs = number if isinstance(number, int) else None
    return {"model": model, "prompt": _text(fields, "prompt"), "outputs": outputs}


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _object(value: object) -> Mapping[str, Any]:
    return value if is_object(value) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


_NAMES: Final = tuple(attrs.fields_dict(TableRow))
