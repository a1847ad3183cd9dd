"""The journal: intent on disk before the POST, the id right after it, the result at the end."""

from foxapi_async.journal.claims import Claim
from foxapi_async.journal.entry import Entry, JournalStatus, SavedFile
from foxapi_async.journal.journal import Journal

__all__ = ["Claim", "Entry", "Journal", "JournalStatus", "SavedFile"]
