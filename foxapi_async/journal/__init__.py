"""The journal: intent on disk before the POST, the id right after it, the result at the end."""

from foxapi_async.journal.bothways import Count, Entries
from foxapi_async.journal.claims import Claim
from foxapi_async.journal.entry import Entry, SavedFile
from foxapi_async.journal.journal import Journal
from foxapi_async.journal.transitions import JournalStatus

__all__ = ["Claim", "Count", "Entries", "Entry", "Journal", "JournalStatus", "SavedFile"]
