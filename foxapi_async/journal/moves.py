"""The moves of entries, for any database: how a batch of operations changes the rows.

Every move compares the status and the owner of an entry before it changes them. So an owner that was
taken for dead cannot move what another owner has taken since, whatever its clock or its network says.

A running SQL statement releases the interpreter's lock, and with a busy event loop it takes
milliseconds to get it back; a server adds a round trip. So the number of statements must not grow with
the batch: all operations of one kind are one statement.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from foxapi_async.errors import ConfigurationError, FoxAPIError, InvalidRequestError
from foxapi_async.journal import operations as ops
from foxapi_async.journal.entry import (
    AFTER_CRASH,
    Entry,
    JournalStatus,
    bytes_of,
    entry_from_row,
    text_of,
)
from foxapi_async.journal.shared_limits import AdoptOrphans, ExchangeLimits
from foxapi_async.journal.tables import Row, Tables
from foxapi_async.journal.transitions import (
    BILLED,
    PERHAPS_BILLED,
    REPLACED,
    ClaimDecision,
    forgotten_name,
    on_claim,
)

_DIED_SENDING: Final = "the process that sent it ended before it knew the result"
_UNDECIDED: Final = frozenset({JournalStatus.PLANNED, JournalStatus.SENDING})
_REMEMBER: Final = (
    "INSERT INTO memory (name, value, updated) VALUES (?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated = excluded.updated"
)
_COUNT: Final = (
    "INSERT INTO memory (name, value, updated) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value ="
    " CAST(CAST(memory.value AS BIGINT) + CAST(excluded.value AS BIGINT) AS TEXT),"
    " updated = excluded.updated"
)

_O = TypeVar("_O", bound=ops.Operation)


class Moves:
    """Executes the operations of one owner; call it inside a transaction."""

    def __init__(self, tables: Tables, owner: str) -> None:
        self._tables: Final = tables
        self._owner: Final = owner
        self._released: Final[Mapping[str, Any]] = {} if tables.keeps_owner else {"owner": None}

    def execute(self, operations: Sequence[ops.Operation]) -> None:
        """Execute operations; set ``error`` of refused ones."""
        for operation in operations:
            operation.reset()  # an earlier attempt may have been rolled back
        # The entry of a random key is written together with its first transition. Other claims
        # come last, so that facts of an earlier batch that failed are written before.
        claims = _of(ops.ClaimKey, operations)
        if random := [claim.new for claim in claims if not claim.new.keyed]:
            self._tables.insert(random, self._owner)
        for transitions in rounds(_of(ops.Transition, operations)):
            placed = self._with_place(transitions)
            self._change([each for each in placed if each.previous is None])
            for each in placed:
                if each.previous is not None:
                    self._resubmit_or_restore(each, each.previous)
        if deletions := _of(ops.DeleteUnsent, operations):
            self._tables.delete([deletion.key for deletion in deletions], self._owner)
        if ends := _of(ops.RecordEnd, operations):
            # A task ends once: the first record counts.
            first = {end.task_id: end for end in reversed(ends)}
            self._tables.record_ends(list(first.values()))
        if saved := _of(ops.RecordFiles, operations):
            last = {files.task_id: files for files in saved}
            self._tables.record_files(list(last.values()))
        self._claim([claim for claim in claims if claim.new.keyed])
        self._record_values(_of(ops.RecordValue, operations))
        self._share(operations)

    def recover_orphans(self) -> None:
        """Settle what owners left undecided that are dead."""
        rows = self._tables.query(
            "SELECT DISTINCT owner FROM entries WHERE status IN (?, ?) AND owner IS NOT NULL",
            [status.value for status in sorted(_UNDECIDED)],
        )
        for (owner,) in rows:
            if owner == self._owner or self._tables.is_alive(owner):
                continue
            for before, after in AFTER_CRASH.items():
                values = {"status": after, "error": _DIED_SENDING, **self._released}
                columns = ", ".join(f"{name} = ?" for name in values)
                self._tables.execute(
                    f"UPDATE entries SET {columns} WHERE status = ? AND owner = ?",  # noqa: S608 - names
                    [*values.values(), before, owner],
                )
            # Nobody knows a random key, so it is never claimed again.
            self._tables.execute(
                "DELETE FROM entries WHERE status = ? AND owner = ? AND NOT keyed",
                (JournalStatus.PLANNED, owner),
            )

    def _with_place(self, transitions: Sequence[ops.Transition]) -> Sequence[ops.Transition]:
        """Return what may be made; a submission that has lost its place may not be sent."""
        asked = [
            each.new.key
            for each in transitions
            if each.needs_place
            and each.after is JournalStatus.SENDING
            and each.before is not JournalStatus.SENDING
        ]
        missing = self._tables.without_place(asked, self._owner) if asked else set[bytes]()
        for each in transitions:
            each.is_lost = each.new.key in missing
        return [each for each in transitions if not each.is_lost]

    def _share(self, operations: Sequence[ops.Operation]) -> None:
        """Do what concerns the limits that all sessions keep together, when all else is done."""
        transitions = _of(ops.Transition, operations)
        if ended := [each.new.key for each in transitions if each.needs_place and not each.keep]:
            self._tables.give_back_places(ended, self._owner)
        for exchange in _of(ExchangeLimits, operations):
            self._tables.exchange_limits(exchange, self._owner)
        for orphans in _of(AdoptOrphans, operations):
            self._tables.adopt(orphans, self._owner)

    def _record_values(self, records: Sequence[ops.RecordValue]) -> None:
        for record in records:
            if record.value is None:
                self._tables.execute("DELETE FROM memory WHERE name = ?", (record.name,))
            else:
                self._tables.execute(_REMEMBER, (record.name, record.value, record.at))

    def _claim(self, claims: Sequence[ops.ClaimKey]) -> None:
        if not claims:
            return
        rows = {row[0]: row for row in self._tables.select([claim.new.key for claim in claims])}
        free: list[ops.ClaimKey] = []
        for claim in claims:
            row = rows.get(claim.new.key)
            if row is None:
                free.append(claim)
            else:
                self._claim_existing(claim, row)
        if free:
            # What another owner has inserted meanwhile is neither taken nor found: the caller asks again.
            inserted = self._tables.insert([claim.new for claim in free], self._owner)
            for claim in free:
                claim.taken = claim.new.key in inserted

    def _claim_existing(self, claim: ops.ClaimKey, row: Row) -> None:
        entry, owner, key = entry_from_row(row), row[-1], claim.new.key
        claim.found = entry
        # An entry of this owner is not being submitted: the claim would be pending otherwise.
        alive = entry.status in _UNDECIDED and owner != self._owner and self._tables.is_alive(owner)
        decision = on_claim(entry.status, owner_alive=alive)
        claim.is_held = decision is ClaimDecision.WAIT
        unchanged = {"status": entry.status, "owner": owner}
        if decision is ClaimDecision.SUBMIT:
            if claim.new.difference_from(entry.path, entry.payload):
                return
            mine: dict[str, Any] = {"status": JournalStatus.PLANNED, "owner": self._owner}
            values = mine | {"updated": claim.new.at, "error_code": None, "error": None}
            claim.taken = self._tables.update(key, values, unchanged)
            if not claim.taken:
                claim.found = None
        elif decision is ClaimDecision.BLOCKED and entry.status is not JournalStatus.UNKNOWN:
            claim.found = entry.after_crash()
            dead = {"status": claim.found.status, "error": _DIED_SENDING, "updated": claim.new.at}
            if not self._tables.update(key, {**dead, **self._released}, unchanged):
                claim.found = None

    def _resubmit_or_restore(self, transition: ops.Transition, previous: Entry) -> None:
        key, own = transition.new.key, {"owner": self._owner}
        if transition.after is not JournalStatus.SENDING:
            submitted = previous.submitted and previous.submitted.timestamp()
            columns = ("status", "task_id", "estimated_time", "error_code", "error", "response")
            values: dict[str, Any] = {name: getattr(previous, name) for name in columns}
            values |= {"updated": previous.updated.timestamp(), "submitted": submitted}
            if self._tables.update(key, values | {"owner": None}, own):
                count_replaced(self._tables, previous, again=True)
            return
        row = next(iter(self._tables.select([key])), None)
        if row is not None and row[-1] == self._owner and row[1] == JournalStatus.SENDING:
            return  # an earlier attempt to write this has been made durable after all
        transition.is_lost = True
        if row is None:
            return
        entry = entry_from_row(row)
        if entry.status in _UNDECIDED and self._tables.is_alive(row[-1]):
            return
        if entry.after_crash().is_unchanged_since(previous):
            outdated = ("task_id", "submitted", "estimated_time", "error_code", "error", "files")
            mine = {"status": JournalStatus.SENDING, "response": None, "updated": transition.at}
            unchanged = {"status": entry.status, "owner": row[-1], "task_id": entry.task_id}
            values = dict.fromkeys(outdated) | mine | own
            if self._tables.update(key, values, unchanged):
                transition.is_lost = False
                count_replaced(self._tables, previous)

    def _change(self, transitions: Sequence[ops.Transition]) -> None:
        if transitions and self._tables.change(transitions, self._owner) != len(transitions):
            for each in transitions:
                self._change_one(each)

    def _change_one(self, transition: ops.Transition) -> None:
        """Find out which of a group did not have its status before, and do what is possible."""
        key, own = transition.new.key, {"owner": self._owner}
        after = self._tables.owner_after(transition, self._owner)
        row = next(iter(self._tables.select([key])), None)
        status, task_id, owner = (None, None, None) if row is None else (row[1], row[8], row[-1])
        if (status, task_id) == (transition.after, transition.task_id) and owner == after:
            return  # it changed with the group, or with an earlier attempt after all
        if task_id is not None and task_id == transition.task_id:
            return  # and the task may have ended since
        # Only the claim of this owner decides on such an entry, whatever became of its earlier writes; it
        # is unknown if another owner has taken this one for dead, and nobody has decided on it since.
        if status in _UNDECIDED | {JournalStatus.UNKNOWN} and self._tables.update(
            key, _values_of(transition, after), own | {"status": status, "task_id": None}
        ):
            return
        if transition.after is JournalStatus.SENDING and transition.before is JournalStatus.PLANNED:
            transition.is_lost = True
            if row is None and not transition.new.keyed:
                # Nobody else knows a random key: it was removed with the entries of a dead owner.
                self._tables.insert([transition.new], self._owner)
                transition.is_lost = self._tables.change([transition], self._owner) != 1
            return
        self._record_anyway(transition, row, after)

    def _record_anyway(
        self, transition: ops.Transition, row: Row | None, after: str | None
    ) -> None:
        """Record what has happened in an entry that does not belong to this owner, as far as it counts."""
        key = transition.new.key
        task_id = None if row is None else row[8]
        if transition.after is JournalStatus.UNKNOWN and row is None:
            # A failover has lost it. The key must be blocked all the same.
            self._tables.insert([transition.new], self._owner)
            self._tables.update(key, _values_of(transition, after), {"owner": self._owner})
        elif transition.before is transition.after is JournalStatus.PLANNED:
            pass  # what is to be released is not held
        elif transition.after is not JournalStatus.ACCEPTED:
            transition.error = ConfigurationError(
                f"{self._tables.label}: another program has removed or changed the entry of the key "
                f"{text_of(key)!r} while it was {transition.before}; it is not {transition.after}"
            )
        elif task_id is not None:
            transition.error = FoxAPIError(
                f"{self._tables.label}: the key {text_of(key)!r} already has the task {task_id}; the task "
                f"{transition.task_id} was also created and billed, and is not recorded",
                task_id=transition.task_id,
            )
        else:
            if row is None:
                self._tables.insert([transition.new], self._owner)
            self._tables.update(key, _values_of(transition, after), {"task_id": None})


def forget(tables: Tables, key: str, only: Entry | None) -> list[Entry]:
    """Delete the entry of a key; see `Journal.forget`. Call it inside a transaction."""
    row = next(iter(tables.select([bytes_of(key)])), None)
    if row is None:
        return []
    entry = tables.entry_now(row)
    if only is not None and not entry.is_unchanged_since(only):
        return []
    is_held = entry.status in _UNDECIDED and tables.is_alive(row[-1])
    if is_held or not tables.remove(bytes_of(key), {"status": row[1], "owner": row[-1]}):
        raise ConfigurationError(
            f"{tables.label}: the key {key!r} is being submitted right now; forget it after the submission "
            "has ended"
        )
    count_replaced(tables, entry)
    tables.execute(_REMEMBER, (forgotten_name(key), "true", time.time()))
    return [entry]


def resolve(tables: Tables, key: str, task_id: str) -> Entry:
    """Make an unknown entry accepted; see `Journal.resolve`. Call it inside a transaction."""
    row = next(iter(tables.select([bytes_of(key)])), None)
    if row is None:
        raise cannot_resolve(f"the {tables.label} has no entry of the key {key!r}", "key", key)
    entry = tables.entry_now(row)
    # Submitted when its POST ended, which is the last that is known of it.
    outdated = dict.fromkeys(("owner", "error_code", "error", "response"))
    values = {"status": JournalStatus.ACCEPTED, "task_id": task_id, "updated": time.time()}
    values |= outdated | {"submitted": entry.updated.timestamp()}
    if entry.status is JournalStatus.UNKNOWN:
        query = "SELECT key FROM entries WHERE task_id = ? LIMIT 1"
        for (other,) in tables.query(query, (task_id,)):
            raise cannot_resolve(
                f"the task {task_id} belongs to the key {text_of(other)!r} already",
                "task_id",
                task_id,
            )
        if tables.update(bytes_of(key), values, {"status": row[1], "owner": row[-1]}):
            return tables.entry_now(next(iter(tables.select([bytes_of(key)]))))
        entry = tables.entry_now(next(iter(tables.select([bytes_of(key)])), row))
    task = "" if entry.task_id is None else f", task {entry.task_id}"
    raise cannot_resolve(
        f"the key {key!r} is {entry.status}{task}; only an unknown submission can be resolved",
        "key",
        key,
    )


def cannot_resolve(reason: str, field: str, value: str) -> InvalidRequestError:
    """Return the error for a key that cannot be resolved."""
    return InvalidRequestError(f"{reason}; nothing was changed", field=field, value=value)


def count_replaced(tables: Tables, entry: Entry, *, again: bool = False) -> None:
    """Count the images of an entry that is replaced or removed.

    With ``again`` they are no longer counted, because the entry is restored.
    """
    for statuses in (BILLED, PERHAPS_BILLED):
        if entry.status in statuses:
            images = -entry.num_outputs if again else entry.num_outputs
            tables.execute(_COUNT, (REPLACED[statuses[0]], str(images), time.time()))


def _values_of(transition: ops.Transition, owner: str | None) -> dict[str, Any]:
    """Return the columns that a transition sets."""
    return {
        "status": transition.after,
        "owner": owner,
        "task_id": transition.task_id,
        "estimated_time": transition.estimated_time,
        "error_code": transition.error_code,
        "error": transition.text,
        "response": transition.response,
        "updated": transition.at,
        "submitted": None if transition.task_id is None else transition.at,
    }


def _of(kind: type[_O], operations: Sequence[ops.Operation]) -> list[_O]:
    return [operation for operation in operations if isinstance(operation, kind)]


def rounds(transitions: Sequence[ops.Transition]) -> list[list[ops.Transition]]:
    """Split transitions into rounds in which no entry occurs twice; the order of each is kept."""
    found: list[list[ops.Transition]] = []
    seen: Counter[bytes] = Counter()
    for transition in transitions:
        number = seen[transition.new.key]
        seen[transition.new.key] += 1
        if number == len(found):
            found.append([])
        found[number].append(transition)
    return found
