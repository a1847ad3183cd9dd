"""The journal as its users and the session see it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

import anyio
import attrs

from foxapi_async.errors import (
    ConfigurationError,
    InvalidRequestError,
    SubmissionUnknownError,
)
from foxapi_async.journal import reading
from foxapi_async.journal.bothways import Count, Entries
from foxapi_async.journal.changes import (
    Claiming,
    Ending,
    Move,
    Note,
    Planned,
    Saving,
    planned,
    storable,
)
from foxapi_async.journal.claims import Claim, Gate
from foxapi_async.journal.commit import GroupCommit
from foxapi_async.journal.entry import Entry, SavedFile, json_line
from foxapi_async.journal.moves import UNFINISHED, JournalStatus
from foxapi_async.journal.reuse import difference
from foxapi_async.journal.store import Store
from foxapi_async.journal.trouble import FILE_TROUBLE, configuration_error
from foxapi_async.models import TaskError, TaskStatus
from foxapi_async.requests import Request

__all__ = ["Journal"]

_LOG: Final = logging.getLogger("foxapi_async.journal")

_FIRST_LOOK: Final = 0.05
_LONGEST_LOOK: Final = 0.5
"""Seconds between looks at a key that another process is submitting; a POST takes about as long."""


@attrs.frozen(eq=False)
class _Opened:
    """What exists between the first opening and the last closing, in one event loop."""

    loop: asyncio.AbstractEventLoop
    process: int
    thread: ThreadPoolExecutor
    store: Store
    commit: GroupCommit
    gates: dict[str, Gate] = attrs.field(factory=dict[str, Gate])


_left_behind: Final[list[_Opened]] = []
"""What a fork copied. It must not even be closed: SQLite would think that this was the last user."""


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
        self._opened: _Opened | None = None
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

    def forget(self, key: str) -> Entries:
        """Remove what is known of a key, so that it can be submitted, and billed, anew.

        Returns what was removed: one entry, or none.

        Raises:
            ConfigurationError: It is being submitted right now, or the file cannot be written.
        """
        self._write_first()
        removed = Entries(reading.forget(self.path, key))
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
                self._opened = await self._open()
                self._users = 0
            self._users += 1

    async def aclose(self) -> None:
        """Write what is left and close the file, if this was the last user."""
        with anyio.CancelScope(shield=True):
            async with self._turn:
                opened = self._current()
                if opened is None:
                    return
                self._users -= 1
                if self._users > 0:
                    return
                await opened.commit.flush()
                opened.commit.give_up()
                await opened.loop.run_in_executor(opened.thread, opened.store.close)
                opened.thread.shutdown(wait=False)
                self._opened = None

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
        opened = self._running()
        if key is None:
            key = uuid.uuid4().hex
            new = planned(key, request, time.time(), keyed=False)
            # Nobody else can ask for it, so it is enough if it is written with the first move.
            opened.commit.put(Claiming(new=new))
            return Claim(key, num_outputs=request.num_outputs, new=new, commit=opened.commit)
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a type checker
            raise InvalidRequestError(f"key is {key!r}; it must be a text", field="key", value=key)
        new = planned(key, request, time.time(), keyed=True)
        pause = _FIRST_LOOK
        while True:
            gate = opened.gates.get(key)
            if gate is not None:
                _check_same(key, gate.new, new)
                entry = await gate.wait()
                if entry is None:
                    continue
            else:
                change = await self._take(opened, key, new)
                entry = change.found
                if change.taken:
                    return Claim(
                        key,
                        num_outputs=request.num_outputs,
                        new=new,
                        commit=opened.commit,
                        leave=lambda: opened.gates.pop(key).open(None),
                    )
                if change.held:
                    await anyio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_LOOK)
                    continue
            assert entry is not None  # noqa: S101 - whoever did not get the key was told why
            return self._attach(opened, entry, request, new)

    async def ended(
        self, task_id: str, status: TaskStatus, *, error: TaskError | None = None
    ) -> None:
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
        """Return what was last remembered under a name, by any process; None if nothing was."""
        opened = self._running()
        await opened.commit.flush()
        try:
            text = await opened.loop.run_in_executor(
                opened.thread, opened.store.recall, storable(name)
            )
        except FILE_TROUBLE as error:
            raise configuration_error(self.path, error) from error
        return None if text is None else json.loads(text)

    async def _take(self, opened: _Opened, key: str, new: Planned) -> Claiming:
        """Ask the file for a key, while the others of this process wait."""
        gate = opened.gates[key] = Gate(new)
        change = Claiming(new=new)

        def leave(entry: Entry | None = None) -> None:
            del opened.gates[key]
            gate.open(entry)

        def give_back() -> None:
            if change.taken:
                opened.commit.put(_release(new))
            leave()

        change.if_abandoned = give_back
        try:
            await opened.commit.make(change)
        except Exception:
            leave()
            raise
        if not change.taken:
            leave(None if change.held else change.found)
        return change

    def _attach(self, opened: _Opened, entry: Entry, request: Request, new: Planned) -> Claim:
        different = difference(entry, new.path, new.payload)
        if different:
            raise _other_request(entry.key, different, entry.status)
        if entry.status is JournalStatus.UNKNOWN:
            why = f" ({entry.error})" if entry.error else ""
            raise SubmissionUnknownError(
                f"the submission {entry.key!r} of {entry.updated:%Y-%m-%d %H:%M:%S} UTC may have been "
                f"billed, and no id came back{why}; it is not sent again by itself. Look at what the "
                f"service billed, then journal.forget({entry.key!r}) allows a new submission",
                request=request,
                key=entry.key,
            )
        return Claim(
            entry.key, num_outputs=entry.num_outputs, new=new, commit=opened.commit, entry=entry
        )

    async def _open(self) -> _Opened:
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="foxapi-journal")
        try:
            store = await loop.run_in_executor(thread, Store, self.path)
        except FILE_TROUBLE as error:
            raise configuration_error(self.path, error) from error
        except BaseException:
            thread.shutdown(wait=False)
            raise
        commit = GroupCommit(self.path, store, thread)
        return _Opened(loop=loop, process=os.getpid(), thread=thread, store=store, commit=commit)

    def _current(self) -> _Opened | None:
        """Return what is open here; what was left in a dead event loop or by a fork is not."""
        opened = self._opened
        if opened is None:
            return None
        if opened.process != os.getpid():
            _left_behind.append(opened)
            self._opened = None
            return None
        if opened.loop.is_closed():
            opened.thread.submit(opened.store.close)
            opened.thread.shutdown(wait=True)
            self._opened = None
            return None
        if opened.loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                f"{self!r} is open in another event loop; use a Journal object of its own for each "
                "event loop, they may share the file"
            )
        return opened

    def _running(self) -> _Opened:
        opened = self._current()
        if opened is None:
            raise ConfigurationError(f"{self!r} is not open; a session or `async with` opens it")
        return opened

    def _write_first(self) -> None:
        """Write what this event loop has not yet written, so that a look sees it."""
        opened = self._opened
        if opened is None or opened.process != os.getpid() or opened.loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is opened.loop
        except RuntimeError:
            here = False
        if here:
            opened.commit.flush_now()


def _check_same(key: str, holder: Planned, new: Planned) -> None:
    if (holder.path, holder.payload) == (new.path, new.payload):
        return
    before = json.loads(holder.payload)
    if holder.path != new.path or json.loads(new.payload) != before:
        raise _other_request(key, "it differs from the one under way", JournalStatus.SENDING)


def _other_request(key: str, different: str, status: JournalStatus) -> InvalidRequestError:
    hint = "use another key"
    if status in {JournalStatus.PLANNED, JournalStatus.REJECTED}:
        hint += f", or journal.forget({key!r}): nothing was billed for it"
    return InvalidRequestError(
        f"key {key!r} stands for another request ({status}): {different}; {hint}",
        field="key",
        value=key,
    )


def _release(new: Planned) -> Move:
    return Move(
        key=new.key,
        was=JournalStatus.PLANNED,
        now=JournalStatus.PLANNED,
        at=time.time(),
        text="the caller gave up waiting",
        new=new,
    )


def _write_lines(entries: Iterable[Entry], file: TextIO) -> int:
    written = 0
    for entry in entries:
        file.write(json_line(entry) + "\n")
        written += 1
    return written
