"""The pictures of a job on disk: whether they are there, whole, and under which name. Blocking."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Final

from foxapi_async.files.filenames import numbered, safe_name
from foxapi_async.journal import SavedFile

__all__ = ["is_there", "is_whole", "name_for", "set_aside"]

_LONGEST_STEM: Final = 140
"""Bytes: with the index of an output, the name is still one that needs no further change."""

_ASIDE: Final = ".damaged"


def name_for(key: str, index: int, *, several: bool) -> str:
    """Return what an output is called, without extension: the key, with the index if need be."""
    if not several:
        return key
    stem = safe_name(key)
    if len(stem.encode()) > _LONGEST_STEM:
        stem = safe_name(
            key[:100] + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        )
    return f"{stem}-{index}"


def is_there(directory: Path, file: SavedFile) -> bool:
    """Whether a file has the right name and size."""
    try:
        return place_of(directory, file).stat().st_size == file.size
    except OSError:
        return False


def is_whole(directory: Path, file: SavedFile) -> bool:
    """Whether a file is there and has not changed by a bit; it is read whole."""
    if not is_there(directory, file):
        return False
    try:
        with place_of(directory, file).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def place_of(directory: Path, file: SavedFile) -> Path:
    """Return where a file of the journal is now: the folder may have moved since."""
    return directory / Path(file.path).name


def set_aside(directory: Path, file: SavedFile) -> Path | None:
    """Make room for a fresh copy of a damaged file; return where the old one is now, if it was there.

    It is kept, because it may be a picture that somebody has worked on.
    """
    place = place_of(directory, file)
    with suppress(OSError):
        if not place.is_file() or place.is_symlink():
            return None
        target = next(
            each
            for number in range(1, 1000)
            if not (each := directory / f"{numbered(place.name, number)}{_ASIDE}").exists()
        )
        return place.rename(target)
    return None
