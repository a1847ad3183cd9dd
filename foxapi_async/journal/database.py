"""One group of changes, one transaction, one fsync.

A statement that runs in SQLite lets go of the interpreter's lock, and in a program whose event loop
is busy, getting it back can take milliseconds. So the number of statements must not grow with the
size of the group: each kind of change is one statement for all of its kind.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from foxapi_async.errors import ConfigurationError, FoxAPIError
from foxapi_async.journal import owners, queries
from foxapi_async.journal.entry import Entry, entry_from_row, text_of
from foxapi_async.journal.operations import (
    Change,
    Claiming,
    Dropping,
    Ending,
    Move,
    Note,
    Planned,
    Reinstating,
    Retaking,
    Saving,
)
from foxapi_async.journal.reuse import difference
from foxapi_async.journal.schema import open_to_write
from foxapi_async.journal.transitions import AFTER_A_CRASH, JournalStatus, Verdict, on_claim

__all__ = ["Store"]

_CHUNK: Final = 100
"""Rows in one statement: far below SQLite's limit of parameters, and few texts to prepare."""

_DIED_SENDING: Final = "the process that sent it ended before it knew the answer"

_C = TypeVar("_C", bound=Change)
_T = TypeVar("_T")


class Store:
    """The journal's file, open to be written by one owner; lives in one thread.

    Raises:
        ConfigurationError: The file cannot be used.
        OSError: The folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._connection: Final = open_to_write(path)
        try:
            self._file = path.stat()
            self._owner = owners.Owner(path)
            owners.sweep(path)
            self._bury_the_dead()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give up what was not decided."""
        if hasattr(self, "_owner"):
            self._owner.release()
        self._connection.close()

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes, durably; one that is refused for itself has its ``error`` set.

        Raises:
            sqlite3.Error: None of them was made.
            ConfigurationError: None of them was made: the file is no longer where it was.
        """
        self._check_place()
        with self._transaction():
            # An entry under a random key is written together with its first move, and what is owed
            # from a group that failed comes before somebody else asks for the key.
            claims = _of(Claiming, changes)
            self._insert([claim.new for claim in claims if not claim.new.keyed])
            for moves in _rounds(_of(Move, changes)):
                self._move(moves)
            for reinstating in _of(Reinstating, changes):
                self._reinstate(reinstating)
            for retaking in _of(Retaking, changes):
                self._retake(retaking)
            self._drop(_of(Dropping, changes))
            self._end(_of(Ending, changes))
            self._save(_of(Saving, changes))
            self._claim([claim for claim in claims if claim.new.keyed])
            self._note(_of(Note, changes))

    def recall(self, name: str) -> str | None:
        """Return what was noted under a name."""
        row = self._connection.execute(
            "SELECT value FROM memory WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else str(row[0])

    @contextlib.contextmanager
    def _transaction(self) -> Generator[None, None, None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # After some errors SQLite has rolled back by itself.
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise

    def _check_place(self) -> None:
        try:
            if os.path.samestat(self._path.stat(), self._file):
                return
        except OSError:
            pass
        raise ConfigurationError(
            f"journal {str(self._path)!r}: the file was removed or replaced while it was in use; "
            "what is written now would be lost. Start again"
        )

    def _bury_the_dead(self) -> None:
        with self._transaction():
            rows = self._connection.execute(
                "SELECT DISTINCT owner FROM entries WHERE status IN (?, ?) AND owner IS NOT NULL",
                (JournalStatus.PLANNED, JournalStatus.SENDING),
            ).fetchall()
            for (owner,) in rows:
                if owners.is_alive(self._path, owner):
                    continue
                for before, after in AFTER_A_CRASH.items():
                    self._connection.execute(
                        "UPDATE entries SET status = ?, owner = NULL, error = ?"
                        " WHERE status = ? AND owner = ?",
                        (after, _DIED_SENDING, before, owner),
                    )
                # Nobody knows a random key, so nobody will ever ask for it again.
                self._connection.execute(
                    "DELETE FROM entries WHERE status = ? AND owner = ? AND NOT keyed",
                    (JournalStatus.PLANNED, owner),
                )

    def _claim(self, claims: Sequence[Claiming]) -> None:
        found: dict[bytes, tuple[Entry, str | None]] = {}
        for some in _chunks(claims):
            keys = [claim.new.key for claim in some]
            rows = self._connection.execute(queries.select(len(some)), keys)
            found.update((row[0], (entry_from_row(row), row[-1])) for row in rows)
        free: list[Planned] = []
        for claim in claims:
            if claim.new.key in found:
                self._claim_again(claim, *found[claim.new.key])
            else:
                claim.taken = True
                free.append(claim.new)
        self._insert(free)

    def _claim_again(self, claim: Claiming, entry: Entry, owner: str | None) -> None:
        claim.found = entry
        # What this owner holds and asks for again, it holds no more: it would have waited otherwise.
        alive = owner != self._owner.id and owners.is_alive(self._path, owner)
        verdict = on_claim(entry.status, owner_alive=alive)
        claim.held = verdict is Verdict.WAIT
        if verdict is Verdict.SUBMIT and _is_same(entry, claim.new):
            claim.taken = True
            self._connection.execute(
                "UPDATE entries SET status = ?, owner = ?, error_code = NULL, error = NULL,"
                " updated = ? WHERE key = ?",
                (JournalStatus.PLANNED, self._owner.id, claim.new.at, claim.new.key),
            )
        elif verdict is Verdict.ASK and entry.status is not JournalStatus.UNKNOWN:
            claim.found = entry.with_status(JournalStatus.UNKNOWN)
            self._connection.execute(
                "UPDATE entries SET status = ?, owner = NULL, error = ?, updated = ? WHERE key = ?",
                (JournalStatus.UNKNOWN, _DIED_SENDING, claim.new.at, claim.new.key),
            )

    def _retake(self, change: Retaking) -> None:
        row = self._connection.execute(queries.select(1), [change.new.key]).fetchone()
        if row is None or owners.is_alive(self._path, row[-1]):
            return
        entry = entry_from_row(row)
        entry = entry.with_status(AFTER_A_CRASH.get(entry.status, entry.status))
        change.taken = entry.stands_as(change.over)
        if change.taken:
            self._connection.execute(
                "UPDATE entries SET status = ?, owner = ?, updated = ?, task_id = NULL,"
                " submitted = NULL, estimated_time = NULL, error_code = NULL, error = NULL,"
                " files = NULL WHERE key = ?",
                (JournalStatus.SENDING, self._owner.id, change.new.at, change.new.key),
            )

    def _reinstate(self, change: Reinstating) -> None:
        over = change.over
        self._connection.execute(
            "UPDATE entries SET status = ?, owner = NULL, updated = ?, task_id = ?, submitted = ?,"
            " estimated_time = ?, error_code = ?, error = ? WHERE key = ? AND owner = ?",
            (
                *(over.status, over.updated.timestamp(), over.task_id),
                *(over.submitted and over.submitted.timestamp(), over.estimated_time),
                *(over.error_code, over.error, change.key, self._owner.id),
            ),
        )

    def _insert(self, entries: Sequence[Planned]) -> None:
        for some in _chunks(entries):
            self._connection.execute(
                queries.insert(len(some)),
                [
                    value
                    for new in some
                    for value in (
                        *(new.key, JournalStatus.PLANNED, self._owner.id, new.keyed, new.model),
                        *(new.kind, new.path, new.payload, new.num_outputs, new.at, new.at),
                    )
                ],
            )

    def _move(self, moves: Sequence[Move]) -> None:
        for some in _chunks(moves):
            cursor = self._connection.execute(
                queries.move(len(some)),
                [
                    *(
                        value
                        for move in some
                        for value in (
                            *(move.key, move.was, move.now, move.at),
                            *(self._owner.id if move.keep else None, move.task_id),
                            *(move.estimated_time, move.error_code, move.text),
                        )
                    ),
                    self._owner.id,
                ],
            )
            if cursor.rowcount != len(some):
                for move in some:
                    self._move_by_itself(move)

    def _move_by_itself(self, move: Move) -> None:
        """Find out which of a group was not where it should have been, and do what can be done."""
        row = self._connection.execute(
            "SELECT status, task_id, owner FROM entries WHERE key = ?", (move.key,)
        ).fetchone()
        owners_now = {self._owner.id} if move.keep else {self._owner.id, None}
        if row and row[:2] == (move.now, move.task_id) and row[2] in owners_now:
            # It has moved, with the group, or it was there already: a `sending` that failed and was
            # taken back.
            if not move.keep:
                self._connection.execute(
                    "UPDATE entries SET owner = NULL WHERE key = ? AND owner = ?",
                    (move.key, self._owner.id),
                )
            return
        name = text_of(move.key)
        if move.now is not JournalStatus.ACCEPTED:
            move.error = ConfigurationError(
                f"journal {str(self._path)!r}: the entry {name!r} was taken away or changed by "
                f"somebody else while it was {move.was}; it is not {move.now}"
            )
        elif row is not None and row[1] is not None:
            move.error = FoxAPIError(
                f"journal {str(self._path)!r}: {name!r} already stands for the task {row[1]}; "
                f"the task {move.task_id} was created and billed as well and is not recorded",
                task_id=move.task_id,
            )
        else:
            if row is None:
                self._insert([move.new])
            self._connection.execute(
                "UPDATE entries SET status = ?, owner = NULL, updated = ?, submitted = ?,"
                " task_id = ?, estimated_time = ?, error_code = NULL, error = NULL WHERE key = ?",
                (move.now, move.at, move.at, move.task_id, move.estimated_time, move.key),
            )

    def _drop(self, drops: Sequence[Dropping]) -> None:
        for some in _chunks(drops):
            self._connection.execute(
                queries.delete(len(some)),
                [*(drop.key for drop in some), self._owner.id],
            )

    def _end(self, ends: Sequence[Ending]) -> None:
        # The first word counts: a task ends once.
        for some in _chunks(list({end.task_id: end for end in reversed(ends)}.values())):
            self._connection.execute(
                queries.end(len(some)),
                [
                    *(
                        value
                        for end in some
                        for value in (end.task_id, end.now, end.at, end.error_code, end.text)
                    ),
                    JournalStatus.ACCEPTED,
                ],
            )

    def _save(self, saves: Sequence[Saving]) -> None:
        # A task whose files are here has been completed, whether or not its end was recorded.
        for some in _chunks(list({save.task_id: save for save in saves}.values())):
            self._connection.execute(
                queries.save(len(some)),
                [
                    JournalStatus.SAVED,
                    *(value for save in some for value in (save.task_id, save.files, save.at)),
                    *(JournalStatus.ACCEPTED, JournalStatus.COMPLETED, JournalStatus.SAVED),
                ],
            )

    def _note(self, notes: Sequence[Note]) -> None:
        for note in notes:
            if note.value is None:
                self._connection.execute("DELETE FROM memory WHERE name = ?", (note.name,))
            else:
                self._connection.execute(
                    "INSERT OR REPLACE INTO memory (name, value, updated) VALUES (?, ?, ?)",
                    (note.name, note.value, note.at),
                )


def _is_same(entry: Entry, new: Planned) -> bool:
    return not difference(entry.path, entry.payload, new.path, json.loads(new.payload))


def _of(kind: type[_C], changes: Sequence[Change]) -> list[_C]:
    return [change for change in changes if isinstance(change, kind)]


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _rounds(moves: Sequence[Move]) -> list[list[Move]]:
    """Part moves so that no entry moves twice in one round, each in its order."""
    rounds: list[list[Move]] = []
    made: dict[bytes, int] = {}
    for move in moves:
        turn = made.get(move.key, 0)
        made[move.key] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(move)
    return rounds
