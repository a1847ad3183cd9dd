"""What identifies a file on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foxapi_async.journal.entry import SavedFile

__all__ = ["describe"]


def describe(path: Path, index: int | None = None) -> SavedFile:
    """Return path, size and SHA-256 of a file; blocking, in bounded memory.

    Raises:
        OSError: It cannot be read.
    """
    # Who has files described has a journal, and so has loaded this; others need not.
    from foxapi_async.journal.entry import SavedFile  # noqa: PLC0415

    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return SavedFile(str(path), file.tell(), sha256, index)
