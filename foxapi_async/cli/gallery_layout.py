"""Where pictures go on a sheet: rows of equal height, each as wide as the sheet. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

__all__ = ["Place", "lay_out"]


@attrs.frozen
class Place:
    """Where one picture goes, in pixels."""

    left: int
    top: int
    width: int
    height: int


def lay_out(
    ratios: Sequence[float], *, width: int, gap: int, row_height: int, below: int
) -> list[Place]:
    """Return a place for each picture, in order, so that every row fills the width.

    Pictures are cut into rows where that brings the rows' heights nearest to ``row_height``. All
    lengths are in pixels.

    Args:
        ratios: Width to height of each picture.
        width: Of the sheet.
        gap: Between two pictures.
        row_height: What a row's height should be near to.
        below: Room under each row, for words.
    """
    places: list[Place] = []
    top = 0
    start = 0
    for end in _cuts(ratios, width, gap, row_height):
        row = ratios[start:end]
        height = _height(row, width, gap)
        left = 0.0
        for ratio in row:
            right = left + ratio * height
            places.append(Place(round(left), top, round(right) - round(left), round(height)))
            left = right + gap
        top += round(height) + below
        start = end
    return places


def _height(row: Sequence[float], width: int, gap: int) -> float:
    return (width - gap * (len(row) - 1)) / sum(row)


def _cuts(ratios: Sequence[float], width: int, gap: int, row_height: int) -> list[int]:
    """Return the ends of the rows that cost least, the cost being how far heights are off."""
    best: list[tuple[float, list[int]]] = [(0.0, [])]
    for end in range(1, len(ratios) + 1):
        choices: list[tuple[float, list[int]]] = []
        for start in range(end):
            height = _height(ratios[start:end], width, gap)
            if height <= 0:
                continue
            cost, cuts = best[start]
            choices.append((cost + math.log(height / row_height) ** 2, [*cuts, end]))
        best.append(min(choices))
    return best[-1][1]
