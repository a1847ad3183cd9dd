"""The journal as its users and the session see it."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

import anyio
import attrs

from foxapi_async.errors import (
    ConfigurationError,
    InvalidRequestError,
)
from foxapi_async.journal import reading
from foxapi_async.journal.bothways import Count, Entries
from foxapi_async.journal.claims import Claim
from foxapi_async.journal.connection import Opened
from foxapi_async.journal.entry import Entry, SavedFile, json_line
from foxapi_async.journal.operations import (
    Ending,
    Note,
    Saving,
    storable,
)
from foxapi_async.journal.transitions import BY_DECISION, UNFINISHED, JournalStatus
from foxapi_async.models import TaskError, TaskStatus
from foxapi_async.requests import Request

__all__ = ["Journal"]

_LOG: Final = logging.getLogger("foxapi_async.journal")


class Journal:
    """A file that makes submissions idempotent; several processes may share it.

    It is a SQLite database with a log and lock files beside it, so it belongs on a local disk. It
    holds the payloads of requests, never a key of the API, and is readable for its owner only.
    Nothing is opened before a session (or ``async with journal``) does so; looking into it works at
    any time.

    Args:
        path: The file; it is created when it is first opened, its folder is not.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Absolute from here on: a later chdir must not make another journal.
        self.path: Final = Path(os.path.abspath(os.fspath(path)))  # noqa: PTH100 - keeps symlinks
        self._opened: Opened | None = None
        self._users = 0
        self._turn = anyio.Lock()

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r})"

    def unfinished(self) -> Entries:
        """Return what was paid for and not yet brought home: ``task_id`` can be attached again.

        Those whose outcome is unknown have no id and are in ``entries("unknown")``; those that ended
        well but whose files nobody saved are in ``entries("completed")``.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        self._write_first()
        return Entries(reading.read(self.path, UNFINISHED))

    def entries(self, status: JournalStatus | str | None = None) -> Entries:
        """Return all entries, or those of one status, oldest first; see `stream` for many.

        Raises:
            ConfigurationError: The file cannot be read.
            ValueError: There is no such status.
        """
        return Entries(self.stream(status))

    def stream(self, status: JournalStatus | str | None = None) -> Iterator[Entry]:
        """Yield all entries, or those of one status, oldest first, in bounded memory.

        Raises:
            ConfigurationError: The file cannot be read.
            ValueError: There is no such status.
        """
        wanted = None if status is None else (JournalStatus(status),)
        self._write_first()
        return reading.read(self.path, wanted)

    def find(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return the entries of those keys that have one.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        self._write_first()
        return {entry.key: entry for entry in reading.find(self.path, keys)}

    def count(self) -> dict[JournalStatus, int]:
        """Return how many entries there are of each status that occurs, quickly.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        self._write_first()
        return reading.count(self.path)

    def was_forgotten(self, key: str) -> bool:
        """Return whether somebody has removed the key with `forget`.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        return reading.was_forgotten(self.path, key)

    def is_blank(self) -> bool:
        """Return whether nothing was ever recorded.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        self._write_first()
        return reading.is_blank(self.path)

    def forget(self, key: str, *, only: Entry | None = None) -> Entries:
        """Remove what is known of a key, so that it can be submitted, and billed, anew.

        Args:
            key: The key.
            only: Remove the entry only if it still stands as this one does; somebody else may have
                decided on the key since it was looked up.

        Returns what was removed: one entry, or none.

        Raises:
            ConfigurationError: It is being submitted right now, or the file cannot be written.
        """
        self._write_first()
        removed = Entries(reading.forget(self.path, key, only))
        for entry in removed:
            _LOG.warning("forgot %r: it was %s, task %s", key, entry.status, entry.task_id)
        return removed

    def export(self, target: str | os.PathLike[str] | TextIO) -> Count:
        """Write all entries as JSON lines to a file or a path; return how many.

        Raises:
            ConfigurationError: The journal cannot be read.
            OSError: The target cannot be written.
        """
        if not isinstance(target, str | os.PathLike):
            return Count(_write_lines(self.stream(), target))
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - for the mode
            return Count(_write_lines(self.stream(), file))

    async def open(self) -> None:
        """Open the file to write; each call needs an `aclose` of its own.

        Raises:
            ConfigurationError: The file cannot be used (no folder, not writable, not a journal,
                damaged, locked, or written by a newer release), or is open in another event loop.
        """
        async with self._turn:
            if self._current() is None:
                self._opened = await Opened.at(self.path)
                self._users = 0
            self._users += 1

    async def aclose(self) -> None:
        """Write what is left and close the file, if this was the last user."""
        opened = self._current()
        if opened is None:
            return
        self._users -= 1
        if self._users == 0:
            # Before the first pause: who opens it again meanwhile gets an opening of their own.
            self._opened = None
            with anyio.CancelScope(shield=True):
                await opened.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.aclose()

    async def claim(self, key: str | None, request: Request) -> Claim:
        """Ask for a key; return when it is the caller's to submit, or known as a task.

        While somebody else is submitting it, in this process or another, this waits.

        Args:
            key: Any text; None for a random one.
            request: What the key stands for.

        Raises:
            InvalidRequestError: The key stands for another request.
            SubmissionUnknownError: It may have been billed before, and nobody knows the id.
            ConfigurationError: The journal is not open, or cannot be written.
        """
        desk = self._running().desk
        if key is None:
            return desk.claim_without_key(request)
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - not everybody checks types
            raise InvalidRequestError(f"key is {key!r}; it must be a text", field="key", value=key)
        return await desk.claim(key, request)

    def submit_anew(self, entry: Entry) -> None:
        """Let the key of a failed or unknown entry be submitted, and billed, once more.

        A person's decision. It is for the next submission of the key in this process; until its POST
        leaves, and if the server refuses it, the entry stays what it is.

        Args:
            entry: As it was found; if somebody else has decided on the key since, nothing changes.

        Raises:
            ConfigurationError: The journal is not open, or the entry is neither failed nor unknown.
        """
        if entry.status not in BY_DECISION:
            raise ConfigurationError(
                f"{entry.key!r} is {entry.status}; only what failed or is unknown is sent once more"
            )
        self._running().desk.submit_anew(entry)

    def ended(self, task_id: str, status: TaskStatus, *, error: TaskError | None = None) -> None:
        """Record how a task ended, within about a second; tasks of others are ignored.

        Args:
            task_id: Any id, with an entry or without.
            status: A terminal status; a cancelled task counts as failed, with the code "cancelled".
            error: Why it failed.
        """
        completed = status is TaskStatus.COMPLETED
        code = (error and error.code) or (None if completed else status.value)
        self._running().commit.put(
            Ending(
                task_id=storable(task_id),
                now=JournalStatus.COMPLETED if completed else JournalStatus.FAILED,
                at=time.time(),
                error_code=code and storable(code),
                text=storable(error.message) if error and error.message else None,
            )
        )

    async def saved(self, task_id: str, files: Sequence[SavedFile]) -> None:
        """Record where the files of a task are; return when that is durable."""
        text = json.dumps([attrs.asdict(file) for file in files])
        change = Saving(task_id=storable(task_id), files=text, at=time.time())
        await self._running().commit.make(change)

    def remember(self, name: str, value: object) -> None:
        """Keep a JSON value for the next run, within about a second; None removes it.

        Raises:
            TypeError: The value is not JSON.
        """
        text = None if value is None else json.dumps(value)
        self._running().commit.put(Note(name=storable(name), value=text, at=time.time()))

    async def recall(self, name: str) -> Any:
        """Return what was last remembered under a name, by any process.

        None if nothing was, or if it is no JSON any more: what is kept here is a help, and to be without it no reason
        not to begin.
        """
        text = await self._running().recall(storable(name))
        try:
            return None if text is None else json.loads(text)
        except (ValueError, RecursionError) as error:
            _LOG.warning("what %s remembers as %r cannot be read: %s", self, name, error)
            return None

    def _current(self) -> Opened | None:
        """Return what is open here; what was left in a dead event loop or by a fork is not."""
        opened = self._opened
        if opened is not None and opened.abandon_if_dead():
            opened = self._opened = None
        if opened is not None and not opened.is_here():
            raise ConfigurationError(
                f"{self!r} is open in another event loop; use a Journal object of its own for each "
                "event loop, they may share the file"
            )
        return opened

    def _running(self) -> Opened:
        opened = self._current()
        if opened is None:
            raise ConfigurationError(f"{self!r} is not open; a session or `async with` opens it")
        return opened

    def _write_first(self) -> None:
        """Write what this event loop has not yet written, so that a look sees it."""
        if self._opened is not None and self._opened.is_here():
            self._opened.commit.flush_now()


def _write_lines(entries: Iterable[Entry], file: TextIO) -> int:
    written = 0
    for entry in entries:
        file.write(json_line(entry) + "\n")
        written += 1
    return written
