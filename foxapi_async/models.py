"""Frozen values for the answers of the API."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Self

import attrs


def without_queries(text: str) -> str:
    """Return a text with ``?...`` for the query of each URL and path in it: it may be a signature."""
    # A quote within a query does not end it, unlike one before a comma or a bracket.
    return re.sub(r"""(?:[^\s'"]|['"](?=[^\s,\]}):]))+""", _without_query, text)


def _without_query(word: re.Match[str]) -> str:
    address, mark, query = re.split(r"([?#]|$)", word[0], maxsplit=1)
    return f"{address}?..." if mark and query and "/" in address else word[0]


def safe_repr(value: object) -> str:
    """Return the ``repr`` of a value without the queries of URLs: for logs and tracebacks."""
    return without_queries(repr(value))


class JsonValue:
    """A value with a form in JSON."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the value in JSON types: dict, list, str, int, finite float, bool and None.

        The keys are the names of the fields, and nested values are dicts, too. Moments are ISO 8601 in
        UTC, NaN is None, and half of a surrogate pair is its escape. Links are complete: their queries
        may be signatures, with which anyone can fetch the file.
        """
        from foxapi_async._to_json import to_json  # noqa: PLC0415 - below all, yet not at once

        fields: dict[str, Any] = to_json(self)
        return fields


class ReadableValue(JsonValue):
    """A value that can be read back from its form in JSON, and that Pydantic knows."""

    __slots__ = ()

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the value that `to_dict` described.

        Fields that this release does not know are ignored, and missing ones have their defaults. A
        status that it does not know is ``OTHER``.

        Raises:
            InvalidRequestError: A required field is missing, or a field has a wrong type; the
                message names each of them.
        """
        from foxapi_async._from_json import from_json  # noqa: PLC0415 - it loads cattrs

        return from_json(cls, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        # Only Pydantic calls this, so it is there. FastAPI needs it for the type of an answer.
        from foxapi_async._pydantic import core_schema_of  # noqa: PLC0415

        return core_schema_of(cls)


class TaskStatus(enum.Enum):
    """The status of a task."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OTHER = "other"
    """A status that this release does not know; its text is in ``task.raw["status"]``."""

    def __init__(self, text: str) -> None:
        # An attribute and not a property, because every poll reads it.
        self.is_terminal: Final = text in {"completed", "failed", "cancelled"}
        """Whether the status is final."""


@attrs.frozen
class TaskInfo(JsonValue):
    """What the server announced about a task.

    ``estimated_time`` is in seconds from the submission, None without a usable one.
    ``can_cancel`` is the server's flag; no endpoint for cancelling is documented.
    """

    can_cancel: bool | None = None
    estimated_time: float | None = None


@attrs.frozen
class TaskError(JsonValue):
    """The reason why a task failed; each field may be None, and new codes may appear."""

    code: str | None = None
    message: str | None = attrs.field(default=None, repr=safe_repr)
    type: str | None = None


@attrs.frozen
class Output(ReadableValue):
    """One result of a task.

    ``index`` is the position, from 0. ``url`` expires a day after the task completed and is None for
    an output that is not a file. It is absolute, or begins with ``inline:`` if the server sent the
    content in place of a link: then only `Session.download` and `Session.read` know what to do with it.
    ``data`` is the JSON object of the output, with a note in place of such content; a created profile has
    ``data["profile_id"]``. ``task_id`` and ``kind`` are those of the task that it belongs to. The
    ``repr`` omits the query of a URL, which may be a signature.
    """

    index: int
    url: str | None = attrs.field(default=None, repr=safe_repr)
    data: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False, repr=safe_repr)
    task_id: str | None = attrs.field(default=None, repr=False)
    kind: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Task(ReadableValue):
    """A task in the state of one answer.

    Only ``id`` is always known. ``progress`` is 0 to 100 or None and may decrease; ``created`` is in
    UTC; there may be fewer ``outputs`` than requested; the units of ``usage`` are not documented;
    ``raw`` is the JSON object as received, with notes in place of inline content.
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
    usage: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False, repr=safe_repr)
    raw: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False, eq=False, repr=False)


@attrs.frozen
class UploadedFile(JsonValue):
    """An uploaded input file; ``url`` can be used in requests for 72 hours.

    ``size`` is in bytes, ``created`` in UTC; ``raw`` is the JSON object as received.
    """

    id: str | None
    url: str = attrs.field(repr=safe_repr)
    filename: str | None = None
    size: int | None = None
    created: datetime | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False, eq=False, repr=False)


@attrs.frozen(kw_only=True)
class RawResponse:
    """An answer of the API as it came; see `Session.with_options`.

    The API key and cookies are removed. ``body`` is decoded from its transfer encodings; of ``size``
    bytes it has at most 64 KiB. Names of headers are in lower case, of repeated ones the first counts.
    """

    method: str
    path: str
    """Without the query."""
    status: int
    headers: Mapping[str, str] = attrs.field(repr=False, hash=False)
    body: bytes = attrs.field(repr=False)
    size: int
    request_id: str | None = None
    """The header X-Request-Id."""

    def text(self) -> str:
        """Return the body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the decoded body.

        Raises:
            ValueError: It is not JSON, or it was longer than what is kept.
        """
        return json.loads(self.body)


@attrs.frozen
class Credits(JsonValue):
    """Credits of a key or of its user, each None if the server does not say.

    FoxAPI does not document the unit, nor whether a reserved amount is settled or refunded later.
    """

    remaining: float | None = None
    used: float | None = None
    unlimited: bool | None = None
    """Whether ``remaining`` is no limit."""


@attrs.frozen
class Balance(JsonValue):
    """The balance of the key and of its user; ``raw`` is the JSON object as received."""

    key: Credits = Credits()
    user: Credits = Credits()
    raw: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False, eq=False, repr=False)

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left by the server's word; False if it is not known."""
        if self.key.unlimited:
            return False
        limited = (each for each in (self.key, self.user) if not each.unlimited)
        return any(each.remaining is not None and each.remaining <= 0 for each in limited)
