"""A key that somebody has asked for: to be submitted by them, or a task that exists already."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

import anyio
import attrs

from foxapi_async.errors import APIStatusError, FoxAPIError
from foxapi_async.journal.entry import Entry
from foxapi_async.journal.operations import (
    Change,
    Dropping,
    Move,
    Planned,
    Reinstating,
    Retaking,
    storable,
)
from foxapi_async.journal.transitions import JournalStatus, check_move
from foxapi_async.journal.writer import GroupCommit

__all__ = ["Claim", "ClaimAnew", "Gate"]


@attrs.define(eq=False)
class Gate:
    """One coroutine of this process is deciding on a key; the others wait here."""

    new: Planned
    _decided: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _entry: Entry | None = attrs.field(default=None, init=False)

    def open(self, entry: Entry | None) -> None:
        """Let the others go on, with what was found, or to try for themselves."""
        self._entry = entry
        self._decided.set()

    async def wait(self) -> Entry | None:
        """Wait until it is decided; return the entry if that is all there is to know."""
        await self._decided.wait()
        return self._entry


class Claim:
    """What the journal says about a key.

    ``is_new``: it is the caller's to submit, and exactly one of `accepted`, `rejected`, `unknown`
    and `not_sent` must follow; leaving ``async with claim`` sees to that. Otherwise ``entry`` is the
    task that exists already, and the caller attaches to ``task_id``.
    """

    def __init__(
        self,
        key: str,
        *,
        num_outputs: int,
        new: Planned,
        commit: GroupCommit,
        entry: Entry | None = None,
        leave: Callable[[], None] | None = None,
    ) -> None:
        self.key: Final = key
        self.num_outputs: Final = num_outputs
        self.entry: Final = entry
        self.status: JournalStatus = JournalStatus.PLANNED if entry is None else entry.status
        self.is_lost: bool = False
        """Whether somebody else has decided on the key meanwhile; it may be asked for again."""
        self._new: Final = new
        self._commit: Final = commit
        self._leave = leave

    @property
    def is_new(self) -> bool:
        """Whether the caller must submit."""
        return self.entry is None

    @property
    def task_id(self) -> str | None:
        """The id of the task that exists already."""
        return None if self.entry is None else self.entry.task_id

    @property
    def submitted_at(self) -> datetime | None:
        """When the id of that task became known, in UTC."""
        return None if self.entry is None else self.entry.submitted

    @property
    def estimated_time(self) -> float | None:
        """Seconds that the server announced for that task."""
        return None if self.entry is None else self.entry.estimated_time

    async def sending(self) -> None:
        """Record that the POST is about to leave; return when that is durable.

        Raises:
            ConfigurationError: It cannot be recorded; nothing may be sent.
        """
        before = self.status
        move = self._move(JournalStatus.SENDING, keep=True)
        try:
            await self._commit.make(move)
        except Exception:
            self.status = before
            raise

    async def accepted(self, task_id: str, estimated_time: float | None = None) -> None:
        """Record the id; return when it is durable. Until then nobody may see it.

        Raises:
            FoxAPIError: It is not durable; the error carries the id, which is also logged, kept in
                memory and tried again.
        """
        move = self._move(JournalStatus.ACCEPTED)
        move.task_id, move.estimated_time = storable(task_id), estimated_time
        await self._decide(move)

    async def rejected(self, error: BaseException | str) -> None:
        """Record that the server refused and billed nothing; the key may be claimed again."""
        await self._decide(self._move(JournalStatus.REJECTED, why=error))

    async def unknown(self, error: BaseException | str) -> None:
        """Record that the task may have been created; the key is blocked until it is forgotten."""
        await self._decide(self._move(JournalStatus.UNKNOWN, why=error))

    async def postponed(self, reason: BaseException | str) -> None:
        """Record that certainly no task was created; the caller will try again with `sending`."""
        await self._commit.make(self._move(JournalStatus.PLANNED, why=reason, keep=True))

    async def not_sent(self, reason: BaseException | str) -> None:
        """Record that certainly no task was created, and let go of the key."""
        if self.status is JournalStatus.PLANNED:
            move = self._change(self.status, reason, keep=False)
        else:
            move = self._move(JournalStatus.PLANNED, why=reason)
        if self._new.keyed:
            await self._decide(move)
        else:
            self._commit.put(Dropping(key=move.key))
            self._go()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _: type[BaseException] | None,
        error: BaseException | None,
        __: TracebackType | None,
    ) -> None:
        if self._leave is None:
            return
        with anyio.CancelScope(shield=True):
            why = error or "it was left without an answer"
            if self.status is JournalStatus.SENDING:
                await self.unknown(why)
            else:
                await self.not_sent(why)

    def _move(
        self, after: JournalStatus, *, why: BaseException | str | None = None, keep: bool = False
    ) -> Move:
        check_move(self.status, after)
        before, self.status = self.status, after
        return self._change(before, why, keep=keep)

    def _change(
        self, before: JournalStatus, why: BaseException | str | None, *, keep: bool
    ) -> Move:
        code = why.code if isinstance(why, APIStatusError) else None
        return Move(
            key=self._new.key,
            was=before,
            now=self.status,
            at=time.time(),
            keep=keep,
            error_code=code and storable(code),
            text=None if why is None else storable(str(why) or type(why).__name__),
            new=self._new,
        )

    async def _decide(self, change: Change) -> None:
        try:
            await self._commit.make(change)
        finally:
            # Also if the waiting was cancelled: whoever asks next is served after this change.
            self._go()

    def _go(self) -> None:
        if self._leave is not None:
            self._leave()
            self._leave = None


class ClaimAnew(Claim):
    """A key whose submission failed or is unknown, which a person wants to be sent once more.

    The entry stays what it was until the POST is about to leave, and becomes it again if the server
    certainly created nothing.
    """

    def __init__(self, key: str, over: Entry, **known: Any) -> None:
        super().__init__(key, **known)
        self._over: Final = over
        self.status = over.status

    async def sending(self) -> None:
        """Record that the POST is about to leave; return when that is durable.

        Raises:
            FoxAPIError: Somebody else has decided on the key; ``is_lost`` is true from now on.
            ConfigurationError: It cannot be recorded; nothing may be sent.
        """
        change = Retaking(new=self._new, over=self._over)
        # Before the wait: who is cancelled in it does not know whether it was recorded.
        self.status = JournalStatus.SENDING
        try:
            await self._commit.make(change)
        except Exception:
            self.status = self._over.status
            raise
        self.is_lost: bool = not change.taken
        if self.is_lost:
            self.status = self._over.status
            raise FoxAPIError(f"somebody else has decided on {self.key!r}; nothing was sent")

    async def rejected(self, error: BaseException | str) -> None:  # noqa: ARG002
        """Record that the server refused; what was true of the key before is true again."""
        await self._decide(self._back())

    async def postponed(self, reason: BaseException | str) -> None:  # noqa: ARG002
        """Record that certainly no task was created; the caller will try again with `sending`."""
        await self._commit.make(self._back())

    async def not_sent(self, reason: BaseException | str) -> None:  # noqa: ARG002
        """Record that certainly no task was created, and let go of the key."""
        if self.status is JournalStatus.SENDING:
            await self._decide(self._back())
        else:
            self._go()

    def _back(self) -> Reinstating:
        self.status: JournalStatus = self._over.status
        return Reinstating(key=self._new.key, over=self._over)
