"""Claims of keys: a claim is either new and the caller's to submit, or the existing submission."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import anyio
import attrs

from foxapi_async.errors import (
    APIStatusError,
    FoxAPIError,
    InvalidRequestError,
    SubmissionUnknownError,
)
from foxapi_async.journal.entry import Entry, JournalStatus, storable, text_of
from foxapi_async.journal.operations import ClaimKey, DeleteUnsent, NewEntry, Transition, new_entry
from foxapi_async.journal.transitions import check_transition
from foxapi_async.requests import Request

if TYPE_CHECKING:
    from foxapi_async.journal.writer import Writer

_FIRST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 0.5
"""Seconds between queries for a key that another process submits; a POST takes about as long."""


@attrs.define(eq=False)
class PendingClaim:
    """A key that one coroutine of this process decides on; the others wait for its decision."""

    new: NewEntry
    answered: asyncio.Event = attrs.field(factory=asyncio.Event)
    finished: asyncio.Event = attrs.field(factory=asyncio.Event)
    entry: Entry | None = None
    """The entry that settles the other claims too; None if the key must be claimed again."""


class Claim:
    """What the journal says about a key.

    If ``is_new``, the caller must submit and then call exactly one of `accepted`, `rejected`,
    `unknown` and `not_sent`; leaving ``async with claim`` without a call records `unknown` or
    `not_sent`. Otherwise ``entry`` is the existing submission.

    The ``previous`` entry of a resubmission is failed or unknown. It stays as it is until the POST is
    about to leave, and is restored if no task was created.
    """

    def __init__(
        self,
        registry: ClaimRegistry,
        new: NewEntry,
        *,
        entry: Entry | None = None,
        previous: Entry | None = None,
    ) -> None:
        self.key: Final = text_of(new.key)
        self.entry: Final = entry
        self.status: JournalStatus = entry.status if entry else JournalStatus.PLANNED
        self.is_lost: bool = False
        """Whether another claim has changed the previous entry; the key may be claimed again."""
        self.needs_place: bool = False
        """Whether `sending` also fails if the submission has lost its place among all sessions."""
        self._registry: Final = registry
        self._new: Final = new
        self._previous: Final = previous
        self._is_pending = self.is_new

    @property
    def is_new(self) -> bool:
        """Whether the caller must submit."""
        return self.entry is None

    async def sending(self) -> None:
        """Record durably that the POST is about to leave; if this raises, nothing may be sent.

        If another claim has changed the entry, ``is_lost`` is true from now on.
        """
        before = self.status
        transition = self._transition(JournalStatus.SENDING, keep=True)
        try:
            await self._registry.writer.write(transition)
        except Exception:
            # Not after a cancellation: then nobody knows whether it was recorded.
            self.status = before
            raise
        if transition.is_lost:
            self.is_lost, self.status = True, before
            raise FoxAPIError(
                f"another process or task has changed the entry of the key {self.key!r}; nothing was "
                "sent. Claim the key again"
            )

    async def keep_response(self, error: SubmissionUnknownError) -> None:
        """Record durably what the server said, while it is asked for the task that it may mean.

        If the process dies meanwhile, the entry is unknown and still names that task.
        """
        if error.response is not None:
            await self._registry.writer.write(
                self._transition(JournalStatus.SENDING, error, keep=True)
            )

    async def accepted(self, task_id: str, estimated_time: float | None = None) -> None:
        """Record the id; return when it is durable. Nobody may get the id before.

        A FoxAPIError has the id, which is also logged, kept in memory and written again later.
        """
        transition = self._transition(JournalStatus.ACCEPTED)
        transition.task_id, transition.estimated_time = storable(task_id), estimated_time
        await self._finish_with(transition)

    async def rejected(self, error: BaseException | str) -> None:
        """Record that the server refused and billed nothing; the key may be claimed again."""
        await self._finish_with(self._transition(JournalStatus.REJECTED, error))

    async def unknown(self, error: BaseException | str) -> None:
        """Record that a task may have been created; the key is blocked until it is forgotten."""
        await self._finish_with(self._transition(JournalStatus.UNKNOWN, error))

    async def postponed(self, reason: BaseException | str) -> None:
        """Record that no task was created; the caller will try again with `sending`."""
        transition = self._transition(JournalStatus.PLANNED, reason, keep=True)
        await self._registry.writer.write(transition)

    async def not_sent(self, reason: BaseException | str) -> None:
        """Record that no task was created, and release the key."""
        was_sending = self.status is JournalStatus.SENDING
        transition = self._transition(JournalStatus.PLANNED, reason)
        if self.is_lost or (self._previous is not None and not was_sending):
            # The entry belongs to another claim, or the previous one is still there.
            self._finish()
        elif self._previous is None and not self._new.keyed:
            self._registry.writer.put(DeleteUnsent(key=self._new.key))
            self._finish()
        else:
            await self._finish_with(transition)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not self._is_pending:
            return
        with anyio.CancelScope(shield=True):
            reason = error or "the claim was left without a result"
            if self.status is JournalStatus.SENDING:
                await self.unknown(reason)
            else:
                await self.not_sent(reason)

    def _transition(
        self, after: JournalStatus, reason: BaseException | str | None = None, *, keep: bool = False
    ) -> Transition:
        before = self.status
        # A planned entry stays planned when it is released, and one that is being sent stays so
        # when what the server said is kept.
        is_same = before is after and after in {JournalStatus.PLANNED, JournalStatus.SENDING}
        if not is_same:
            check_transition(before, after)
        self.status = after
        is_sent = before is JournalStatus.SENDING and after is JournalStatus.SENDING
        may_have_task = is_sent or after in {JournalStatus.ACCEPTED, JournalStatus.UNKNOWN}
        cause = reason.__cause__ if isinstance(reason, SubmissionUnknownError) else reason
        code = cause.code if isinstance(cause, APIStatusError) else None
        response = reason.response if isinstance(reason, SubmissionUnknownError) else None
        return Transition(
            new=self._new,
            needs_place=self.needs_place,
            before=before,
            after=after,
            at=time.time(),
            keep=keep,
            error_code=code and storable(code),
            text=None if reason is None else storable(str(reason) or type(reason).__name__),
            response=response and storable(response),
            previous=None if may_have_task else self._previous,
        )

    async def _finish_with(self, transition: Transition) -> None:
        try:
            await self._registry.writer.write(transition)
        finally:
            # Also if the wait was cancelled: the next claim is queued behind this transition.
            self._finish()

    def _finish(self) -> None:
        if self._is_pending:
            self._is_pending = False
            self._registry.finish(self.key)


class ClaimRegistry:
    """Gives each key to one coroutine of an event loop at a time."""

    def __init__(self, writer: Writer) -> None:
        self.writer: Final = writer
        self._pending: Final[dict[str, PendingClaim]] = {}
        self._resubmissions: Final[dict[str, Entry]] = {}

    def resubmit(self, entry: Entry) -> None:
        """Make the next claim of the key new, if the entry is unchanged by then."""
        self._resubmissions[entry.key] = entry

    def finish(self, key: str, entry: Entry | None = None) -> None:
        """Let the other coroutines continue that have claimed a key."""
        pending = self._pending.pop(key)
        pending.entry = entry
        pending.finished.set()
        pending.answered.set()

    def claim_random(self, request: Request) -> Claim:
        """Return a claim of a random key."""
        key = uuid.uuid4().hex
        new = new_entry(key, request, time.time(), keyed=False)
        # Nobody else knows the key, so it may be written together with the first transition.
        self._pending[key] = PendingClaim(new)
        self.writer.put(ClaimKey(new=new))
        return Claim(self, new)

    async def claim(self, key: str, request: Request) -> Claim:
        """Return the claim of a key once nobody else is deciding on it."""
        new = new_entry(key, request, time.time(), keyed=True)
        resubmitted = self._resubmissions.pop(key, None)
        wait = _FIRST_WAIT
        # Each turn ends with an answer or waits until another claim has finished.
        while True:
            is_held = False
            pending = self._pending.get(key)
            if pending is not None:
                # Until the file has answered, the key may belong to the request of this claim.
                await pending.answered.wait()
                if not pending.finished.is_set():
                    payload = json.loads(pending.new.payload)
                    _check_same_request(key, JournalStatus.SENDING, pending.new.path, payload, new)
                await pending.finished.wait()
                entry = pending.entry
            else:
                operation = await self._ask(key, new)
                if operation.taken:
                    return Claim(self, new)
                entry, is_held = operation.found, operation.is_held
            # Another coroutine that was woken earlier may have claimed the key again.
            if entry is None or key in self._pending:
                continue
            _check_same_request(key, entry.status, entry.path, entry.payload, new)
            if is_held:
                # SQLite cannot notify this process when the other one has finished.
                await anyio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            if resubmitted is not None and entry.is_unchanged_since(resubmitted):
                pending = self._pending[key] = PendingClaim(new)
                pending.answered.set()
                return Claim(self, new, previous=entry)
            if entry.status is JournalStatus.UNKNOWN:
                raise _unknown_error(entry, request)
            return Claim(self, new, entry=entry)

    async def _ask(self, key: str, new: NewEntry) -> ClaimKey:
        # If the key is taken, it stays pending until the claim is finished.
        self._pending[key] = PendingClaim(new)
        operation = ClaimKey(new=new)

        def release(text: str) -> None:
            planned = JournalStatus.PLANNED
            self.writer.put(
                Transition(new=new, before=planned, after=planned, at=time.time(), text=text)
            )

        def give_back(_: object = None) -> None:
            if operation.taken:
                release("the caller was cancelled")
            self.finish(key)

        try:
            await self.writer.write(operation)
        except asyncio.CancelledError:
            # The write goes on. Its result may be there already, but the caller never gets it.
            if operation.done is None:
                give_back()
            else:
                operation.done.add_done_callback(give_back)
            raise
        except Exception:
            if operation.taken:  # the commit may have been made, only its answer was lost
                release("the journal did not answer")
            self.finish(key)
            raise
        if operation.taken:
            self._pending[key].answered.set()
        else:
            self.finish(key, None if operation.is_held else operation.found)
        return operation


def _check_same_request(
    key: str, status: JournalStatus, path: str, payload: Mapping[str, Any], new: NewEntry
) -> None:
    different = new.difference_from(path, payload)
    if not different:
        return
    hint = "use another key"
    if status in {JournalStatus.PLANNED, JournalStatus.REJECTED}:
        hint += f", or call journal.forget({key!r}): nothing was billed for it"
    raise InvalidRequestError(
        f"key {key!r} belongs to another request ({status}): {different}; {hint}",
        field="key",
        value=key,
    )


def _unknown_error(entry: Entry, request: Request) -> SubmissionUnknownError:
    reason = f" ({entry.error})" if entry.error else ""
    return SubmissionUnknownError(
        f"the submission {entry.key!r} of {entry.updated:%Y-%m-%d %H:%M:%S} UTC may have been billed, "
        f"but its task id is not known{reason}; it is not sent again. Check what the service has billed, "
        f"then call journal.resolve({entry.key!r}, task_id) if there is a task, else "
        f"journal.forget({entry.key!r}) to allow a new submission",
        request=request,
        key=entry.key,
        response=entry.response,
    )
