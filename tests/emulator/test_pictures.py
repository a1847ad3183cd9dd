"""The pictures: their size, their format, and that no two are alike."""

from __future__ import annotations

import io

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFont

from foxapi_async.emulator import size_of
from foxapi_async.emulator.captions import wrap
from foxapi_async.emulator.gallery import Gallery
from foxapi_async.emulator.pictures import Picture, draw, palette_of
from tests.emulator.client import emulated

FOX = Picture("a fox", "phota-image", "task-1", 0, 2, (96, 64))


@pytest.mark.parametrize(
    ("ratio", "resolution", "size"),
    [
        ("1:1", "1K", (1024, 1024)),
        ("3:4", "1K", (888, 1184)),
        ("16:9", "1K", (1360, 765)),
        ("9:16", "1K", (765, 1360)),
        ("2:3", "4K", (3344, 5016)),
        ("1:1", "4k", (4096, 4096)),
        ("auto", "1024x1024", (1024, 1024)),
        ("0:1", "1K", (1024, 1024)),
        ("1:1000", "1K", (1024, 1024)),
    ],
)
def test_sizes_are_of_the_ratio_and_the_resolution(ratio, resolution, size):
    assert size_of(ratio, resolution) == size


@given(st.integers(1, 20), st.integers(1, 20))
def test_every_ratio_is_met_exactly_and_the_area_nearly(across, down):
    width, height = size_of(f"{across}:{down}", "1K")
    assert width * down == height * across
    assert 0.8 < width * height / 1024**2 < 1.2


def test_the_same_picture_is_drawn_twice_alike_and_another_one_otherwise():
    assert draw(FOX) == draw(FOX)
    others = [
        attrs.evolve(FOX, prompt="a cat"),
        attrs.evolve(FOX, index=1),
        attrs.evolve(FOX, seed=1),
        attrs.evolve(FOX, model="gpt-image-2"),
    ]
    assert len({draw(each) for each in [FOX, *others]}) == 5


def test_the_pictures_of_one_task_have_colours_of_their_own():
    palettes = [palette_of(attrs.evolve(FOX, index=index)) for index in range(8)]
    assert len(set(palettes)) == 8


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_a_picture_is_what_it_says(form):
    image = Image.open(io.BytesIO(draw(attrs.evolve(FOX, format=form))))
    assert (image.format, image.size) == (form.upper(), (96, 64))


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3)])
def test_any_size_can_be_drawn(size):
    assert Image.open(io.BytesIO(draw(attrs.evolve(FOX, size=size)))).size == size


def test_the_caption_tells_tasks_apart():
    large = attrs.evolve(FOX, size=(512, 512))
    assert draw(large) != draw(attrs.evolve(large, task_id="task-2"))


@given(st.text(max_size=600), st.integers(60, 2000))
def test_a_caption_never_leaves_the_picture(text, width):
    font = ImageFont.load_default(20)
    lines = wrap(text, font, width)
    assert 1 <= len(lines) <= 3
    assert all(font.getlength(line) <= width for line in lines)


def test_a_long_caption_ends_in_an_ellipsis_and_a_short_one_does_not():
    font = ImageFont.load_default(20)
    assert wrap("a fox", font, 500) == ["a fox"]
    assert wrap("a fox " * 60, font, 200)[-1].endswith("…")
    assert wrap("f" * 300, font, 200)[0].endswith("…")


async def test_a_picture_is_drawn_once_while_it_is_kept(monkeypatch):
    gallery = Gallery()
    first = await gallery.picture(FOX)
    monkeypatch.setattr("foxapi_async.emulator.gallery.draw", None)
    assert await gallery.picture(FOX) is first


async def test_old_pictures_make_room_for_new_ones(monkeypatch):
    monkeypatch.setattr("foxapi_async.emulator.gallery._KEPT_BYTES", 1)
    gallery = Gallery()
    pictures = [attrs.evolve(FOX, index=index) for index in range(3)]
    for picture in pictures:
        assert await gallery.picture(picture) == draw(picture)
    assert list(gallery._kept) == [pictures[-1]]


@pytest.mark.parametrize(
    ("options", "fields", "form", "size"),
    [
        ({}, {"aspect_ratio": "16:9"}, "PNG", (85, 48)),
        ({"picture_format": "jpeg"}, {"resolution": "4K"}, "JPEG", (256, 256)),
        ({"picture_format": "webp"}, {}, "WEBP", (64, 64)),
        ({}, {"model": "gpt-image-2", "output_format": "webp"}, "WEBP", (64, 64)),
        ({}, {"model": "gpt-image-2", "output_format": "bmp"}, "PNG", (64, 64)),
    ],
)
async def test_results_are_pictures_of_what_was_asked_for(options, fields, form, size):
    async with emulated(duration=0, **options) as (_, client):
        done = await client.finished(**fields)
        _, headers, content = await client.ask("GET", done["results"][0]["url"])
        image = Image.open(io.BytesIO(content))
        assert (image.format, image.size) == (form, size)
        assert headers["Content-Type"] == f"image/{form.lower()}"
