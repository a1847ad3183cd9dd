"""The journal: intent on disk before the POST, the id right after it, the result at the end."""

from foxapi_async.journal.address import journal_at
from foxapi_async.journal.claims import Claim
from foxapi_async.journal.entry import Entry, JournalStatus, SavedFile
from foxapi_async.journal.journal import Journal
from foxapi_async.journal.postgres.journal import PostgresJournal
from foxapi_async.journal.protocol import JournalClaim, SessionJournal
from foxapi_async.journal.stored import StoredJournal

__all__ = [
    "Claim",
    "Entry",
    "Journal",
    "JournalClaim",
    "JournalStatus",
    "PostgresJournal",
    "SavedFile",
    "SessionJournal",
    "StoredJournal",
    "journal_at",
]
