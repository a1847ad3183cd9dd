"""What is to be written: plain values that coroutines queue and the writer's thread works off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import attrs

from foxapi_async.http.codec import encode
from foxapi_async.journal.entry import Entry, bytes_of, text_of
from foxapi_async.journal.transitions import JournalStatus
from foxapi_async.requests import Request

__all__ = [
    "Change",
    "Claiming",
    "Dropping",
    "Ending",
    "Move",
    "Note",
    "Planned",
    "Reinstating",
    "Retaking",
    "Saving",
    "planned",
    "storable",
]

_LARGEST_INTEGER: Final = 2**63 - 1


@attrs.frozen(kw_only=True)
class Planned:
    """A new entry, in the form that the table takes."""

    key: bytes
    keyed: bool
    model: str
    kind: str
    path: str
    payload: str
    num_outputs: int
    at: float


@attrs.define(eq=False, kw_only=True)
class Change:
    """One change; ``done`` is told once it is durable, None if nobody waits.

    ``error`` is set by the writer if this change alone was refused; ``at`` is in seconds since 1970.
    """

    done: asyncio.Future[None] | None = None
    error: Exception | None = None

    @property
    def is_owed(self) -> bool:
        """Whether it must be made some time, because it tells what has happened already."""
        return True

    @property
    def in_words(self) -> str:
        """What is lost if it is not made, for a log."""
        return "something to remember"


@attrs.define(eq=False, kw_only=True)
class Claiming(Change):
    """Look a key up, and take it if it is free.

    Afterwards ``taken`` tells whether it is the caller's now; if not, ``found`` is the entry that is
    in the way, and ``held`` whether a living process is deciding on it. ``if_abandoned`` is called
    instead of ``done`` if nobody waits any more.
    """

    new: Planned
    taken: bool = False
    held: bool = False
    found: Entry | None = None
    if_abandoned: Callable[[], None] | None = None

    @property
    def is_owed(self) -> bool:
        """A claim under a random key is not waited for, so its move must find it later."""
        return not self.new.keyed

    @property
    def in_words(self) -> str:
        """What is lost if it is not made, for a log."""
        return f"that {_name(self.new.key)} is about to be submitted"


@attrs.define(eq=False, kw_only=True)
class Move(Change):
    """An entry of this owner goes on; with ``keep`` it stays this owner's.

    ``new`` is what to write if the entry has vanished and must not (an id would be lost).
    """

    key: bytes
    was: JournalStatus
    now: JournalStatus
    at: float
    keep: bool = False
    task_id: str | None = None
    estimated_time: float | None = None
    error_code: str | None = None
    text: str | None = None
    new: Planned

    @property
    def is_owed(self) -> bool:
        """Whether it tells of something that has happened, rather than asks to go ahead."""
        return self.now is not JournalStatus.SENDING

    @property
    def in_words(self) -> str:
        """What is lost if it is not made, for a log."""
        return f"that {_name(self.key)} is {self.now.value}" + (
            f" as task {self.task_id}" if self.task_id is not None else ""
        )


@attrs.define(eq=False, kw_only=True)
class Dropping(Change):
    """An entry of this owner under a random key, of which nothing was sent, is of no use."""

    key: bytes

    @property
    def in_words(self) -> str:
        """What is lost if it is not made, for a log."""
        return f"that nothing was sent for {_name(self.key)}"


@attrs.define(eq=False, kw_only=True)
class Retaking(Change):
    """An entry that stands as ``over`` is about to be sent once more, as a person has decided.

    Afterwards ``taken`` tells whether it still stood so.
    """

    new: Planned
    over: Entry
    taken: bool = False

    @property
    def is_owed(self) -> bool:
        """It asks to go ahead."""
        return False

    @property
    def in_words(self) -> str:
        """What is lost if it is not made, for a log."""
        return f"that {_name(self.new.key)} is about to be submitted once more"


@attrs.define(eq=False, kw_only=True)
class Reinstating(Change):
    """What was sent once more has certainly created nothing: the entry stands as before."""

    key: bytes
    over: Entry

    @property
    def in_words(self) -> str:
        """What is lost if it is not made, for a log."""
        return f"that {_name(self.key)} is {self.over.status.value} as before"


@attrs.define(eq=False, kw_only=True)
class Ending(Change):
    """A task was seen to end."""

    task_id: str
    now: JournalStatus
    at: float
    error_code: str | None = None
    text: str | None = None

    @property
    def in_words(self) -> str:
        """What is lost if it is not made, for a log."""
        return f"that task {self.task_id} is {self.now.value}"


@attrs.define(eq=False, kw_only=True)
class Saving(Change):
    """The files of a task are on disk; ``files`` is their JSON."""

    task_id: str
    files: str
    at: float

    @property
    def in_words(self) -> str:
        """What is lost if it is not made, for a log."""
        return f"where the files of task {self.task_id} are"


@attrs.define(eq=False, kw_only=True)
class Note(Change):
    """Something to remember; ``value`` is JSON, None to forget it."""

    name: str
    value: str | None
    at: float


def _name(key: bytes) -> str:
    return f"key {text_of(key)!r}"


def planned(key: str, request: Request, at: float, *, keyed: bool) -> Planned:
    """Return the new entry for a request."""
    return Planned(
        key=bytes_of(key),
        keyed=keyed,
        model=storable(request.model),
        kind=storable(request.kind),
        path=storable(request.path),
        payload=encode(request.payload()).decode(),
        num_outputs=min(request.num_outputs, _LARGEST_INTEGER),
        at=at,
    )


def storable(text: str) -> str:
    """Return a text that SQLite takes: what is no Unicode is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()
