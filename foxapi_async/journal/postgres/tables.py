"""The rows of the journal in a schema of PostgreSQL.

The rows of one statement are arrays, so the statement is the same for any number of rows, and the
server prepares it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final

from foxapi_async._typeguards import is_array
from foxapi_async.journal.entry import COLUMNS, JournalStatus
from foxapi_async.journal.operations import NewEntry, RecordEnd, RecordFiles, Transition
from foxapi_async.journal.postgres import owners
from foxapi_async.journal.postgres.connection import Connection
from foxapi_async.journal.postgres.hashing import hash_of
from foxapi_async.journal.postgres.shared_limits import LimitTables
from foxapi_async.journal.shared_limits import AdoptOrphans, ExchangeLimits
from foxapi_async.journal.tables import Row, Tables

# The statements contain names of columns and placeholders only, no values.
# ruff: noqa: S608


class PostgresTables(Tables):
    """The tables of a schema, over one connection."""

    keeps_owner: ClassVar[bool] = True

    def __init__(self, label: str, connection: Connection) -> None:
        self.label: str = label
        self._connection: Final = connection
        self._living: frozenset[str] | None = None

    def transaction(self) -> AbstractContextManager[object]:
        self.refresh()
        return self._connection.transaction()

    def refresh(self) -> None:
        """Ask the server anew which owners are alive."""
        self._living = None

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        # Who has written a row that is read now may have come after the owners were asked for.
        self.refresh()
        marked = statement.replace("?", "%s").encode()
        return self._connection.execute(marked, [_stored(each) for each in parameters]).fetchall()

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        marked = statement.replace("?", "%s").encode()
        return self._connection.execute(marked, [_stored(each) for each in parameters]).rowcount

    def select(self, keys: Sequence[bytes]) -> list[Row]:
        query = f"SELECT {COLUMNS}, owner FROM entries WHERE sha256(key) = ANY(?::bytea[])"
        return self.query(query, [[hash_of(key) for key in keys]])

    def insert(self, entries: Sequence[NewEntry], owner: str) -> set[bytes]:
        columns = "key keyed model kind path payload num_outputs at"
        rows = self.query(
            "INSERT INTO entries (key, status, owner, keyed, model, kind, path, payload, num_outputs,"
            " created, updated) SELECT key, ?, ?, keyed, model, kind, path, payload, num_outputs, at, at"
            " FROM unnest(?::bytea[], ?::boolean[], ?::text[], ?::text[], ?::text[], ?::text[],"
            f" ?::bigint[], ?::double precision[]) AS new({columns.replace(' ', ', ')})"
            " ON CONFLICT (sha256(key)) DO NOTHING RETURNING key",
            [
                JournalStatus.PLANNED,
                owner,
                *([getattr(new, name) for new in entries] for name in columns.split()),
            ],
        )
        return {row[0] for row in rows}

    def change(self, transitions: Sequence[Transition], owner: str) -> int:
        return self.execute(
            "UPDATE entries SET status = new.now, updated = new.at, owner = new.owner,"
            " task_id = new.task_id, estimated_time = new.estimated_time,"
            " submitted = CASE WHEN new.task_id IS NULL THEN NULL ELSE new.at END,"
            " error_code = new.error_code, error = new.error, response = new.response"
            " FROM unnest(?::bytea[], ?::text[], ?::text[], ?::double precision[], ?::text[], ?::text[],"
            " ?::double precision[], ?::text[], ?::text[], ?::text[])"
            " AS new(hash, was, now, at, owner, task_id, estimated_time, error_code, error, response)"
            " WHERE sha256(entries.key) = new.hash AND entries.status = new.was AND entries.owner = ?",
            [
                [hash_of(each.new.key) for each in transitions],
                [each.before for each in transitions],
                [each.after for each in transitions],
                [each.at for each in transitions],
                [self.owner_after(each, owner) for each in transitions],
                [each.task_id for each in transitions],
                [each.estimated_time for each in transitions],
                [each.error_code for each in transitions],
                [each.text for each in transitions],
                [each.response for each in transitions],
                owner,
            ],
        )

    def update(self, key: bytes, values: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
        columns = ", ".join(f"{name} = ?" for name in values)
        statement = f"UPDATE entries SET {columns} WHERE sha256(key) = ?{_tests(conditions)}"
        return self.execute(statement, [*values.values(), hash_of(key), *conditions.values()]) == 1

    def remove(self, key: bytes, conditions: Mapping[str, Any]) -> bool:
        statement = f"DELETE FROM entries WHERE sha256(key) = ?{_tests(conditions)}"
        return self.execute(statement, [hash_of(key), *conditions.values()]) == 1

    def delete(self, keys: Sequence[bytes], owner: str) -> None:
        statement = "DELETE FROM entries WHERE sha256(key) = ANY(?::bytea[]) AND owner = ?"
        self.execute(statement, [[hash_of(key) for key in keys], owner])

    def record_ends(self, ends: Sequence[RecordEnd]) -> None:
        self.execute(
            "UPDATE entries SET status = new.now, updated = new.at, error_code = new.error_code,"
            " error = new.error"
            " FROM unnest(?::text[], ?::text[], ?::double precision[], ?::text[], ?::text[])"
            " AS new(task_id, now, at, error_code, error)"
            " WHERE entries.task_id = new.task_id AND entries.status = ?",
            [
                [end.task_id for end in ends],
                [end.after for end in ends],
                [end.at for end in ends],
                [end.error_code for end in ends],
                [end.text for end in ends],
                JournalStatus.ACCEPTED,
            ],
        )

    def record_files(self, files: Sequence[RecordFiles]) -> None:
        # A task with files has completed, whether or not its end was recorded.
        before = [JournalStatus.ACCEPTED, JournalStatus.COMPLETED, JournalStatus.SAVED]
        self.execute(
            "UPDATE entries SET status = ?, files = new.files, updated = new.at"
            " FROM unnest(?::text[], ?::text[], ?::double precision[]) AS new(task_id, files, at)"
            " WHERE entries.task_id = new.task_id AND entries.status = ANY(?::text[])",
            [
                JournalStatus.SAVED,
                [saved.task_id for saved in files],
                [saved.files for saved in files],
                [saved.at for saved in files],
                before,
            ],
        )

    def exchange_limits(self, exchange: ExchangeLimits, owner: str) -> None:
        LimitTables(self, self._connection, owner).exchange(exchange)

    def adopt(self, orphans: AdoptOrphans, owner: str) -> None:
        LimitTables(self, self._connection, owner).adopt(orphans)

    def without_place(self, keys: Sequence[bytes], owner: str) -> set[bytes]:
        return LimitTables(self, self._connection, owner).without_place(keys)

    def give_back_places(self, keys: Sequence[bytes], owner: str) -> None:
        LimitTables(self, self._connection, owner).give_back(keys)

    def is_alive(self, owner: str | None) -> bool:
        if owner is None:
            return False
        if self._living is None:
            self._living = owners.living(self._connection)
        return owner in self._living


def _tests(conditions: Mapping[str, Any]) -> str:
    return "".join(f" AND {name} IS NOT DISTINCT FROM ?" for name in conditions)


def _stored(value: Any) -> Any:
    """Return a value as PostgreSQL can store it: it takes no NUL in texts."""
    if is_array(value):
        return [_stored(each) for each in value]
    if isinstance(value, str):
        return str(value).replace("\0", "\\x00")
    return value
