"""Pictures that the emulator draws itself: a landscape seeded by task and prompt, with a caption.

Everything here is a function of its arguments; it is called in worker threads. Pillow is an extra
and is imported when the first picture is drawn.
"""

from __future__ import annotations

import io
import math
import random
from typing import TYPE_CHECKING, Literal, TypeAlias

from attrs import frozen

from foxapi_async.emulator.canvas import mapped, resized
from foxapi_async.emulator.captions import caption

if TYPE_CHECKING:
    from PIL import Image

Format: TypeAlias = Literal["png", "jpeg", "webp"]
Colour: TypeAlias = tuple[int, int, int]

EXTENSIONS: dict[Format, str] = {"png": "png", "jpeg": "jpg", "webp": "webp"}
CONTENT_TYPES: dict[str, str] = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}

AREA_SIDE = 1024
"""A 1K picture has the area of a square with this side, whatever its ratio; 4K is four times that."""

_SKETCH_SIDE = 1536
"""The landscape is painted no larger than this and then scaled: it has no fine detail."""

_NIGHT = 190
"""A sky whose red, green and blue add up to less than this has stars."""


@frozen
class Palette:
    """The colours of one landscape, from the top of the sky to the nearest hill."""

    zenith: Colour
    horizon: Colour
    sun: Colour
    far: Colour
    near: Colour


PALETTES = (
    Palette((38, 49, 98), (247, 170, 124), (255, 226, 178), (176, 112, 128), (29, 24, 52)),
    Palette((18, 52, 86), (148, 210, 200), (244, 250, 226), (92, 156, 160), (9, 34, 50)),
    Palette((86, 38, 92), (255, 150, 138), (255, 222, 160), (190, 84, 120), (42, 16, 52)),
    Palette((22, 30, 62), (112, 128, 190), (236, 238, 255), (84, 96, 152), (12, 16, 38)),
    Palette((120, 168, 190), (250, 232, 206), (255, 250, 232), (164, 186, 170), (34, 62, 58)),
    Palette((44, 78, 74), (232, 206, 142), (255, 240, 190), (134, 150, 104), (20, 40, 36)),
    Palette((142, 62, 56), (252, 196, 120), (255, 238, 196), (200, 110, 76), (58, 22, 28)),
    Palette((64, 60, 120), (222, 178, 220), (255, 234, 236), (150, 124, 184), (30, 24, 62)),
)


@frozen
class Picture:
    """What to draw; the texts are its seed, `size` is (width, height) in pixels."""

    prompt: str
    model: str
    task_id: str
    index: int
    outputs: int
    size: tuple[int, int]
    format: Format = "png"
    seed: int = 0

    @property
    def origin(self) -> str:
        """The seed that the outputs of one task share; other tasks have another."""
        _, _, lot = self.task_id.rpartition("-")
        return f"{self.seed} {self.prompt} {self.model} {lot}"


def size_of(ratio: str, resolution: str, scale: float = 1.0) -> tuple[int, int]:
    """Give (width, height) of exactly this ratio, its area as near to 1024 x 1024 as that allows.

    "1K" and "1:1" give 1024 x 1024, "3:4" 888 x 1184, "16:9" 1360 x 765; "4K" is four times as wide
    and high. What is not a ratio counts as "1:1". `scale` makes all of it smaller.
    """
    width, _, height = ratio.partition(":")
    across, down = (int(width), int(height)) if width.isdigit() and height.isdigit() else (1, 1)
    if not (0 < across < 100 and 0 < down < 100):  # noqa: PLR2004
        across, down = 1, 1
    unit = max(1, round(AREA_SIDE / math.sqrt(across * down)))
    factor = scale * (4 if resolution.upper() == "4K" else 1)
    return max(1, round(across * unit * factor)), max(1, round(down * unit * factor))


def draw(picture: Picture) -> bytes:
    """Draw a picture and encode it; the same arguments give the same bytes."""
    rng = random.Random(f"{picture.origin} {picture.index}")  # noqa: S311
    width, height = picture.size
    shrink = min(1.0, _SKETCH_SIDE / max(width, height))
    sketch = _landscape(
        palette_of(picture), (max(1, int(width * shrink)), max(1, int(height * shrink))), rng
    )
    image = resized(sketch, picture.size)
    caption(
        image,
        picture.prompt or picture.model,
        f"{picture.model}  ·  image {picture.index + 1} of {picture.outputs}  ·  {width} x {height}",
        picture.task_id,
    )
    return _encode(image, picture.format)


