"""What became of one request of a job, and how that is written down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, cast

import attrs

from foxapi_async.errors import APIStatusError, FoxAPIError, TaskOutcomeError
from foxapi_async.journal import Entry, SavedFile
from foxapi_async.models import Task
from foxapi_async.requests import Request

__all__ = ["Result", "ResultStatus", "facts_digest", "result_line"]

ResultStatus = Literal[
    "completed", "unsaved", "failed", "unfinished", "rejected", "unknown", "not_submitted"
]


@attrs.frozen(kw_only=True)
class Result:
    """What became of one request of a job.

    ============= ==================================================================================
    status        means
    ============= ==================================================================================
    completed     ``files`` are on disk; what is not a file is in ``data``
    unsaved       completed and billed, but files could not be saved; the next run tries again
    failed        the task failed or was cancelled; it is not run again by itself
    unfinished    accepted and billed, but the wait ended first; the next run picks it up
    rejected      the server refused it; nothing was billed
    unknown       it may have been billed and no id came back
    not_submitted nothing was sent
    ============= ==================================================================================

    ``line`` counts from 1. ``fetched`` is how many files came from the network in this run; with
    ``from_journal`` nothing was asked of the server. ``error_code`` and ``error`` are None for
    "completed".
    """

    line: int
    key: str
    status: ResultStatus
    request: Request
    task_id: str | None = None
    files: tuple[SavedFile, ...] = ()
    data: tuple[Mapping[str, Any], ...] = attrs.field(default=(), hash=False)
    error_code: str | None = None
    error: str | None = None
    fetched: int = 0
    from_journal: bool = False

    @property
    def prompt(self) -> str | None:
        """The prompt, if the request has one."""
        prompt = self.request.payload().get("prompt")
        return prompt if isinstance(prompt, str) else None

    @classmethod
    def of_entry(
        cls, line: int, request: Request, entry: Entry, status: ResultStatus, error: str | None
    ) -> Result:
        """Return the result of a request that the journal knows all about."""
        return cls(
            line=line,
            key=entry.key,
            status=status,
            request=request,
            task_id=entry.task_id,
            files=entry.files if status == "completed" else (),
            error_code=entry.error_code,
            error=error,
            from_journal=True,
        )


def code_of(error: FoxAPIError | None, task: Task | None = None) -> str | None:
    """Return the server's word for an error, else the name of its class."""
    if error is None:
        return None
    task = error.task if task is None and isinstance(error, TaskOutcomeError) else task
    if isinstance(error, TaskOutcomeError) and task is not None and task.error is not None:
        return task.error.code or type(error).__name__
    if isinstance(error, APIStatusError) and error.code:
        return error.code
    return type(error).__name__


def result_line(result: Result, now: datetime) -> str:
    """Return a result as one line of JSON in ASCII, with the line's end."""
    return _COMPACT.encode(_described(result) | {"at": now.isoformat(timespec="seconds")}) + "\n"


_COMPACT: Final = json.JSONEncoder(default=str)


def _described(result: Result) -> dict[str, Any]:
    described: dict[str, Any] = {
        "key": result.key,
        "line": result.line,
        "status": result.status,
        "task_id": result.task_id,
        "model": result.request.model,
        "prompt": result.prompt,
        "num_outputs": result.request.num_outputs,
        "files": [attrs.asdict(file) for file in result.files],
    }
    if result.data:
        described["data"] = [dict(data) for data in result.data]
    described["error"] = (
        None
        if result.error is None and result.error_code is None
        else {"code": result.error_code, "message": result.error}
    )
    return described


def facts_digest(described: Mapping[str, Any]) -> bytes:
    """Return what stands for the facts of a line: a line with the same facts is not written again."""
    files = cast("object", described.get("files"))
    names = ("path", "sha256")
    facts: list[object] = [
        described.get("status"),
        described.get("task_id"),
        [_picked(file, names) for file in cast("list[object]", files)]
        if isinstance(files, list)
        else None,
        _picked(described.get("error"), ("code",)),
    ]
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).digest()


def _picked(value: object, names: Sequence[str]) -> list[object]:
    if not isinstance(value, dict):
        return []
    fields = cast("dict[str, object]", value)
    return [fields.get(name) for name in names]


def facts_of(result: Result) -> bytes:
    """Return the `facts_digest` of a result."""
    return facts_digest(_described(result))
