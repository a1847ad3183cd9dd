"""The life of a journal entry, as one table of moves.

planned ──▶ sending ──▶ accepted ──▶ completed ──▶ saved
   ▲  ▲       │  │ │        ▲   └──▶ failed
   │  └───────┘  │ └──▶ unknown
   └── rejected ◀┘

``sending`` is on disk before the first byte of the POST leaves, ``accepted`` before anybody sees the
id. So a process that is killed in ``planned`` has paid nothing, and one that is killed in
``sending`` may have.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

__all__ = [
    "AFTER_A_CRASH",
    "BY_DECISION",
    "MOVES",
    "ON_CLAIM",
    "UNFINISHED",
    "ForbiddenMove",
    "JournalStatus",
    "Verdict",
    "check_move",
    "on_claim",
]


class JournalStatus(enum.StrEnum):
    """Where an entry of the journal stands."""

    PLANNED = "planned"
    """Recorded; nothing was sent."""
    SENDING = "sending"
    """The POST is under way, or the process that sent it has not said how it ended."""
    ACCEPTED = "accepted"
    """The task exists and its id is known."""
    COMPLETED = "completed"
    """The task ended well; its files are not on disk as far as the journal knows."""
    FAILED = "failed"
    """The task ended as failed or cancelled."""
    SAVED = "saved"
    """The files of the task are on disk."""
    REJECTED = "rejected"
    """The server refused; nothing was billed."""
    UNKNOWN = "unknown"
    """A task may have been created and billed; its id is not known."""


_S = JournalStatus

MOVES: Final[Mapping[JournalStatus, frozenset[JournalStatus]]] = {
    _S.PLANNED: frozenset({_S.SENDING}),
    # Back to planned when it is certain that no task was created.
    _S.SENDING: frozenset({_S.PLANNED, _S.ACCEPTED, _S.REJECTED, _S.UNKNOWN}),
    _S.ACCEPTED: frozenset({_S.COMPLETED, _S.FAILED}),
    _S.COMPLETED: frozenset({_S.SAVED}),
    _S.FAILED: frozenset(),
    # Files that were lost or damaged are fetched again.
    _S.SAVED: frozenset({_S.SAVED}),
    _S.REJECTED: frozenset({_S.PLANNED}),
    # The id turned up after all: an answer that came late, or a process that was only thought dead.
    _S.UNKNOWN: frozenset({_S.ACCEPTED}),
}
"""What may follow what; every other move is refused."""

AFTER_A_CRASH: Final[Mapping[JournalStatus, JournalStatus]] = {_S.SENDING: _S.UNKNOWN}
"""What a status means once the process that set it is dead; others mean what they meant."""

BY_DECISION: Final = frozenset({_S.FAILED, _S.UNKNOWN})
"""What a person may decide to send, and pay, once more. Until the POST leaves, and if it comes to
nothing, the entry stays what it was: a crash or a refusal must not take the mark away."""

UNFINISHED: Final = frozenset({_S.ACCEPTED})
"""Paid for and not yet brought home: the task has an id, and nobody has seen it end."""


class Verdict(enum.Enum):
    """What somebody is told who asks for a key that the journal has already."""

    SUBMIT = enum.auto()
    """Nothing was billed: it is the caller's to submit."""
    ATTACH = enum.auto()
    """There is a task: its id is the answer."""
    WAIT = enum.auto()
    """Somebody is submitting it right now."""
    ASK = enum.auto()
    """It may have been billed: a person must decide."""


ON_CLAIM: Final[Mapping[JournalStatus, Verdict]] = {
    _S.PLANNED: Verdict.SUBMIT,
    _S.ACCEPTED: Verdict.ATTACH,
    _S.COMPLETED: Verdict.ATTACH,
    _S.FAILED: Verdict.ATTACH,
    _S.SAVED: Verdict.ATTACH,
    _S.REJECTED: Verdict.SUBMIT,
    _S.UNKNOWN: Verdict.ASK,
}
"""The verdicts on entries that nobody is working on; `AFTER_A_CRASH` comes first."""


def on_claim(status: JournalStatus, *, owner_alive: bool) -> Verdict:
    """Return what to tell somebody who asks for the key of an entry."""
    if owner_alive and status in {JournalStatus.PLANNED, JournalStatus.SENDING}:
        return Verdict.WAIT
    return ON_CLAIM[AFTER_A_CRASH.get(status, status)]


class ForbiddenMove(RuntimeError):  # noqa: N818 - it names a move; it is a bug, not a trouble
    """A move that is not in the table: a mistake in the program, not in its input."""


def check_move(before: JournalStatus, after: JournalStatus) -> None:
    """Raise ForbiddenMove unless the table has the move."""
    if after not in MOVES[before]:
        allowed = ", ".join(sorted(MOVES[before])) or "nothing"
        raise ForbiddenMove(f"{before} → {after} is no move; after {before} comes {allowed}")
