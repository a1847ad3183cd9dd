"""What the server says of a task, as frozen values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

__all__ = ["Output", "Task", "TaskError", "TaskInfo", "TaskStatus", "UploadedFile"]


class TaskStatus(enum.Enum):
    """Where a task stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OTHER = "other"
    """A word that this release does not know; the word itself is in ``task.raw["status"]``."""

    @property
    def is_terminal(self) -> bool:
        """Whether the status is final."""
        return self._value_ in _TERMINAL


# Of words: a member of an enumeration is hashed by a function in Python, at every look.
_TERMINAL = frozenset(
    status.value for status in (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED)
)


@attrs.frozen
class TaskInfo:
    """What the server announced of a task.

    ``estimated_time`` is in seconds from the submission, None if nothing usable was announced.
    ``can_cancel`` is the server's flag; no endpoint is known that would cancel.
    """

    can_cancel: bool | None = None
    estimated_time: float | None = None


@attrs.frozen
class TaskError:
    """Why a task failed; every part may be missing, and ``code`` is an open list."""

    code: str | None = None
    message: str | None = None
    type: str | None = None


@attrs.frozen
class Output:
    """One result of a task.

    ``index`` is its position from 0. ``url`` expires a day after the task was completed and is None
    for what is not a file. ``data`` is all that the server said of it; a created profile has
    ``data["profile_id"]``. ``task_id`` and ``kind`` tell the task that it belongs to.
    """

    index: int
    url: str | None = None
    data: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    task_id: str | None = attrs.field(default=None, repr=False)
    kind: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Task:
    """A task as the server last described it.

    Only ``id`` is certain. ``progress`` is 0 to 100 or None and may go back; ``created`` is in UTC;
    ``outputs`` may be fewer than were asked for; ``usage`` is in units that the server does not
    explain; ``raw`` is the JSON object as received.
    """

    id: str
    status: TaskStatus = TaskStatus.PENDING
    model: str | None = None
    progress: int | None = None
    created: datetime | None = None
    type: str | None = None
    object: str | None = None
    task_info: TaskInfo = TaskInfo()
    outputs: tuple[Output, ...] = ()
    error: TaskError | None = None
    usage: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    raw: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False, eq=False, repr=False)


@attrs.frozen
class UploadedFile:
    """A stored input file; ``url`` can be used in requests for 72 hours.

    ``size`` is in bytes, ``created`` in UTC; ``raw`` is the JSON object as received.
    """

    id: str | None
    url: str
    filename: str | None = None
    size: int | None = None
    created: datetime | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False, eq=False, repr=False)
