"""The journal as callers and the session use it, whatever database keeps it."""

from __future__ import annotations

import json
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, Self, TextIO

import anyio
import attrs

from foxapi_async.errors import ConfigurationError, InvalidRequestError
from foxapi_async.http.ids import check_task_id
from foxapi_async.journal.backend import Backend
from foxapi_async.journal.claims import Claim, ClaimRegistry
from foxapi_async.journal.entry import Entry, JournalStatus, SavedFile, json_line, storable
from foxapi_async.journal.operations import RecordEnd, RecordFiles, RecordValue
from foxapi_async.journal.shared_limits import AdoptOrphans, ExchangeLimits
from foxapi_async.journal.transitions import RESUBMITTABLE, UNFINISHED
from foxapi_async.journal.writer import Writer
from foxapi_async.models import TaskError, TaskStatus
from foxapi_async.requests import Request

_log = logging.getLogger("foxapi_async.journal")


class StoredJournal(ABC):
    """What `Journal` and `PostgresJournal` have in common.

    A session or ``async with journal`` opens it for writing. The methods that are not async read the
    database at any time, open or not, and block meanwhile. All methods raise ConfigurationError if
    the database cannot be used.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend: Final = backend
        self._claims: ClaimRegistry | None = None
        self._users = 0
        self._open_lock = anyio.Lock()

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the journal is, as `Session` takes it, but without a password."""

    @property
    def label(self) -> str:
        """How messages name the journal."""
        return self._backend.label

    def unfinished(self) -> list[Entry]:
        """Return the submissions whose tasks have not ended; each ``task_id`` can be attached.

        Unknown submissions have no id and are in ``entries("unknown")``; completed tasks whose files
        were not saved are in ``entries("completed")``.
        """
        self._flush()
        return list(self._backend.read(UNFINISHED))

    def entries(self, status: JournalStatus | str | None = None) -> list[Entry]:
        """Return all entries, or those of one status, oldest first; see `stream` for many.

        Raises:
            ValueError: There is no such status.
        """
        return list(self.stream(status))

    def stream(self, status: JournalStatus | str | None = None) -> Iterator[Entry]:
        """Yield all entries, or those of one status, oldest first, in bounded memory.

        Raises:
            ValueError: There is no such status.
        """
        statuses = None if status is None else (JournalStatus(status),)
        self._flush()
        return self._backend.read(statuses)

    def find(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return the entries of those keys that have one."""
        self._flush()
        return {entry.key: entry for entry in self._backend.find(keys)}

    async def lookup(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return the entries of those keys that have one; `find` for an open journal, without blocking.

        Like writes, this waits for a server that is away.
        """
        names = list(keys)
        found = await self._running().writer.read(lambda database: database.entries(names))
        return {entry.key: entry for entry in found}

    def is_away(self, error: BaseException) -> bool:
        """Return whether a query has failed because the database is away: it may succeed later."""
        return error.__cause__ is not None and self._backend.is_outage(error.__cause__)

    def stop_waiting(self) -> None:
        """Fail what waits for a server that is away; the ids that it could not record are told and logged."""
        if (claims := self._current()) is not None:
            claims.writer.stop_waiting()

    def count(self) -> dict[JournalStatus, int]:
        """Return the number of entries of each status that occurs; faster than `entries`."""
        self._flush()
        return self._backend.count()

    def images(self) -> tuple[int, int]:
        """Return how many images all submissions have billed, and how many may be billed besides.

        Submissions that were forgotten or submitted once more count, too.
        """
        self._flush()
        return self._backend.images()

    def was_forgotten(self, key: str) -> bool:
        """Return whether the key was removed with `forget`."""
        return self._backend.was_forgotten(key)

    def is_blank(self) -> bool:
        """Return whether nothing was ever recorded."""
        self._flush()
        return self._backend.is_blank()

    def forget(self, key: str, *, only: Entry | None = None) -> list[Entry]:
        """Remove the entry of a key, so that the key can be submitted, and billed, again.

        With ``only``, remove the entry only if it is unchanged since that one was read. Return what was
        removed: one entry, or none.

        Raises:
            ConfigurationError: It is being submitted right now, or the journal cannot be written.
        """
        self._flush()
        removed = self._backend.forget(key, only)
        for entry in removed:
            _log.warning("key %r forgotten: it was %s, task %s", key, entry.status, entry.task_id)
        return removed

    def resolve(self, key: str, task_id: str) -> Entry:
        """Settle an unknown submission by hand: its task exists and has this id. Return the new entry.

        The next submission of the key, in any process, gives a handle on the task and sends nothing.

        Raises:
            InvalidRequestError: The id has a wrong form or belongs to another entry, there is no entry
                of the key, or it is not unknown.
            ConfigurationError: The file cannot be written.
        """
        check_task_id(task_id)
        self._flush()
        entry = self._backend.resolve(key, task_id)
        _log.warning("key %r resolved: its task is %s", key, task_id)
        return entry

    def export(self, target: str | os.PathLike[str] | TextIO) -> int:
        """Write all entries as JSON lines to a file or a path; return their number.

        Raises:
            ConfigurationError: The journal cannot be read.
            OSError: The target cannot be written.
        """
        if isinstance(target, str | os.PathLike):
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - for the mode
                return self.export(file)
        number = 0
        for number, entry in enumerate(self.stream(), 1):  # noqa: B007 - counts
            target.write(json_line(entry) + "\n")
        return number

    async def open(self) -> None:
        """Open the journal for writing; each call needs its own `aclose`.

        Raises:
            ConfigurationError: The database cannot be used (a file: no folder, not writable, not a
                journal, damaged, locked; a server: not reached; either: written by a newer release), or
                the journal is open in another event loop.
        """
        # Concurrent callers share one opening.
        async with self._open_lock:
            if self._current() is None:
                self._claims = ClaimRegistry(await Writer.open(self._backend))
                self._users = 0
            self._users += 1

    async def aclose(self) -> None:
        """Write what is queued and close the database, if this was the last user."""
        claims = self._current()
        if claims is None:
            return
        self._users -= 1
        if self._users == 0:
            # Before the first await: a concurrent `open` must not get a file that is being closed.
            self._claims = None
            with anyio.CancelScope(shield=True):
                await claims.writer.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def claim(self, key: str | None, request: Request) -> Claim:
        """Claim a key; return when the caller may submit it, or when its task is known.

        This waits while the key is being submitted, in this process or another. ``key`` is any text;
        None for a random key.

        Raises:
            InvalidRequestError: The key belongs to another request.
            SubmissionUnknownError: A task may have been billed before, and its id is not known.
            ConfigurationError: The journal is not open, or cannot be written.
        """
        claims = self._running()
        if key is None:
            return claims.claim_random(request)
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - not everybody checks types
            raise InvalidRequestError(f"key is {key!r}; it must be a str", field="key", value=key)
        return await claims.claim(key, request)

    def resubmit(self, entry: Entry) -> None:
        """Let the key of a failed or unknown entry be submitted, and billed, once more.

        This applies to the next submission of the key in this process. The entry keeps its status
        until the POST leaves, and gets it back if the server refuses it. If the entry is changed before
        the submission, nothing happens.

        Raises:
            ConfigurationError: The journal is not open, or the entry is neither failed nor unknown.
        """
        if entry.status not in RESUBMITTABLE:
            raise ConfigurationError(
                f"the key {entry.key!r} is {entry.status}; only failed and unknown submissions can be "
                "submitted again"
            )
        self._running().resubmit(entry)

    def ended(self, task_id: str, status: TaskStatus, *, error: TaskError | None = None) -> None:
        """Record how a task ended, within about a second; tasks without an entry are ignored.

        ``status`` is terminal. A cancelled task counts as failed, with the code "cancelled".
        """
        completed = status is TaskStatus.COMPLETED
        code = (error and error.code) or (None if completed else status.value)
        self._running().writer.put(
            RecordEnd(
                task_id=storable(task_id),
                after=JournalStatus.COMPLETED if completed else JournalStatus.FAILED,
                at=time.time(),
                error_code=code and storable(code),
                text=storable(error.message) if error and error.message else None,
            )
        )

    async def saved(self, task_id: str, files: Sequence[SavedFile]) -> None:
        """Record where the files of a task are; return when that is durable."""
        text = json.dumps([attrs.asdict(file) for file in files])
        record = RecordFiles(task_id=storable(task_id), files=text, at=time.time())
        await self._running().writer.write(record)

    def remember(self, name: str, value: object) -> None:
        """Keep a JSON value for later runs, within about a second; None removes it.

        Raises:
            TypeError: The value is not JSON.
        """
        text = None if value is None else json.dumps(value)
        self._running().writer.put(RecordValue(name=storable(name), value=text, at=time.time()))

    async def recall(self, name: str) -> Any:
        """Return the value that any process has last remembered under a name.

        Returns None if there is none, or if it is not valid JSON: a damaged value must not keep a
        session from starting.
        """
        name = storable(name)
        text = await self._running().writer.read(lambda database: database.recall(name))
        try:
            return None if text is None else json.loads(text)
        except (ValueError, RecursionError) as error:
            _log.warning("%s: the value of %r is ignored, it is not JSON: %s", self, name, error)
            return None

    def remembered(self, names: Sequence[str]) -> dict[str, Any]:
        """Return those of at most 500 values that were remembered, by name; what is not JSON is left out."""
        self._flush()
        values: dict[str, Any] = {}
        for name, text in self._backend.remembered(names).items():
            with suppress(ValueError, RecursionError):
                values[name] = json.loads(text)
        return values

    async def has_task(self, task_id: str) -> bool:
        """Return whether an entry has the task."""
        name = storable(task_id)
        return await self._running().writer.read(lambda database: database.has_task(name))

    async def exchange_limits(self, exchange: ExchangeLimits) -> ExchangeLimits:
        """Exchange limits with the other sessions of the journal, and return the answer."""
        await self._running().writer.write(exchange)
        return exchange

    async def adopt_orphans(self, most: int, tracked: Sequence[str]) -> Sequence[Entry]:
        """Take over at most so many tasks in flight that no session waits for."""
        orphans = AdoptOrphans(most=most, tracked=tracked)
        await self._running().writer.write(orphans)
        return orphans.found

    def _current(self) -> ClaimRegistry | None:
        claims = self._claims
        # A Journal object may outlive event loops, for example one asyncio.run() after another.
        if claims is not None and claims.writer.close_if_orphaned():
            claims = self._claims = None
        if claims is not None and not claims.writer.is_here:
            raise ConfigurationError(
                f"{self!r} is open in another event loop; use one journal object for each event loop, "
                "they may share the database"
            )
        return claims

    def _running(self) -> ClaimRegistry:
        claims = self._current()
        if claims is None:
            raise ConfigurationError(f"{self!r} is not open; a session or `async with` opens it")
        return claims

    def _flush(self) -> None:
        # A query must see what this event loop has queued.
        if self._claims is not None and self._claims.writer.is_here:
            self._claims.writer.flush_now()
