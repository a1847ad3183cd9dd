"""Where a key is asked for: one coroutine of one process gets it, the others wait or are told."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any, Final

import anyio

from foxapi_async.errors import InvalidRequestError, SubmissionUnknownError
from foxapi_async.journal.claims import Claim, ClaimAnew, Gate
from foxapi_async.journal.entry import Entry
from foxapi_async.journal.operations import Claiming, Move, Planned, planned
from foxapi_async.journal.reuse import difference
from foxapi_async.journal.transitions import JournalStatus
from foxapi_async.journal.writer import GroupCommit
from foxapi_async.requests import Request

__all__ = ["Desk"]

_FIRST_LOOK: Final = 0.05
_LONGEST_LOOK: Final = 0.5
"""Seconds between looks at a key that another process is submitting; a POST takes about as long."""


class Desk:
    """Hands out keys to the coroutines of one event loop."""

    def __init__(self, commit: GroupCommit) -> None:
        self._commit: Final = commit
        self._gates: Final[dict[str, Gate]] = {}
        self._anew: Final[dict[str, Entry]] = {}

    def submit_anew(self, entry: Entry) -> None:
        """Let the next claim of a key be the caller's although it stands for a task or a doubt."""
        self._anew[entry.key] = entry

    def claim_without_key(self, request: Request) -> Claim:
        """Return a claim under a random key."""
        key = uuid.uuid4().hex
        new = planned(key, request, time.time(), keyed=False)
        # Nobody else knows it yet, so it is enough if it is written with the first move.
        self._gates[key] = Gate(new)
        self._commit.put(Claiming(new=new))
        return self._taken(key, request, new)

    async def claim(self, key: str, request: Request) -> Claim:
        """Return what there is to know about a key once nobody else is deciding on it.

        Raises:
            InvalidRequestError: The key stands for another request.
            SubmissionUnknownError: It may have been billed before, and nobody knows the id.
            ConfigurationError: The journal cannot be written.
        """
        new = planned(key, request, time.time(), keyed=True)
        anew = self._anew.pop(key, None)
        pause = _FIRST_LOOK
        while True:
            entry: Entry | None
            if key in self._gates:
                _check_same(key, self._gates[key].new, new)
                entry = await self._gates[key].wait()
            else:
                change = await self._ask(key, new)
                if change.taken:
                    return self._taken(key, request, new)
                entry = change.found
                if change.held and entry is not None:
                    _check_found(entry, new)
                    await anyio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_LOOK)
                    continue
            if entry is not None and anew is not None and entry.stands_as(anew):
                _check_found(entry, new)
                self._gates[key] = Gate(new)
                return self._taken(key, request, new, over=entry)
            if entry is not None:
                return self._attach(entry, request, new)

    async def _ask(self, key: str, new: Planned) -> Claiming:
        """Ask the file for a key; if it is taken, the gate stays shut until it is decided."""
        self._gates[key] = Gate(new)
        change = Claiming(new=new)

        def give_back() -> None:
            change.if_abandoned = None
            if change.taken:
                self._commit.put(_release(new))
            self._open_gate(key, None)

        change.if_abandoned = give_back
        try:
            await self._commit.make(change)
        except asyncio.CancelledError:
            if change.done is None and change.if_abandoned is not None:
                give_back()  # the answer was there already, but nobody will hear it
            raise
        except Exception:
            self._open_gate(key, None)
            raise
        if not change.taken:
            self._open_gate(key, None if change.held else change.found)
        return change

    def _taken(
        self, key: str, request: Request, new: Planned, *, over: Entry | None = None
    ) -> Claim:
        known: dict[str, Any] = {
            "num_outputs": request.num_outputs,
            "new": new,
            "commit": self._commit,
            "leave": lambda: self._open_gate(key, None),
        }
        return Claim(key, **known) if over is None else ClaimAnew(key, over, **known)

    def _open_gate(self, key: str, entry: Entry | None) -> None:
        self._gates.pop(key).open(entry)

    def _attach(self, entry: Entry, request: Request, new: Planned) -> Claim:
        _check_found(entry, new)
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
            entry.key, num_outputs=entry.num_outputs, new=new, commit=self._commit, entry=entry
        )


def _check_found(entry: Entry, new: Planned) -> None:
    different = difference(entry.path, entry.payload, new.path, json.loads(new.payload))
    if different:
        raise _other_request(entry.key, entry.status, different)


def _check_same(key: str, holder: Planned, new: Planned) -> None:
    if (holder.path, holder.payload) != (new.path, new.payload):
        different = difference(
            holder.path, json.loads(holder.payload), new.path, json.loads(new.payload)
        )
        if different:
            raise _other_request(key, JournalStatus.SENDING, different)


def _other_request(key: str, status: JournalStatus, different: str) -> InvalidRequestError:
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
