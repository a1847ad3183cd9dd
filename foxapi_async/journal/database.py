"""The journal's file, open for writing: one batch of operations is one transaction and one fsync.

A running SQL statement releases the interpreter's lock, and with a busy event loop it takes
milliseconds to get it back. So the number of statements must not grow with the batch: all operations
of one kind are one statement.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

from foxapi_async.errors import ConfigurationError, FoxAPIError
from foxapi_async.journal import operations as ops
from foxapi_async.journal import owners, queries
from foxapi_async.journal.connection import open_to_write, transaction
from foxapi_async.journal.entry import AFTER_CRASH, Entry, JournalStatus, entry_from_row, text_of
from foxapi_async.journal.transitions import ClaimDecision, on_claim

_MAX_ROWS: Final = 100
"""Rows in one statement: far below SQLite's limit of parameters, and few statements to prepare."""
_DIED_SENDING: Final = "the process that sent it ended before it knew the result"

_flat = chain.from_iterable

_O = TypeVar("_O", bound=ops.Operation)
_T = TypeVar("_T")


class Database:
    """The journal's file, open for writing by one owner; used in one thread."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._connection: Final = open_to_write(path)
        try:
            self._execute = self._connection.execute
            self._file = path.stat()
            self._owner = owners.Owner(path)
            owners.sweep(path)
            self._recover_orphans()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and release the entries that are still planned or sending."""
        if hasattr(self, "_owner"):
            self._owner.release()
        self._connection.close()

    def apply(self, operations: Sequence[ops.Operation]) -> None:
        """Execute all operations durably, or raise and execute none; set ``error`` of refused ones."""
        self._check_file()
        with transaction(self._connection):
            # The entry of a random key is written together with its first transition. Other claims
            # come last, so that facts of an earlier batch that failed are written before.
            claims = _of(ops.ClaimKey, operations)
            self._insert([claim.new for claim in claims if not claim.new.keyed])
            for transitions in _rounds(_of(ops.Transition, operations)):
                self._change([each for each in transitions if each.previous is None])
                for each in transitions:
                    if each.previous is not None:
                        self._resubmit_or_restore(each, each.previous)
            for some in _chunks(_of(ops.DeleteUnsent, operations)):
                parameters = [*(deletion.key for deletion in some), self._owner.id]
                self._execute(queries.delete_entries(len(some)), parameters)
            self._record_ends(_of(ops.RecordEnd, operations))
            self._record_files(_of(ops.RecordFiles, operations))
            self._claim([claim for claim in claims if claim.new.keyed])
            for record in _of(ops.RecordValue, operations):
                self._record_value(record)

    def recall(self, name: str) -> str | None:
        """Return the JSON of a remembered value."""
        row = self._execute("SELECT value FROM memory WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def has_task(self, task_id: str) -> bool:
        """Return whether an entry has the task."""
        query = "SELECT 1 FROM entries WHERE task_id = ? LIMIT 1"
        return self._execute(query, (task_id,)).fetchone() is not None

    def _update(self, key: bytes, values: Mapping[str, Any], *, only_own: bool = False) -> int:
        """Change an entry; return whether there was one, as a number."""
        columns = ", ".join(f"{name} = ?" for name in values)
        parameters = [*values.values(), key]
        if only_own:
            parameters.append(self._owner.id)
        condition = "key = ? AND owner = ?" if only_own else "key = ?"
        statement = f"UPDATE entries SET {columns} WHERE {condition}"  # noqa: S608
        return self._execute(statement, parameters).rowcount

    def _check_file(self) -> None:
        try:
            if os.path.samestat(self._path.stat(), self._file):
                return
        except OSError:
            pass
        raise ConfigurationError(
            f"journal {str(self._path)!r}: the file was removed or replaced while it was in use, so "
            "nothing can be recorded. Restart the program"
        )

    def _recover_orphans(self) -> None:
        with transaction(self._connection):
            rows = self._execute(
                "SELECT DISTINCT owner FROM entries WHERE status IN (?, ?) AND owner IS NOT NULL",
                (JournalStatus.PLANNED, JournalStatus.SENDING),
            ).fetchall()
            for (owner,) in rows:
                if owners.is_alive(self._path, owner):
                    continue
                for before, after in AFTER_CRASH.items():
                    self._execute(
                        "UPDATE entries SET status = ?, owner = NULL, error = ?"
                        " WHERE status = ? AND owner = ?",
                        (after, _DIED_SENDING, before, owner),
                    )
                # Nobody knows a random key, so it is never claimed again.
                self._execute(
                    "DELETE FROM entries WHERE status = ? AND owner = ? AND NOT keyed",
                    (JournalStatus.PLANNED, owner),
                )

    def _claim(self, claims: Sequence[ops.ClaimKey]) -> None:
        found: dict[bytes, tuple[Entry, str | None]] = {}
        for some in _chunks(claims):
            keys = [claim.new.key for claim in some]
            rows = self._execute(queries.select_entries(len(some)), keys)
            found.update((row[0], (entry_from_row(row), row[-1])) for row in rows)
        free: list[ops.NewEntry] = []
        for claim in claims:
            if claim.new.key in found:
                self._claim_existing(claim, *found[claim.new.key])
            else:
                claim.taken = True
                free.append(claim.new)
        self._insert(free)

    def _claim_existing(self, claim: ops.ClaimKey, entry: Entry, owner: str | None) -> None:
        claim.found = entry
        # An entry of this owner is not being submitted: the claim would be pending otherwise.
        alive = owner != self._owner.id and owners.is_alive(self._path, owner)
        decision = on_claim(entry.status, owner_alive=alive)
        claim.is_held = decision is ClaimDecision.WAIT
        if decision is ClaimDecision.SUBMIT:
            claim.taken = not claim.new.difference_from(entry.path, entry.payload)
            if claim.taken:
                mine: dict[str, Any] = {"status": JournalStatus.PLANNED, "owner": self._owner.id}
                values = mine | {"updated": claim.new.at, "error_code": None, "error": None}
                self._update(claim.new.key, values)
        elif decision is ClaimDecision.BLOCKED and entry.status is not JournalStatus.UNKNOWN:
            claim.found = entry.after_crash()
            dead = {"status": claim.found.status, "owner": None, "error": _DIED_SENDING}
            self._update(claim.new.key, dead | {"updated": claim.new.at})

    def _resubmit_or_restore(self, transition: ops.Transition, previous: Entry) -> None:
        key = transition.new.key
        if transition.after is not JournalStatus.SENDING:
            submitted = previous.submitted and previous.submitted.timestamp()
            columns = ("status", "task_id", "estimated_time", "error_code", "error", "response")
            values = {name: getattr(previous, name) for name in columns}
            values |= {"updated": previous.updated.timestamp(), "submitted": submitted}
            values["owner"] = None
            if self._update(key, values, only_own=True):
                self._count_replaced(previous, again=True)
            return
        row = self._execute(queries.select_entries(1), [key]).fetchone()
        transition.is_lost = (
            row is None
            or owners.is_alive(self._path, row[-1])
            or not entry_from_row(row).after_crash().is_unchanged_since(previous)
        )
        if not transition.is_lost:
            outdated = ("task_id", "submitted", "estimated_time", "error_code", "error", "files")
            mine = {"status": JournalStatus.SENDING, "owner": self._owner.id, "response": None}
            self._update(key, dict.fromkeys(outdated) | mine | {"updated": transition.at})
            self._count_replaced(previous)

    def _count_replaced(self, entry: Entry, *, again: bool = False) -> None:
        if (counting := queries.count_replaced(entry, again=again)) is not None:
            self._execute(*counting)

    def _insert(self, entries: Sequence[ops.NewEntry]) -> None:
        for some in _chunks(entries):
            rows = [
                (
                    *(new.key, JournalStatus.PLANNED, self._owner.id, new.keyed, new.model),
                    *(new.kind, new.path, new.payload, new.num_outputs, new.at, new.at),
                )
                for new in some
            ]
            self._execute(queries.insert_entries(len(some)), [*_flat(rows)])

    def _change(self, transitions: Sequence[ops.Transition]) -> None:
        for some in _chunks(transitions):
            rows = [
                (
                    *(each.new.key, each.before, each.after, each.at),
                    *(self._owner.id if each.keep else None, each.task_id),
                    *(each.estimated_time, each.error_code, each.text, each.response),
                )
                for each in some
            ]
            statement = queries.update_statuses(len(some))
            if self._execute(statement, [*_flat(rows), self._owner.id]).rowcount != len(some):
                for each in some:
                    self._change_one(each)

    def _change_one(self, transition: ops.Transition) -> None:
        """Find out which of a group did not have its status before, and do what is possible."""
        row = self._execute(
            "SELECT status, task_id, owner FROM entries WHERE key = ?", (transition.new.key,)
        ).fetchone()
        expected = {self._owner.id} if transition.keep else {self._owner.id, None}
        if row and row[:2] == (transition.after, transition.task_id) and row[2] in expected:
            # It changed with the group, or has this status because a failed `sending` was undone.
            if not transition.keep:
                self._update(transition.new.key, {"owner": None}, only_own=True)
            return
        key = text_of(transition.new.key)
        if transition.after is not JournalStatus.ACCEPTED:
            transition.error = ConfigurationError(
                f"journal {str(self._path)!r}: another program has removed or changed the entry of the "
                f"key {key!r} while it was {transition.before}; it is not {transition.after}"
            )
        elif row is not None and row[1] is not None:
            transition.error = FoxAPIError(
                f"journal {str(self._path)!r}: the key {key!r} already has the task {row[1]}; the task "
                f"{transition.task_id} was also created and billed, and is not recorded",
                task_id=transition.task_id,
            )
        else:
            if row is None:
                self._insert([transition.new])
            columns = ("task_id", "estimated_time")
            values = {name: getattr(transition, name) for name in columns}
            values |= {"status": transition.after, "owner": None, "response": None}
            values |= {"error_code": None, "error": None}
            values |= {"updated": transition.at, "submitted": transition.at}
            self._update(transition.new.key, values)

    def _record_ends(self, records: Sequence[ops.RecordEnd]) -> None:
        # A task ends once: the first record counts.
        first = {end.task_id: end for end in reversed(records)}
        for some in _chunks(list(first.values())):
            rows = [(end.task_id, end.after, end.at, end.error_code, end.text) for end in some]
            self._execute(queries.update_ends(len(some)), [*_flat(rows), JournalStatus.ACCEPTED])

    def _record_files(self, records: Sequence[ops.RecordFiles]) -> None:
        last = {saved.task_id: saved for saved in records}
        for some in _chunks(list(last.values())):
            rows = [(saved.task_id, saved.files, saved.at) for saved in some]
            # A task with files has completed, whether or not its end was recorded.
            before = (JournalStatus.ACCEPTED, JournalStatus.COMPLETED, JournalStatus.SAVED)
            parameters = [JournalStatus.SAVED, *_flat(rows), *before]
            self._execute(queries.update_files(len(some)), parameters)

    def _record_value(self, record: ops.RecordValue) -> None:
        if record.value is None:
            self._execute("DELETE FROM memory WHERE name = ?", (record.name,))
        else:
            self._execute(
                "INSERT OR REPLACE INTO memory (name, value, updated) VALUES (?, ?, ?)",
                (record.name, record.value, record.at),
            )


def _of(kind: type[_O], operations: Sequence[ops.Operation]) -> list[_O]:
    return [operation for operation in operations if isinstance(operation, kind)]


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _MAX_ROWS):
        yield items[start : start + _MAX_ROWS]


def _rounds(transitions: Sequence[ops.Transition]) -> list[list[ops.Transition]]:
    """Split transitions into rounds in which no entry occurs twice; the order of each is kept."""
    rounds: list[list[ops.Transition]] = []
    seen: Counter[bytes] = Counter()
    for transition in transitions:
        number = seen[transition.new.key]
        seen[transition.new.key] += 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(transition)
    return rounds
