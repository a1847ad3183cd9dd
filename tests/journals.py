"""A second journal object on the same entries, as another session has it."""

from __future__ import annotations

from foxapi_async.journal import Journal, PostgresJournal, StoredJournal


def another(journal: StoredJournal) -> StoredJournal:
    if isinstance(journal, Journal):
        return Journal(journal.path)
    assert isinstance(journal, PostgresJournal)
    return PostgresJournal(journal._backend.address._dsn, name=journal.name)
