"""Where the records of a job are: beside its pictures, or on this machine if those are in an object store. Pure."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from foxapi_async import InvalidRequestError
from foxapi_async.files.filenames import clean
from foxapi_async.files.object_path import ObjectPath

_LONGEST: Final = 60  # Bytes of the URL in the name of a folder


def records_folder(
    place: Path, records: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Path:
    """Return the folder of results.jsonl, the journal and the run log of a job with pictures in ``place``.

    They need appends and locks, which object stores do not have. So if ``place`` is in one they are in
    ``records``, by default in a folder of the user's state directory that is derived from the URL.

    Raises:
        InvalidRequestError: ``place`` is a folder, and ``records`` another one.
    """
    if not isinstance(place, ObjectPath):
        if records is None:
            return place
        raise InvalidRequestError(
            f"records is {str(records)!r}, but the records of a job in a folder are in that folder; it "
            "is for pictures in an object store only",
            field="records",
            value=str(records),
        )
    if records is not None:
        return records.expanduser()
    readable = clean("-".join(place.parts[1:]), most=_LONGEST)
    digest = hashlib.sha256(str(place).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return _state_directory(environment) / "jobs" / f"{readable}-{digest}"


def _state_directory(environment: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        base = environment.get("LOCALAPPDATA")
        return (Path(base) if base else Path("~/AppData/Local").expanduser()) / "foxapi"
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path("~/.local/state").expanduser()) / "foxapi"
