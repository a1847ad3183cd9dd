"""All pictures of a run on one sheet, with their prompts. Blocking: for worker threads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
from PIL import Image, ImageDraw, ImageFont

from foxapi_async.cli.gallery_layout import Place, lay_out

__all__ = ["Exhibit", "draw_sheet"]

_WIDTH: Final = 1600
_MARGIN: Final = 56
_GAP: Final = 24
_ROW_HEIGHT: Final = 400
_BELOW: Final = 84
_HEAD: Final = 128
_CORNER: Final = 12
_SMOOTH: Final = 4
"""How many times larger corners are drawn before they are scaled down, for edges without stairs."""

_GROUND: Final = (19, 21, 27)
_INK: Final = (236, 238, 243)
_FAINT: Final = (146, 152, 166)
_ACCENT: Final = (255, 146, 82)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@attrs.frozen
class Exhibit:
    """One picture of the sheet: the file, and a line and a fainter line of words."""

    path: Path
    title: str
    details: str


def draw_sheet(exhibits: Sequence[Exhibit], target: Path, *, title: str, subtitle: str) -> None:
    """Draw a sheet of pictures and save it as PNG.

    Args:
        exhibits: The pictures, at least one.
        target: The file; it is replaced in one step if it is there.
        title: The heading.
        subtitle: A line below it.
    """
    pictures = [_opened(exhibit.path) for exhibit in exhibits]
    places = lay_out(
        [picture.width / picture.height for picture in pictures],
        width=_WIDTH - 2 * _MARGIN,
        gap=_GAP,
        row_height=_ROW_HEIGHT,
        below=_BELOW,
    )
    height = _HEAD + max(place.top + place.height for place in places) + _BELOW + _MARGIN // 4
    sheet = Image.new("RGB", (_WIDTH, height), _GROUND)
    pen = ImageDraw.Draw(sheet)
    _head(pen, title, subtitle)
    for exhibit, picture, place in zip(exhibits, pictures, places, strict=True):
        _hang(sheet, pen, exhibit, picture, place)
    part = target.with_name(f".{target.name}.part")
    sheet.save(part, "PNG", optimize=True)
    part.replace(target)


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _head(pen: ImageDraw.ImageDraw, title: str, subtitle: str) -> None:
    pen.rounded_rectangle((_MARGIN, 46, _MARGIN + 6, 96), radius=3, fill=_ACCENT)
    left = _MARGIN + 24
    pen.text((left, 40), title, font=ImageFont.load_default(30), fill=_INK)
    pen.text((left, 79), subtitle, font=ImageFont.load_default(17), fill=_FAINT)


def _hang(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    exhibit: Exhibit,
    picture: Image.Image,
    place: Place,
) -> None:
    left, top = place.left + _MARGIN, place.top + _HEAD
    small = picture.resize((place.width, place.height), Image.Resampling.LANCZOS)  # pyright: ignore[reportUnknownMemberType]
    sheet.paste(small, (left, top), _rounded(place.width, place.height))
    large, faint = ImageFont.load_default(16), ImageFont.load_default(13)
    below = top + place.height + 12
    pen.text((left, below), _fitted(exhibit.title, large, place.width), font=large, fill=_INK)
    pen.text(
        (left, below + 24), _fitted(exhibit.details, faint, place.width), font=faint, fill=_FAINT
    )


def _rounded(width: int, height: int) -> Image.Image:
    large = Image.new("L", (width * _SMOOTH, height * _SMOOTH))
    corners = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(corners, radius=_CORNER * _SMOOTH, fill=255)
    return large.reduce(_SMOOTH)


def _fitted(text: str, font: _Font, width: int) -> str:
    """Return a text, or as much of it as is no wider than so many pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"
