"""What a session needs of a journal. `Journal` and `PostgresJournal` have it; another database may.

The contract, on which "never pay twice" rests:

- `claim` gives a key to one caller at a time, among all sessions of all processes that share the journal.
  A key whose owner is dead is free if nothing was sent, and blocked if something may have been.
- `JournalClaim.sending` returns only if the journal durably says that the POST leaves, and still belongs
  to this claim; it compares and swaps, so that a session which was taken for dead cannot send.
- `JournalClaim.accepted` returns when the id is durable; if it cannot be, its error carries the id.
- What has happened (`accepted`, `rejected`, `unknown`, `ended`, `saved`) is never given up while the
  process lives: it is written later, or logged when the journal is closed.

`tests/journal` is the test suite of this contract; its fixture ``address`` names the journals it runs on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from foxapi_async.errors import SubmissionUnknownError
from foxapi_async.journal.entry import Entry, JournalStatus, SavedFile
from foxapi_async.models import TaskError, TaskStatus
from foxapi_async.requests import Request


class JournalClaim(Protocol):
    """What the journal says about a key: the existing ``entry``, or None if the caller must submit.

    A new claim ends with exactly one of `accepted`, `rejected`, `unknown` and `not_sent`.
    """

    needs_place: bool
    """Whether `sending` also fails if the submission has lost its place among all sessions."""

    @property
    def key(self) -> str:
        """The key: the caller's, or a random one."""
        ...

    @property
    def entry(self) -> Entry | None:
        """The submission that exists already."""
        ...

    @property
    def is_new(self) -> bool:
        """Whether the caller must submit."""
        ...

    @property
    def is_lost(self) -> bool:
        """Whether `sending` has found that another claim has taken the entry; claim the key again."""
        ...

    async def sending(self) -> None:
        """Record durably that the POST is about to leave; if this raises, nothing may be sent."""
        ...

    async def keep_response(self, error: SubmissionUnknownError) -> None:
        """Record durably what the server said, while it is asked for the task that it may mean."""
        ...

    async def accepted(self, task_id: str, estimated_time: float | None = None) -> None:
        """Record the id; return when it is durable. An error has the id, which is written later."""
        ...

    async def rejected(self, error: BaseException | str) -> None:
        """Record that the server refused and billed nothing; the key may be claimed again."""
        ...

    async def unknown(self, error: BaseException | str) -> None:
        """Record that a task may have been created; the key is blocked until it is forgotten."""
        ...

    async def postponed(self, reason: BaseException | str) -> None:
        """Record that no task was created; the caller will try again with `sending`."""
        ...

    async def not_sent(self, reason: BaseException | str) -> None:
        """Record that no task was created, and release the key."""
        ...


class SessionJournal(Protocol):
    """A journal as a session and its jobs use it; errors are ConfigurationError unless stated."""

    @property
    def address(self) -> str:
        """Where it is, as `Session` takes it, but without a password."""
        ...

    @property
    def label(self) -> str:
        """How messages name the journal; no secret is in it."""
        ...

    async def open(self) -> None:
        """Open it for writing; each call needs its own `aclose`."""
        ...

    async def aclose(self) -> None:
        """Write what is queued, and release the entries that are still planned or sending."""
        ...

    def stop_waiting(self) -> None:
        """Fail what waits for a database that is away, because the session ends."""
        ...

    async def claim(self, key: str | None, request: Request) -> JournalClaim:
        """Claim a key, or a random one; wait while another caller is submitting it.

        Raises:
            InvalidRequestError: The key belongs to another request.
            SubmissionUnknownError: A task may have been billed before, and its id is not known.
        """
        ...

    def resubmit(self, entry: Entry) -> None:
        """Let the key of a failed or unknown entry be submitted, and billed, once more."""
        ...

    def ended(self, task_id: str, status: TaskStatus, *, error: TaskError | None = None) -> None:
        """Record how a task ended, soon; tasks without an entry are ignored."""
        ...

    async def saved(self, task_id: str, files: Sequence[SavedFile]) -> None:
        """Record where the files of a task are; return when that is durable."""
        ...

    def remember(self, name: str, value: object) -> None:
        """Keep a JSON value for later runs; None removes it."""
        ...

    async def recall(self, name: str) -> Any:
        """Return the value that any process has last remembered under a name, or None."""
        ...

    async def has_task(self, task_id: str) -> bool:
        """Return whether an entry has the task."""
        ...

    async def lookup(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return the entries of those keys that have one."""
        ...

    def find(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Do the same whether or not the journal is open, and block meanwhile."""
        ...

    def is_away(self, error: BaseException) -> bool:
        """Return whether a query has failed because the database is away: it may succeed later."""
        ...

    def unfinished(self) -> list[Entry]:
        """Return the submissions whose tasks have not ended."""
        ...

    def entries(self, status: JournalStatus | str | None = None) -> list[Entry]:
        """Return all entries, or those of one status, oldest first."""
        ...

    def stream(self, status: JournalStatus | str | None = None) -> Iterator[Entry]:
        """Yield all entries, or those of one status, oldest first, in bounded memory."""
        ...

    def count(self) -> dict[JournalStatus, int]:
        """Return the number of entries of each status that occurs."""
        ...

    def images(self) -> tuple[int, int]:
        """Return how many images all submissions have billed, and how many may be billed besides."""
        ...

    def remembered(self, names: Sequence[str]) -> dict[str, Any]:
        """Return those of at most 500 values that were remembered, by name."""
        ...

    def forget(self, key: str, *, only: Entry | None = None) -> list[Entry]:
        """Remove the entry of a key, so that it can be submitted, and billed, again."""
        ...

    def resolve(self, key: str, task_id: str) -> Entry:
        """Settle an unknown submission by hand: its task exists and has this id."""
        ...

    def was_forgotten(self, key: str) -> bool:
        """Return whether the key was removed with `forget`."""
        ...

    def is_blank(self) -> bool:
        """Return whether nothing was ever recorded."""
        ...
