"""The bytes of a file with what identifies them; a large file is mapped, so that it takes no memory of its own."""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path
from typing import Final

import attrs

from foxapi_async.files.sniff import HEAD

_MAPPED: Final = 8 * 1024**2
"""Bytes above which a file is mapped."""

_BLOCK: Final = 1024**2


@attrs.frozen
class Identity:
    """What identifies a content: its size in bytes and its digests in lower-case hex."""

    size: int
    sha256: str
    md5: str | None = None


@attrs.frozen(eq=False, repr=False)
class Content:
    """The bytes of a file."""

    data: bytes | mmap.mmap
    head: bytes
    identity: Identity

    @classmethod
    def of_file(cls, path: Path) -> Content:
        """Read or map a file. Blocking; raise `OSError` if that fails."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _MAPPED:
                return cls.of(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            return cls.of(file.read())

    @classmethod
    def of(cls, data: bytes | mmap.mmap) -> Content:
        """Return the content of some bytes. Blocking."""
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        view = memoryview(data)
        for start in range(0, len(view), _BLOCK):
            block = view[start : start + _BLOCK]
            sha256.update(block)
            md5.update(block)
        identity = Identity(len(view), sha256.hexdigest(), md5.hexdigest())
        return cls(data, bytes(view[:HEAD]), identity)
