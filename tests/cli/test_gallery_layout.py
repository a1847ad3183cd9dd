"""Where pictures go on a sheet."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foxapi_async.cli.contact_sheet import Exhibit, draw_sheet
from foxapi_async.cli.gallery_layout import lay_out


@given(st.lists(st.floats(0.4, 2.5), min_size=1, max_size=12))
def test_every_picture_keeps_its_shape_and_every_row_fills_the_width(ratios):
    places = lay_out(ratios, width=1200, gap=20, row_height=300, below=50)
    assert len(places) == len(ratios)
    for place, ratio in zip(places, ratios, strict=True):
        assert place.width / place.height == pytest.approx(ratio, rel=0.03)
        assert place.left >= 0
        assert place.left + place.width <= 1201
    rows = {place.top: place for place in places}
    assert all(place.left + place.width == pytest.approx(1200, abs=1) for place in rows.values())
    tops = sorted(rows)
    for above, below in itertools.pairwise(tops):
        assert below == above + rows[above].height + 50


def test_a_row_never_holds_more_than_its_gaps_leave_room_for():
    places = lay_out([1.0] * 4, width=100, gap=60, row_height=5, below=0)
    assert all(place.width > 0 for place in places)


def test_eight_pictures_make_two_rows():
    ratios = [0.75, 16 / 9, 1, 4 / 3, *[2 / 3] * 4]
    places = lay_out(ratios, width=1488, gap=24, row_height=400, below=84)
    assert len({place.top for place in places}) == 2


def test_a_sheet_holds_all_pictures_and_takes_the_place_of_the_last_one(tmp_path):
    exhibits = []
    for number, colour in enumerate(["red", "lime", "blue"]):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (60, 40), colour).save(path)
        exhibits.append(Exhibit(path, "A title that is far too long for its picture" * 4, "3:2"))
    target = tmp_path / "sheet.png"
    target.write_text("the last one")
    draw_sheet(exhibits, target, title="Three", subtitle="pictures")
    with Image.open(target) as sheet:
        sheet.load()
        found = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 24) or ()}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= found
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0.png", "1.png", "2.png", "sheet.png",
    ]  # fmt: skip
