"""Queries over the rows of a journal, for any database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal.entry import (
    AFTER_CRASH,
    COLUMNS,
    Entry,
    JournalStatus,
    bytes_of,
)
from foxapi_async.journal.transitions import (
    BILLED,
    FORGOTTEN,
    PERHAPS_BILLED,
    REPLACED,
    forgotten_name,
)

if TYPE_CHECKING:
    from foxapi_async.journal.tables import Tables

_PAGE: Final = 500
"""Entries in one query: a longer one would keep SQLite from merging its log into the file."""

# The statements contain names of columns and placeholders only, no values.
# ruff: noqa: S608


def read(tables: Tables, statuses: Collection[JournalStatus] | None) -> Iterator[Entry]:
    """Yield the entries, oldest first, with at most one page of them in memory."""
    wanted = frozenset(JournalStatus if statuses is None else statuses)
    stored = wanted | {before for before, after in AFTER_CRASH.items() if after in wanted}
    condition = "" if statuses is None else f"status IN ({_marks(stored)}) AND"
    query = f"SELECT id, {COLUMNS}, owner FROM entries WHERE {condition} id > ? ORDER BY id LIMIT {_PAGE}"
    parameters: list[Any] = [] if statuses is None else sorted(stored)
    last = 0
    while rows := tables.query(query, [*parameters, last]):
        last = rows[-1][0]
        entries = (tables.entry_now(row[1:]) for row in rows)
        yield from (entry for entry in entries if entry.status in wanted)


def find(tables: Tables, keys: Iterable[str]) -> Iterator[Entry]:
    """Yield the entries of those keys that have one, in no particular order."""
    names = (bytes_of(key) for key in keys)
    while some := list(islice(names, _PAGE)):
        for row in tables.select(some):
            yield tables.entry_now(row)


def count(tables: Tables) -> dict[JournalStatus, int]:
    """Return the number of entries of each status, as stored."""
    rows = tables.query("SELECT status, count(*) FROM entries GROUP BY status")
    try:
        return {JournalStatus(status): number for status, number in rows}
    except ValueError as error:
        raise ConfigurationError(
            f"{tables.label}: an entry is damaged: another program has changed it; continue with a "
            f"copy of the journal ({error})"
        ) from error


def images(tables: Tables) -> tuple[int, int]:
    """Return the images that all submissions have billed, and those that may be billed besides."""
    # Not a sum of integers, which overflows in SQLite.
    query = (
        "SELECT status, sum(CAST(num_outputs AS DOUBLE PRECISION)) FROM entries GROUP BY status"
        " UNION ALL SELECT name, CAST(value AS BIGINT) FROM memory WHERE name IN (?, ?)"
    )
    counts = {name: int(number) for name, number in tables.query(query, [*REPLACED.values()])}
    billed, unknown = (
        sum(counts.get(name, 0) for name in (*statuses, REPLACED[statuses[0]]))
        for statuses in (BILLED, PERHAPS_BILLED)
    )
    return billed, unknown


def has_task(tables: Tables, task_id: str) -> bool:
    """Return whether an entry has the task."""
    return bool(tables.query("SELECT 1 FROM entries WHERE task_id = ? LIMIT 1", [task_id]))


def was_forgotten(tables: Tables, key: str) -> bool:
    """Return whether a key was forgotten on purpose and not just never known."""
    query = "SELECT 1 FROM memory WHERE name = ?"
    return bool(tables.query(query, [forgotten_name(key)]))


def remembered(tables: Tables, names: Sequence[str]) -> dict[str, str]:
    """Return the JSON of those values that are remembered, by name."""
    query = f"SELECT name, value FROM memory WHERE name IN ({_marks(names)})"
    return {name: str(value) for name, value in tables.query(query, list(names))}


def is_blank(tables: Tables) -> bool:
    """Return whether there has never been an entry."""
    query = (
        "SELECT 1 FROM entries UNION ALL SELECT 1 FROM memory WHERE substr(name, 1, ?) = ? LIMIT 1"
    )
    return not tables.query(query, [len(FORGOTTEN), FORGOTTEN])


def _marks(items: Collection[object]) -> str:
    return ",".join("?" * len(items))