def _encode(image: Image.Image, form: Format) -> bytes:
    buffer = io.BytesIO()
    if form == "png":
        image.save(buffer, "PNG", compress_level=3)
    elif form == "jpeg":
        image.save(buffer, "JPEG", quality=90)
    else:
        image.save(buffer, "WEBP", quality=85, method=2)
    return buffer.getvalue()


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def palette_of(picture: Picture) -> Palette:
    """Return the colours of a picture."""
    # The outputs of one task are listed side by side, so neighbours get different colours.
    first = random.Random(picture.origin).randrange(99)  # noqa: S311
    return PALETTES[(first + 3 * picture.index) % len(PALETTES)]


def _landscape(palette: Palette, size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = _sky(size, palette, rng)
    if sum(palette.zenith) < _NIGHT:
        _stars(image, palette, rng)
    _sun(image, palette, rng)
    ridges = rng.randint(4, 6)
    for number in range(ridges):
        _ridge(image, palette, number / (ridges - 1), rng)
    return image


def _sky(size: tuple[int, int], palette: Palette, rng: random.Random) -> Image.Image:
    from PIL import Image  # noqa: PLC0415

    # A few enlarged patches of colour are cheaper than a gradient per pixel, and less even.
    columns, rows = 4, 6
    mesh = Image.new("RGB", (columns, rows))
    for row in range(rows):
        for column in range(columns):
            share = min(1.0, max(0.0, row / (rows - 2) + rng.uniform(-0.13, 0.13)))
            mesh.putpixel((column, row), _mix(palette.zenith, palette.horizon, share))
    return resized(mesh, size)


def _stars(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    from PIL import ImageDraw  # noqa: PLC0415

    width, height = image.size
    pen = ImageDraw.Draw(image, "RGBA")
    for _ in range(90):
        x, y = width * rng.random(), height * 0.45 * rng.random() ** 1.5
        radius = min(width, height) / 1000 * rng.uniform(0.6, 1.5)
        light = (*palette.sun, rng.randint(60, 200))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=light)


def _sun(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    from PIL import Image, ImageDraw  # noqa: PLC0415

    width, height = image.size
    radius = min(width, height) * rng.uniform(0.07, 0.13)
    centre = (width * rng.uniform(0.22, 0.78), height * rng.uniform(0.2, 0.42))
    # Pillow's radial gradient is 178 where its circle touches the edge of the square.
    fade = [round(200 * max(0.0, 1 - value / 178) ** 2) for value in range(256)]
    glow = mapped(Image.radial_gradient("L"), fade)
    reach = max(1, round(radius * 4.5))
    halo = resized(glow, (2 * reach, 2 * reach))
    corner = (round(centre[0]) - reach, round(centre[1]) - reach)
    image.paste(Image.new("RGB", halo.size, palette.sun), corner, halo)
    side = max(4, round(radius * 2))
    disc = Image.new("L", (side * 4, side * 4))
    ImageDraw.Draw(disc).ellipse((0, 0, side * 4 - 1, side * 4 - 1), fill=255)
    disc = disc.reduce(4)
    corner = (round(centre[0] - side / 2), round(centre[1] - side / 2))
    image.paste(Image.new("RGB", disc.size, palette.sun), corner, disc)


def _ridge(image: Image.Image, palette: Palette, nearness: float, rng: random.Random) -> None:
    from PIL import Image, ImageDraw  # noqa: PLC0415

    width, height = image.size
    base = height * (0.5 + 0.36 * nearness)
    swell = height * (0.05 + 0.05 * rng.random())
    waves = [
        (swell / (k + 1) ** 1.15, rng.uniform(0.35, 0.8) * (k + 1), rng.uniform(0, math.tau))
        for k in range(6)
    ]
    step = max(1, width // 256)
    outline = [
        (x, base + sum(a * math.sin(math.tau * f * x / width + p) for a, f, p in waves))
        for x in range(0, width + step, step)
    ]
    # Drawn at twice the size, so that edges are smooth when scaled down.
    mask = Image.new("L", (width * 2, height * 2))
    corners = [(width * 2, height * 2), (0, height * 2)]
    ImageDraw.Draw(mask).polygon([*((x * 2, y * 2) for x, y in outline), *corners], fill=255)
    mask = mask.reduce(2)
    top = _mix(palette.far, palette.near, nearness**0.8)
    mist = _mix(top, palette.horizon, 0.34 * (1 - nearness))
    fill = Image.new("RGB", (1, 3))
    for row, colour in enumerate((top, top, mist)):
        fill.putpixel((0, row), colour)
    highest = max(0, round(min(y for _, y in outline)))
    body = resized(fill, (width, max(1, height - highest)))
    image.paste(body, (0, highest), mask.crop((0, highest, width, highest + body.height)))
