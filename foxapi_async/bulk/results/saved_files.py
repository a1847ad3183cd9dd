"""The files that jobs have saved: where they are, and whether they are intact. Blocking.

A job knows each of its files by the path below its directory, with slashes, so that the directory can
be moved. In the journal, a path with folders begins with ``./``. Any other path there is a bare name, or
was written by an earlier release, which saved all files in the directory itself: its last part counts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from foxapi_async._typeguards import is_array, is_object
from foxapi_async.files.pace import is_out_of_descriptors
from foxapi_async.journal.entry import Entry, SavedFile

_MARK: Final = "./"
_SEPARATORS: Final = re.compile(r"[/\\]")  # Of any system, because a directory may have moved
_UNSAFE: Final = re.compile(r"\.{0,2}|.*[\\:\0].*", re.DOTALL)


def files_of(entry: Entry) -> tuple[SavedFile, ...]:
    """Return the files of an entry of a job's journal, with paths below the job's directory."""
    return tuple(attrs.evolve(file, path=path_below(file.path)) for file in entry.files)


def for_journal(file: SavedFile) -> SavedFile:
    """Return a file as the journal of a job stores it; `files_of` reverses it."""
    return attrs.evolve(file, path=_MARK + file.path) if "/" in file.path else file


def path_below(stored: str) -> str:
    """Return the path below the job's directory of a path in its journal; it cannot leave the directory."""
    parts = stored.split("/")[1:] if stored.startswith(_MARK) else _SEPARATORS.split(stored)[-1:]
    return "_" if any(_UNSAFE.fullmatch(part) for part in parts) else "/".join(parts)


def saved_paths(fields: Mapping[str, Any]) -> list[str]:
    """Return the paths of the files of a line of ``results.jsonl``, below the directory of the results; none can leave it."""
    files = fields.get("files")
    paths = [file.get("path") for file in files if is_object(file)] if is_array(files) else []
    # Earlier releases, which did not name the job, wrote paths for the directory of the process.
    mark = "./" if "job" in fields else ""
    return [path_below(mark + path) for path in paths if isinstance(path, str)]


def path_of(directory: Path, file: SavedFile) -> Path:
    """Return where a file is now; its path is one below the directory."""
    return directory.joinpath(*file.path.split("/"))


def is_present(directory: Path, file: SavedFile) -> bool:
    """Return whether a file has the recorded name and size."""
    try:
        return path_of(directory, file).stat().st_size == file.size
    except (OSError, ValueError):  # ValueError: a name that this locale cannot encode
        return False


def is_intact(directory: Path, file: SavedFile) -> bool:
    """Return whether a file has the recorded content."""
    if not is_present(directory, file):
        return False
    try:
        with path_of(directory, file).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError as error:
        if is_out_of_descriptors(error):  # it says nothing about the file
            raise
        return False
