"""The life of a journal entry, as one table of transitions.

planned ──▶ sending ──▶ accepted ──▶ completed ──▶ saved
   ▲  ▲       │  │ │        ▲   └──▶ failed
   │  └───────┘  │ └──▶ unknown
   └── rejected ◀┘

``sending`` is on disk before the first byte of the POST leaves, ``accepted`` before the caller gets
the id. So a process that is killed in ``planned`` has paid nothing, and one that is killed in
``sending`` may have.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from typing import Final

from foxapi_async.journal.entry import AFTER_CRASH, JournalStatus, bytes_of, storable

_S = JournalStatus

TRANSITIONS: Final[Mapping[JournalStatus, frozenset[JournalStatus]]] = {
    _S.PLANNED: frozenset({_S.SENDING}),
    # Back to planned when it is certain that no task was created.
    _S.SENDING: frozenset({_S.PLANNED, _S.ACCEPTED, _S.REJECTED, _S.UNKNOWN}),
    _S.ACCEPTED: frozenset({_S.COMPLETED, _S.FAILED}),
    _S.COMPLETED: frozenset({_S.SAVED}),
    _S.FAILED: frozenset(),
    # Lost or damaged files are downloaded again.
    _S.SAVED: frozenset({_S.SAVED}),
    _S.REJECTED: frozenset({_S.PLANNED}),
    # The id arrived late, or the process was taken for dead by mistake.
    _S.UNKNOWN: frozenset({_S.ACCEPTED}),
}
"""What may follow each status; every other transition is refused."""
RESUBMITTABLE: Final = frozenset({_S.FAILED, _S.UNKNOWN})
"""What a person may decide to submit, and pay, once more. The entry keeps its status until the POST
leaves, and gets it back if no task was created: a crash or a refusal must not lose it."""
UNFINISHED: Final = frozenset({_S.ACCEPTED})
"""The task has an id and its end is not recorded."""

BILLED: Final = (
    _S.FAILED,
    _S.ACCEPTED,
    _S.COMPLETED,
    _S.SAVED,
)
PERHAPS_BILLED: Final = (_S.UNKNOWN, _S.SENDING)
REPLACED: Final[Mapping[JournalStatus, str]] = {
    _S.FAILED: "images of earlier tasks",
    _S.UNKNOWN: "images of earlier unknown submissions",
}
"""The names under which images of submissions are counted that have no entry any more."""
FORGOTTEN: Final = "forgotten "
"""Prefix of the name under which the journal remembers that a key was forgotten on purpose."""
_LONGEST_NAME: Final = 1_000
"""Characters of a name; the index of a server takes no more than 2.7 kB."""


def forgotten_name(key: str) -> str:
    """Return the name under which it is remembered that a key was forgotten."""
    name = FORGOTTEN + storable(key)
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{FORGOTTEN}sha256 {hashlib.sha256(bytes_of(key)).hexdigest()}"


class ClaimDecision(enum.Enum):
    """The answer to a claim of a key that has an entry."""

    SUBMIT = enum.auto()
    """Nothing was billed: the caller must submit."""
    ATTACH = enum.auto()
    """There is a task: its id is the answer."""
    WAIT = enum.auto()
    """Another claim is submitting it right now."""
    BLOCKED = enum.auto()
    """It may have been billed: a person must decide."""


ON_CLAIM: Final[Mapping[JournalStatus, ClaimDecision]] = {
    _S.PLANNED: ClaimDecision.SUBMIT,
    _S.ACCEPTED: ClaimDecision.ATTACH,
    _S.COMPLETED: ClaimDecision.ATTACH,
    _S.FAILED: ClaimDecision.ATTACH,
    _S.SAVED: ClaimDecision.ATTACH,
    _S.REJECTED: ClaimDecision.SUBMIT,
    _S.UNKNOWN: ClaimDecision.BLOCKED,
}
"""The decision on an entry without a living owner; `AFTER_CRASH` is applied first."""


def on_claim(status: JournalStatus, *, owner_alive: bool) -> ClaimDecision:
    """Return the answer to a claim of an entry's key."""
    if owner_alive and status in {JournalStatus.PLANNED, JournalStatus.SENDING}:
        return ClaimDecision.WAIT
    return ON_CLAIM[AFTER_CRASH.get(status, status)]


class ForbiddenTransitionError(RuntimeError):
    """A transition that is not in the table: a bug of the caller, not bad input."""


def check_transition(before: JournalStatus, after: JournalStatus) -> None:
    """Raise ForbiddenTransitionError unless the table has the transition."""
    if after not in TRANSITIONS[before]:
        allowed = ", ".join(sorted(TRANSITIONS[before])) or "nothing"
        raise ForbiddenTransitionError(
            f"{before} → {after} is not allowed; {before} may be followed by {allowed}"
        )
