"""A file on disk that has its name only once it is whole. Blocking: for worker threads.

It grows under a temporary name in the folder where it will stand, so that it can be published in
one step. A hard link is that step, because it fails where a rename would overwrite.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from foxapi_async.files.filenames import clean, numbered

__all__ = ["PartFile", "remove_stale_parts"]

_BLOCK: Final = 1024 * 1024
_HINT: Final = 60
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

_STALE: Final = 900.0
"""Seconds without a write after which nobody can be writing to a part any more; a download that
stalls for longer than a minute is given up."""

_PART: Final = re.compile(r"\..*\.[0-9a-f]{12}\.part", re.DOTALL)


def remove_stale_parts(folder: Path, now: float) -> int:
    """Remove what killed processes have left half-written in a folder; return how many files.

    Args:
        folder: Where files are saved.
        now: Seconds since 1970.
    """
    removed = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name) is None:
                continue
            with suppress(OSError):
                if now - entry.stat(follow_symlinks=False).st_mtime > _STALE:
                    Path(entry.path).unlink()
                    removed += 1
    return removed


class PartFile:
    """A file under its temporary name; it exists from the first byte on.

    An event loop that is torn down lets go of threads that still work for it. So each step is taken
    under a lock, and a step that comes after `discard` does nothing.
    """

    def __init__(self, folder: Path, hint: str) -> None:
        self._folder = folder
        self._path = folder / f".{clean(hint)[:_HINT]}.{secrets.token_hex(6)}.part"
        self._file: int | None = None
        self._size = 0
        self._lock = threading.Lock()
        self._is_over = False

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append at most 1,024 chunks; make the file and its folder if they are not there."""
        with self._lock:
            if self._is_over:
                return
            file = self._opened()
            rest = [memoryview(chunk) for chunk in chunks]
            while rest:
                written = _write_some(file, rest)
                self._size += written
                while rest and written >= len(rest[0]):
                    written -= len(rest.pop(0))
                if written:
                    rest[0] = rest[0][written:]

    def restart(self) -> None:
        """Throw away what has been written."""
        with self._lock:
            if self._file is not None:
                os.ftruncate(self._file, 0)
                os.lseek(self._file, 0, os.SEEK_SET)
                self._size = 0

    def publish(self, name: str) -> Path:
        """Give the file its name, on disk to the last byte, and return its path.

        Nothing is overwritten: a name that is taken by the same bytes is returned as it is, and
        beside other bytes the file becomes ``name~2.png`` and so on.
        """
        with self._lock:
            file = self._opened()
            os.fsync(file)
            self._file = None
            os.close(file)
            targets = (self._folder / numbered(name, number) for number in count(1))
            target = next(each for each in targets if self._take(each) or self._equals(each))
            self._path.unlink(missing_ok=True)
            _sync_folder(self._folder)
            self._is_over = True
            return target

    def discard(self) -> None:
        """Remove the file, unless it has been published; as far as that can be done."""
        with self._lock:
            self._is_over = True
            file, self._file = self._file, None
            with suppress(OSError):
                if file is not None:
                    os.close(file)
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _opened(self) -> int:
        if self._file is None:
            try:
                self._file = os.open(self._path, _NEW, 0o666)
            except (FileNotFoundError, NotADirectoryError):
                self._make_folder()
                self._file = os.open(self._path, _NEW, 0o666)
        return self._file

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder") from error

    def _take(self, target: Path) -> bool:
        try:
            os.link(self._path, target)
        except FileExistsError:
            return False
        except OSError:
            return self._take_without_links(target)
        return True

    def _take_without_links(self, target: Path) -> bool:
        # FAT and some network and overlay file systems have no hard links. An empty file reserves
        # the name; the rename puts the whole one in its place.
        try:
            os.close(os.open(target, _NEW, 0o666))
        except FileExistsError:
            return False
        try:
            self._path.replace(target)
        except OSError:
            target.unlink(missing_ok=True)
            raise
        return True

    def _equals(self, target: Path) -> bool:
        try:
            there = target.lstat()
            if not stat.S_ISREG(there.st_mode) or there.st_size != self._size:
                return False
            with self._path.open("rb") as ours, target.open("rb") as theirs:
                while block := ours.read(_BLOCK):
                    if block != theirs.read(_BLOCK):
                        return False
                return not theirs.read(1)
        except OSError:
            return False


def _write_some(file: int, chunks: Sequence[memoryview]) -> int:
    if sys.platform == "win32":
        return os.write(file, b"".join(chunks))
    # One call instead of one for each chunk, as each call lets go of the interpreter's lock and then
    # waits until the event loop lets go of it.
    return os.writev(file, chunks)


def _sync_folder(folder: Path) -> None:
    # Without this the name may be lost in a power failure, though the bytes are not. Windows has
    # no handle for a folder.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    with suppress(OSError):
        os.fsync(handle)
    os.close(handle)
