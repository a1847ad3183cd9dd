"""Which profiles the requests of a job use that nobody has used before: perhaps their ids are misspelt."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain
from typing import Any, Final

import attrs

from foxapi_async.journal.entry import JournalStatus
from foxapi_async.journal.protocol import SessionJournal
from foxapi_async.phota import CLASSES, profiles_in

_MOST: Final = 1000  # Profiles that are kept; a job with more gets a warning about these


@attrs.frozen
class ProfileUse:
    """A profile, the first line that uses it, and how many lines do."""

    id: str
    line: int
    lines: int


class ProfileUses:
    """Collects the profiles of requests, except those that are ``known``."""

    def __init__(self, known: Collection[str]) -> None:
        self._known = frozenset(known)
        self._uses: dict[str, ProfileUse] = {}

    def add(self, line: int, payload: Mapping[str, Any]) -> None:
        """Note the profiles of the request of a line."""
        if payload.get("model") not in CLASSES:  # elsewhere brackets are text
            return
        for id_ in profiles_in(payload):
            use = self._uses.get(id_)
            if use is not None:
                self._uses[id_] = attrs.evolve(use, lines=use.lines + 1)
            elif id_ not in self._known and len(self._uses) < _MOST:
                self._uses[id_] = ProfileUse(id_, line, 1)

    @property
    def is_full(self) -> bool:
        """Whether further profiles were left out."""
        return len(self._uses) >= _MOST

    def unknown(self, journal: SessionJournal | None) -> tuple[ProfileUse, ...]:
        """Return the profiles that no completed request of the journal has used, by their first line."""
        unknown = dict(self._uses)
        if unknown and journal is not None:
            done = (journal.stream(each) for each in (JournalStatus.SAVED, JournalStatus.COMPLETED))
            for entry in chain.from_iterable(done):
                for id_ in profiles_in(entry.payload):
                    unknown.pop(id_, None)
                if not unknown:
                    break
        return tuple(unknown.values())
