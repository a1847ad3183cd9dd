"""The rows of a journal: what the moves need of a database. Statements mark their parameters with "?"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal.entry import AFTER_CRASH, Entry, JournalStatus, entry_from_row

if TYPE_CHECKING:
    from foxapi_async.journal.operations import NewEntry, RecordEnd, RecordFiles, Transition
    from foxapi_async.journal.shared_limits import AdoptOrphans, ExchangeLimits

Row = Sequence[Any]
"""The values of `COLUMNS`, and the owner."""


class Tables(ABC):
    """The tables ``entries`` and ``memory`` of one journal, over one connection."""

    label: str
    """How messages name the journal."""
    keeps_owner: ClassVar[bool] = False
    """Whether an entry still names its owner when the task is accepted, or when the owner was found dead."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[object]:
        """Commit what the body does, or roll it back if the body or the commit fails."""

    @abstractmethod
    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Execute a statement and return its rows."""

    @abstractmethod
    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Execute a statement and return the number of rows that it has changed."""

    @abstractmethod
    def select(self, keys: Sequence[bytes]) -> list[Row]:
        """Return the rows of those keys that have one."""

    @abstractmethod
    def insert(self, entries: Sequence[NewEntry], owner: str) -> set[bytes]:
        """Insert planned entries; return the keys of those that were not there before."""

    @abstractmethod
    def change(self, transitions: Sequence[Transition], owner: str) -> int:
        """Make the transitions of an owner's entries that have the status before; return their number."""

    @abstractmethod
    def update(self, key: bytes, values: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
        """Change an entry if its columns have the values of ``conditions``; return whether they had."""

    @abstractmethod
    def delete(self, keys: Sequence[bytes], owner: str) -> None:
        """Delete entries of an owner."""

    @abstractmethod
    def record_ends(self, ends: Sequence[RecordEnd]) -> None:
        """Record the ends of tasks, each of which occurs once."""

    @abstractmethod
    def record_files(self, files: Sequence[RecordFiles]) -> None:
        """Record the files of tasks, each of which occurs once."""

    @abstractmethod
    def is_alive(self, owner: str | None) -> bool:
        """Return whether an owner may still submit its entries; None is no owner."""

    @abstractmethod
    def remove(self, key: bytes, conditions: Mapping[str, Any]) -> bool:
        """Delete an entry if its columns have the values of ``conditions``; return whether they had."""

    def exchange_limits(self, exchange: ExchangeLimits, owner: str) -> None:
        """Exchange limits with the other sessions."""
        raise NotImplementedError(f"{self.label} cannot exchange {exchange} for {owner}")

    def adopt(self, orphans: AdoptOrphans, owner: str) -> None:
        """Take over tasks that no session waits for."""
        raise NotImplementedError(f"{self.label} cannot adopt {orphans} for {owner}")

    def without_place(self, keys: Sequence[bytes], owner: str) -> set[bytes]:
        """Return the keys that have no place among all sessions."""
        raise NotImplementedError(f"{self.label} has no places for {len(keys)} keys of {owner}")

    def give_back_places(self, keys: Sequence[bytes], owner: str) -> None:
        """Free the places of submissions that have ended."""
        raise NotImplementedError(f"{self.label} has no places for {len(keys)} keys of {owner}")

    def owner_after(self, transition: Transition, owner: str) -> str | None:
        """Return the owner of an entry after a transition that ``owner`` makes."""
        if transition.keep or (self.keeps_owner and transition.after is JournalStatus.ACCEPTED):
            return owner
        return None

    def entry_now(self, row: Row) -> Entry:
        """Return the entry of a row; what a dead owner was sending is unknown."""
        try:
            entry = entry_from_row(row)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.label}: {error}") from error.__cause__
        if entry.status in AFTER_CRASH and not self.is_alive(row[-1]):
            return entry.after_crash()
        return entry
