"""Thumbnails of pictures for the contact sheet: small files that are made once and used again. Blocking.

The name of a thumbnail is the digest of its picture, so a picture that changes gets another one.

Call `make_thumbnail` in one thread only: to decode a 4K picture takes 64 MB, most of which the C library
keeps for the thread.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from foxapi_async.files.partfile import remove_stale_parts

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SHEET_FOLDER: Final = "contact-sheet"
"""The folder of thumbnails and search data, in the directory of a job."""

_HEIGHT: Final = 280  # Pixels: about the height at which the page shows a picture
_WIDEST: Final = 3 * _HEIGHT
_MOST_BYTES: Final = 11_000  # So that 200 of them and their page are below three megabytes
_QUALITIES: Final = (80, 65, 50, 35)
_LARGEST: Final = 40_000_000
"""Pixels of a picture, which takes four bytes for each while it is decoded. 4K has 17 million."""

_NAME: Final = re.compile(r"[0-9a-f]{32}\.jpg")
_UNUSED: Final = 3600.0
"""Seconds since a thumbnail was made or used last; another run may have made it for its own sheet."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@attrs.frozen
class Thumbnail:
    """A thumbnail in `SHEET_FOLDER`; ``ratio`` is its width divided by its height."""

    name: str
    ratio: float


def find_thumbnail(directory: Path, sha256: str) -> Thumbnail | None:
    """Return the thumbnail of the picture with this digest, if there is one."""
    if not _DIGEST.fullmatch(sha256):
        return None
    path = directory / SHEET_FOLDER / _name(sha256)
    try:
        from PIL import Image  # noqa: PLC0415 - an extra

        with Image.open(path) as picture:  # reads the header only
            ratio = picture.width / picture.height
        os.utime(path)
    except Exception:  # noqa: BLE001 - ImportError, no such file, or anything that a decoder raises
        return None
    return Thumbnail(path.name, ratio)


def make_thumbnail(directory: Path, picture: Path, sha256: str) -> Thumbnail | None:
    """Return the thumbnail of a picture, which is made if there is none.

    None without Pillow, if the file is no picture, or if the thumbnail cannot be saved.
    """
    if (found := find_thumbnail(directory, sha256)) is not None:
        return found
    if not _DIGEST.fullmatch(sha256):
        return None
    path = directory / SHEET_FOLDER / _name(sha256)
    try:
        small = _shrunk(picture)
        path.parent.mkdir(exist_ok=True)
        publish(path, _encoded(small))
    except Exception:  # noqa: BLE001 - ImportError, a full disk, or anything that a decoder raises
        return None
    return Thumbnail(path.name, small.width / small.height)


def remove_unused(directory: Path, now: float) -> int:
    """Remove the thumbnails that no sheet has used for an hour; return how many. ``now`` is since 1970."""
    folder = directory / SHEET_FOLDER
    removed = remove_stale_parts(folder, now)
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if _NAME.fullmatch(entry.name) and now - entry.stat().st_mtime > _UNUSED:
                    Path(entry.path).unlink()
                    removed += 1
    return removed


def publish(path: Path, content: bytes) -> None:
    """Write a file so that readers see all of it, or what was there before."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _name(sha256: str) -> str:
    return f"{sha256[:32]}.jpg"


def _shrunk(path: Path) -> Picture:
    from PIL import Image  # noqa: PLC0415 - an extra

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as picture:
            # Lets JPEG skip most of the decoding.
            picture.draft("RGB", (_WIDEST, _HEIGHT))
            if picture.width * picture.height > _LARGEST:
                raise ValueError("to decode the picture would take too much memory")
            # Modes that cannot be resized smoothly. The others are resized in place, because a copy
            # of a 4K picture takes 64 MB.
            small = picture.convert("RGB") if picture.mode in {"1", "P"} else picture
            small.thumbnail((_WIDEST, _HEIGHT), reducing_gap=2.0)
            return small.convert("RGB")


def _encoded(picture: Picture) -> bytes:
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= _MOST_BYTES:
                return buffer.getvalue()
        picture = picture.reduce(2)  # noise
