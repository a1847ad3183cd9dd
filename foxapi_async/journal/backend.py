"""What a journal needs of the database that keeps it: one connection for writing, and queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal.entry import Entry, JournalStatus

if TYPE_CHECKING:
    from foxapi_async.journal.operations import Operation


class Database(Protocol):
    """The database, open for writing by one owner; used in one thread."""

    def apply(self, operations: Sequence[Operation]) -> None:
        """Execute all operations durably, or raise and execute none; set ``error`` of refused ones.

        After an error that `Backend.is_outage` accepts, the same operations are passed again. The
        first attempt may have been made durable all the same.
        """
        ...

    def recall(self, name: str) -> str | None:
        """Return the JSON of a remembered value."""
        ...

    def has_task(self, task_id: str) -> bool:
        """Return whether an entry has the task."""
        ...

    def entries(self, keys: Sequence[str]) -> list[Entry]:
        """Return the entries of those keys that have one."""
        ...

    def close(self) -> None:
        """Close the connection and release the entries that are still planned or sending."""
        ...

    def cut(self) -> None:
        """Make a call fail that hangs in the other thread; any thread may call this."""
        ...


class Backend(ABC):
    """A kind of database for journals. The queries open connections of their own, and may block."""

    label: str
    """How messages name the journal; no password is in it."""

    @abstractmethod
    def connect(self) -> Database:
        """Open the journal for writing and create it if need be."""

    @abstractmethod
    def explain(self, error: BaseException) -> ConfigurationError:
        """Return the error to raise if the database fails before anything was sent."""

    @abstractmethod
    def is_failure(self, error: BaseException) -> bool:
        """Return whether the database or its driver has raised the error."""

    def is_outage(self, error: BaseException) -> bool:
        """Return whether the error will pass, so that the same write may succeed later."""
        del error
        return False

    @abstractmethod
    def read(self, statuses: Collection[JournalStatus] | None = None) -> Iterator[Entry]:
        """Yield the entries, oldest first, in bounded memory."""

    @abstractmethod
    def find(self, keys: Iterable[str]) -> Iterator[Entry]:
        """Yield the entries of those keys that have one, in no particular order."""

    @abstractmethod
    def count(self) -> dict[JournalStatus, int]:
        """Return the number of entries of each status, as stored."""

    @abstractmethod
    def images(self) -> tuple[int, int]:
        """Return the images that all submissions have billed, and those that may be billed besides."""

    @abstractmethod
    def forget(self, key: str, only: Entry | None = None) -> list[Entry]:
        """Delete the entry of a key, if it is unchanged since ``only``; return what was deleted."""

    @abstractmethod
    def resolve(self, key: str, task_id: str) -> Entry:
        """Make an unknown entry accepted with the id of its task; return it."""

    @abstractmethod
    def was_forgotten(self, key: str) -> bool:
        """Return whether a key was forgotten on purpose and not just never known."""

    @abstractmethod
    def remembered(self, names: Sequence[str]) -> dict[str, str]:
        """Return the JSON of those values that are remembered, by name."""

    @abstractmethod
    def is_blank(self) -> bool:
        """Return whether there has never been an entry."""
