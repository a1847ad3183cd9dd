"""Owners: which process is submitting an entry, and whether it is still alive.

Each opening of a journal is an owner with a random id. It locks a small file beside the journal; the
kernel drops the lock when the process ends. So an owner is dead exactly if its file is missing or can
be locked. Process ids play no part, because they are reused.

The lock is one of ``fcntl.lockf``. It belongs to the process, so a forked child does not inherit it
and cannot keep a dead parent alive. It is lost when the process closes *any* descriptor of the file,
so the owners of this process are kept in a table and their files are never opened twice.
"""

from __future__ import annotations

import contextlib
import glob
import os
import sys
import uuid
from pathlib import Path
from typing import Final

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True


_SUFFIX: Final = ".owner"

_own: Final[dict[str, int]] = {}
"""The owners of this process by id, each with its process id: a fork copies the table."""


class Owner:
    """An opening of a journal by this process; alive until `release` or the end of the process."""

    def __init__(self, journal: Path) -> None:
        self.id: Final = uuid.uuid4().hex
        self._file: Final = _file_of(journal, self.id)
        while True:
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
            # Until it is locked, the file looks like that of a dead owner, and another process may
            # remove it.
            if _try_lock(self._descriptor) and _is_still_there(self._descriptor, self._file):
                break
            os.close(self._descriptor)
        _own[self.id] = os.getpid()

    def release(self) -> None:
        """Release the lock, so that other owners may claim the entries of this one."""
        if _own.get(self.id) != os.getpid():
            return
        with contextlib.suppress(OSError):
            self._file.unlink()
        os.close(self._descriptor)
        # Last, because is_alive must not open the file before.
        del _own[self.id]


def is_alive(journal: Path, owner: str | None) -> bool:
    """Return whether an owner may still submit its entries; None is no owner."""
    if owner is None:
        return False
    if _own.get(owner) == os.getpid():
        return True
    return not _remove_if_dead(_file_of(journal, owner))


def sweep(journal: Path) -> None:
    """Remove the files of dead owners beside a journal."""
    for file in journal.parent.glob(f"{glob.escape(journal.name)}.*{_SUFFIX}"):
        owner = file.name.removesuffix(_SUFFIX).rpartition(".")[2]
        if _own.get(owner) != os.getpid():
            _remove_if_dead(file)


def _remove_if_dead(file: Path) -> bool:
    try:
        descriptor = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # another user's file, which cannot be checked
    try:
        if not _try_lock(descriptor):
            return False
        with contextlib.suppress(OSError):
            file.unlink()
        return True
    finally:
        os.close(descriptor)


def _file_of(journal: Path, owner: str) -> Path:
    return journal.with_name(f"{journal.name}.{owner}{_SUFFIX}")


def _is_still_there(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
