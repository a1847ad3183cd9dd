"""Writes to the journal as plain values: coroutines queue them, the writer's thread executes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from foxapi_async.http.codec import encode
from foxapi_async.journal.entry import Entry, JournalStatus, bytes_of, difference, storable, text_of
from foxapi_async.requests import Request

_MAX_INTEGER: Final = 2**63 - 1


@attrs.frozen(kw_only=True)
class NewEntry:
    """A new entry with the values that the table stores."""

    key: bytes
    keyed: bool
    model: str
    kind: str
    path: str
    payload: str
    num_outputs: int
    at: float

    def difference_from(self, path: str, payload: Mapping[str, Any]) -> str:
        """Return how the request differs from another one; "" if it does not."""
        return difference(path, payload, self.path, json.loads(self.payload))


def new_entry(key: str, request: Request, at: float, *, keyed: bool) -> NewEntry:
    """Return the new entry of a request."""
    return NewEntry(
        key=bytes_of(key),
        keyed=keyed,
        model=storable(request.model),
        kind=storable(request.kind),
        path=storable(request.path),
        payload=encode(request.payload()).decode(),
        num_outputs=min(request.num_outputs, _MAX_INTEGER),
        at=at,
    )


@attrs.define(eq=False, kw_only=True)
class Operation:
    """One write. Its text says what is lost if it is not made.

    ``done`` is set once the write is durable; it is None if nobody waits. ``error`` is set by the
    database if it refuses this operation alone. ``at`` is in seconds since 1970.
    """

    done: asyncio.Future[None] | None = None
    error: Exception | None = None

    @property
    def is_fact(self) -> bool:
        """Whether it records something that has happened; facts are retried until written."""
        return True

    def reset(self) -> None:
        """Forget the result of an earlier attempt."""
        self.error = None

    def __str__(self) -> str:
        return "a remembered value"


@attrs.define(eq=False, kw_only=True)
class ClaimKey(Operation):
    """Take a key if it is free.

    Afterwards ``taken`` is whether it is the caller's. If not, ``found`` is the existing entry, and
    ``is_held`` whether a living process is submitting it.
    """

    new: NewEntry
    taken: bool = False
    is_held: bool = False
    found: Entry | None = None

    @property
    def is_fact(self) -> bool:
        """Nobody waits for the claim of a random key, so its transition must find it later."""
        return not self.new.keyed

    def reset(self) -> None:
        """Forget the result of an earlier attempt."""
        super().reset()
        self.found = None
        self.taken = self.is_held = False

    def __str__(self) -> str:
        return f"{_name(self.new.key)} is about to be submitted"


@attrs.define(eq=False, kw_only=True)
class Transition(Operation):
    """Change the status of an entry of this owner; with ``keep`` the owner keeps it.

    ``new`` is inserted if the entry has vanished and a task id would be lost. With ``previous``, the
    failed or unknown entry that is submitted again, ``sending`` replaces it, if it is unchanged, and
    other transitions restore it. ``needs_place``: it may be sent only with a place among all sessions of the
    journal. ``is_lost`` is set if it was changed, or has no place.
    """

    new: NewEntry
    before: JournalStatus
    after: JournalStatus
    at: float
    keep: bool = False
    task_id: str | None = None
    estimated_time: float | None = None
    error_code: str | None = None
    text: str | None = None
    response: str | None = None
    previous: Entry | None = None
    needs_place: bool = False
    is_lost: bool = False

    @property
    def is_fact(self) -> bool:
        """Sending has not happened yet, all else has."""
        return self.after is not JournalStatus.SENDING

    def reset(self) -> None:
        """Forget the result of an earlier attempt."""
        super().reset()
        self.is_lost = False

    def __str__(self) -> str:
        if self.previous is not None and self.is_fact:
            return f"{_name(self.new.key)} is {self.previous.status} as before"
        task = "" if self.task_id is None else f" as task {self.task_id}"
        return f"{_name(self.new.key)} is {self.after}{task}"


@attrs.define(eq=False, kw_only=True)
class DeleteUnsent(Operation):
    """Delete an entry of this owner under a random key for which nothing was sent."""

    key: bytes

    def __str__(self) -> str:
        return f"nothing was sent for {_name(self.key)}"


@attrs.define(eq=False, kw_only=True)
class RecordEnd(Operation):
    """Record how a task ended."""

    task_id: str
    after: JournalStatus
    at: float
    error_code: str | None = None
    text: str | None = None

    def __str__(self) -> str:
        return f"task {self.task_id} is {self.after}"


@attrs.define(eq=False, kw_only=True)
class RecordFiles(Operation):
    """Record the files of a task; ``files`` is their JSON."""

    task_id: str
    files: str
    at: float

    def __str__(self) -> str:
        return f"the files of task {self.task_id} are saved"


@attrs.define(eq=False, kw_only=True)
class RecordValue(Operation):
    """Remember a value; ``value`` is JSON, None deletes it."""

    name: str
    value: str | None
    at: float


def _name(key: bytes) -> str:
    return f"key {text_of(key)!r}"
