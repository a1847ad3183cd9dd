"""Pillow, which is optional: its import, and two calls whose types are incomplete."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


class PillowMissingError(ImportError):
    """Pillow is not installed: the emulator draws the pictures that it serves."""


def load_pillow() -> None:
    """Import the modules that drawing needs.

    Raises:
        PillowMissingError: the extra is not installed.
    """
    try:
        for name in ("Image", "ImageDraw", "ImageFont"):
            import_module(f"PIL.{name}")
    except ImportError:
        raise PillowMissingError(
            "the emulator draws pictures with Pillow, which is not installed: "
            "pip install 'foxapi-async[emulator]'"
        ) from None


# Pillow's annotations refer to numpy, which is not installed, so pyright reports unknown types.


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale an image smoothly to (width, height)."""
    return image.resize(size, _BICUBIC)  # pyright: ignore[reportUnknownMemberType]


def mapped(image: Image.Image, table: Sequence[float]) -> Image.Image:
    """Replace each of the 256 values of a grey image by its value in the table."""
    return image.point(table)  # pyright: ignore[reportUnknownMemberType]


_BICUBIC = 3
"""`PIL.Image.Resampling.BICUBIC`."""
