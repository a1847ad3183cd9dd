"""Who is submitting an entry, and whether that process is still alive.

Each opening of a journal is an owner with a random id. It holds a lock on a small file beside the
journal, which the kernel drops when the process ends in whatever way. So an owner is dead exactly
if its file is missing or can be locked; process ids, which are used again, play no part.

The lock is one of ``fcntl.lockf``: it belongs to the process, so a forked child does not inherit it
and cannot keep a dead parent alive. Such a lock is lost when the process closes *any* descriptor of
the file, so an owner of this process is looked up in a table and its file is never opened twice.
"""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from pathlib import Path
from typing import Final

__all__ = ["Owner", "is_alive", "sweep"]

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
"""The owners of this process, each with the process that it was made in: a fork copies the table."""


class Owner:
    """An opening of a journal by this process; alive until `release` or the end of the process.

    Raises:
        OSError: The folder of the journal cannot be written.
    """

    def __init__(self, journal: Path) -> None:
        self.id: Final = uuid.uuid4().hex
        self._file: Final = _file_of(journal, self.id)
        while True:
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
            # Between its birth and the lock, the file looks like one of a dead owner, and somebody
            # may have swept it away.
            if _try_lock(self._descriptor) and _is_still_there(self._descriptor, self._file):
                break
            os.close(self._descriptor)
        _own[self.id] = os.getpid()

    def release(self) -> None:
        """Give up the lock; whatever this owner has left undecided is up to others now."""
        if _own.get(self.id) != os.getpid():
            return
        with contextlib.suppress(OSError):
            self._file.unlink()
        os.close(self._descriptor)
        # Last: until now is_alive must not open the file.
        del _own[self.id]


def is_alive(journal: Path, owner: str | None) -> bool:
    """Whether an owner may still decide what it has begun; None is nobody."""
    if owner is None:
        return False
    if _own.get(owner) == os.getpid():
        return True
    return not _remove_if_dead(_file_of(journal, owner))


def sweep(journal: Path) -> None:
    """Remove the files that dead owners have left beside a journal."""
    for file in journal.parent.glob(f"{_escaped(journal.name)}.*{_SUFFIX}"):
        owner = file.name.removesuffix(_SUFFIX).rpartition(".")[2]
        if _own.get(owner) != os.getpid():
            _remove_if_dead(file)


def _remove_if_dead(file: Path) -> bool:
    try:
        descriptor = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # not ours to judge: another user's file
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


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
