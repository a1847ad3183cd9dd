"""Files that are replaced as a whole: the old content is there until the new one is complete. Blocking."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from foxapi_async.files.filenames import clean

_MAX_HINT: Final = 60


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO, None, None]:
    """Open a new file that takes the place of ``path`` at the end of the block, unless that raises.

    Its temporary name is one that `remove_stale_parts` removes after a crash.
    """
    part = path.with_name(f".{clean(path.name)[:_MAX_HINT]}.{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
