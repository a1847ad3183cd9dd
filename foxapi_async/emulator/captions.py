"""Captions, which let a person tell pictures apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foxapi_async.emulator.canvas import resized

if TYPE_CHECKING:
    from PIL import Image, ImageFont

_WHITE = (255, 255, 255)
_LINES = 3
_SMALLEST_SIDE = 200
"""Pixels; smaller pictures have no caption, because it would not be legible."""


def caption(image: Image.Image, title: str, *details: str) -> None:
    """Write a title of at most three lines and the details below it at the foot of a picture."""
    from PIL import ImageDraw, ImageFont  # noqa: PLC0415

    width, height = image.size
    if min(width, height) < _SMALLEST_SIDE:
        return
    unit = min(width, height) / 1000
    margin = round(52 * unit)
    large = ImageFont.load_default(round(42 * unit))
    small = ImageFont.load_default(round(24 * unit))
    lines = wrap(title, large, width - 2 * margin)
    block = len(lines) * round(52 * unit) + len(details) * round(34 * unit) + round(14 * unit)
    top = height - margin - block
    _shade(image, top - 2 * margin)
    pen = ImageDraw.Draw(image, "RGBA")
    for line in lines:
        pen.text((margin, top), line, font=large, fill=(*_WHITE, 245))
        top += round(52 * unit)
    top += round(14 * unit)
    for line in details:
        pen.text((margin, top), line, font=small, fill=(*_WHITE, 190))
        top += round(34 * unit)


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Break a text into at most three lines of `width` pixels, truncated with an ellipsis."""
    lines: list[str] = []
    line = ""
    for word in " ".join(text.split())[:400].split(" "):
        longer = f"{line} {word}".strip()
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
    lines.append(line)
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], f"{lines[_LINES - 1]} …"]
    return [_fitted(each, font, width) for each in lines]


def _fitted(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line.rstrip(' …')}…"


def _shade(image: Image.Image, top: int) -> None:
    """Darken the lower part of the picture gradually, so that white text is legible."""
    from PIL import Image  # noqa: PLC0415

    width, height = image.size
    top = max(0, top)
    veil = Image.new("L", (1, 6))
    for row, darkness in enumerate((0, 10, 60, 110, 135, 145)):
        veil.putpixel((0, row), darkness)
    mask = resized(veil, (width, height - top))
    image.paste(Image.new("RGB", mask.size, (0, 0, 0)), (0, top), mask)
