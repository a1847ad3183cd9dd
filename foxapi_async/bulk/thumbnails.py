"""Small pictures for a page, as data URIs; Pillow draws them if it is installed. Blocking."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path
from typing import Final

import attrs

__all__ = ["Thumbnail", "thumbnail"]

_HEIGHT: Final = 320
"""Pixels: sharp on a display with two of them to a point."""

_WIDEST: Final = 4 * _HEIGHT
_LARGEST: Final = 100_000_000
"""Pixels of a picture that is still opened; more would take more memory than a thumbnail is worth."""


@attrs.frozen
class Thumbnail:
    """A small picture: its data URI, and its width to height."""

    uri: str
    ratio: float


def thumbnail(path: Path) -> Thumbnail | None:
    """Return a small copy of a picture; None if it is none, or Pillow is not there."""
    try:
        from PIL import Image  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                if picture.width * picture.height > _LARGEST:
                    return None
                # Lets JPEG skip most of the decoding.
                picture.draft("RGB", (_WIDEST, _HEIGHT))
                small = picture.convert("RGB")
            small.thumbnail((_WIDEST, _HEIGHT))
    except Exception:  # noqa: BLE001 - decoders raise whatever they like at what is no picture
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Thumbnail(f"data:image/jpeg;base64,{data}", small.width / small.height)
