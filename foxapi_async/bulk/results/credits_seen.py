"""What earlier tasks of a folder have cost, in credits. Blocking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from foxapi_async._typeguards import is_object

_READ: Final = 1024 * 1024
"""Bytes at the end of the file that are read: the latest results, in bounded time."""


def credits_seen(results: Path) -> dict[str, tuple[float, float]]:
    """Return the least and the most credits of one image by model, as the latest results of a file say.

    A file that cannot be read has seen none: this only informs.
    """
    try:
        with results.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _READ))
            lines = file.read(_READ).splitlines()
    except OSError:
        return {}
    seen: dict[str, tuple[float, float]] = {}
    for line in lines:
        if b'"credits"' in line and (found := _of_image(line)) is not None:
            model, cost = found
            least, most = seen.get(model, (cost, cost))
            seen[model] = (min(least, cost), max(most, cost))
    return seen


def _of_image(line: bytes) -> tuple[str, float] | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):  # the first line, which may be cut, for example
        return None
    if not is_object(fields):
        return None
    model, cost, images = (fields.get(name) for name in ("model", "credits", "num_outputs"))
    numbers = all(isinstance(each, int | float) and each >= 0 for each in (cost, images))
    return (model, cost / images) if isinstance(model, str) and numbers and images else None
