"""The limits that all sessions of a journal keep together: what a session exchanges with the others.

A submission gets a place before its POST. The places in use are those of submissions under way and of
tasks whose end no session has recorded, so those of a session that has died come back when its tasks
end, and not before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from foxapi_async.journal.entry import Entry
from foxapi_async.journal.operations import Operation

LONGEST_TASK = 600.0
"""Seconds for which a POST that a dead session was sending counts as a task in flight: nobody knows its
id, so nobody can ask. As long as a wait for images by default."""
LONGEST_WAIT = 86_400.0
"""Seconds after which a task does not count as in flight any more, whatever became of it: the results of
a task expire after a day."""
STALLED = 10.0
"""Seconds without a question after which a session's submissions lose their turn: it is stopped or busy."""


@attrs.frozen
class Waiting:
    """A submission that waits for a place; ``number`` is the order in which they came."""

    number: int
    key: bytes
    owner: str
    outputs: int


@attrs.frozen
class SharedRefusal:
    """A 429 that a session has got: ``age`` in seconds, ``wait`` the seconds left of its Retry-After."""

    lane: str
    age: float
    wait: float | None


@attrs.define(eq=False, kw_only=True)
class ExchangeLimits(Operation):
    """Tell the other sessions what this one knows, and ask for places.

    Asked: ``wanted`` are the keys and images of the submissions that wait, in their order, within
    ``outputs`` images in flight and ``total`` in all; ``given_back`` are keys whose places are free.
    ``is_paused`` is whether the circuit of this session is open, ``can_test`` whether it has a submission
    that may find out whether the service answers again.

    Answered: ``granted`` are the keys that have a place, ``spent`` the images in all if one of the others
    would exceed the total. ``sessions`` is how many share the limits, ``is_held`` whether it is up to another
    session to find out if the service answers again, ``is_heir`` whether that is up to this one from now on.
    ``last_refusal`` numbers the refusals that this session had heard of, ``heard_until`` those that it has
    heard of now.
    """

    outputs: int
    total: int | None = None
    wanted: Sequence[tuple[bytes, int]] = ()
    given_back: Sequence[bytes] = ()
    is_paused: bool = False
    can_test: bool = False
    refusals: Sequence[SharedRefusal] = ()
    last_refusal: int | None = None
    heard_until: int = 0
    granted: frozenset[bytes] = frozenset()
    refused: frozenset[bytes] = frozenset()
    spent: int | None = None
    sessions: int = 1
    is_held: bool = False
    is_heir: bool = False
    heard: Sequence[SharedRefusal] = ()

    @property
    def is_fact(self) -> bool:
        """A session that cannot exchange asks again."""
        return False

    def reset(self) -> None:
        """Forget the result of an earlier attempt."""
        super().reset()
        self.granted = self.refused = frozenset()
        self.spent = None

    def __str__(self) -> str:
        return f"limits were exchanged for {len(self.wanted)} submissions"


@attrs.define(eq=False, kw_only=True)
class AdoptOrphans(Operation):
    """Take over tasks in flight that no session waits for, at most ``most``; ``tracked`` are waited for."""

    most: int
    tracked: Sequence[str]
    found: Sequence[Entry] = ()

    @property
    def is_fact(self) -> bool:
        """Another session, or this one, will find them again."""
        return False

    def __str__(self) -> str:
        return "tasks without a session were looked for"


NOBODY = "nobody"
"""Stands for the owner of the circuit while it is open and no session has a submission to test with."""


def next_tester(
    asked: ExchangeLimits, session: str, tester: str | None, *, is_alive: bool
) -> str | None:
    """Return which session finds out whether the service answers again; None if the circuit is closed.

    It must have a submission to send: one without would wait for a place, and the places may belong to
    submissions of sessions that wait for it.
    """
    if tester is None and not asked.is_paused:
        return None
    if tester == session and not asked.is_paused:
        return None
    if tester in {None, session, NOBODY} or not is_alive:
        return session if asked.can_test else NOBODY
    return tester


def grant(waiting: Iterable[Waiting], room: int) -> list[Waiting]:
    """Return which submissions get a place: strictly first come, first served.

    A submission that needs many places is not overtaken by one that needs few, so none starves.
    """
    granted: list[Waiting] = []
    for each in sorted(waiting, key=lambda each: each.number):
        if each.outputs > room:
            break
        room -= each.outputs
        granted.append(each)
    return granted
