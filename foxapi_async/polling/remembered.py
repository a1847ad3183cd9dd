"""What was learned, as JSON: the ends that were seen, so that a later release may draw other conclusions from them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import cast

from foxapi_async.polling.history import MEMORY, History

VERSION = 1
SUREST = 50.0  # bound of the evidence, in nats

End = tuple[float | None, float, float]
"""An estimate (or None), the last age seen running and the first age seen ended, in seconds."""


def exported(groups: Iterable[tuple[Hashable, History]]) -> dict[str, object]:
    """Return a mapping that `json.dumps` takes; a group whose name JSON cannot hold is left out."""
    rows = [
        {
            "group": name,
            "evidence": round(history.evidence, 3),
            "ended": [list(end) for end in history.recalled()],
        }
        for name, history in groups
        if history.ended and _is_plain(name)
    ]
    return {"version": VERSION, "groups": rows}


def imported(data: object) -> Iterator[tuple[Hashable, float, list[End]]]:
    """Yield group, evidence and ends from what was exported; what cannot be read is left out."""
    fields = _fields(data)
    if fields.get("version") != VERSION:
        return
    for item in _items(fields.get("groups")):
        row = _fields(item)
        name = _frozen(row.get("group"))
        if not _is_plain(name):
            continue
        ends = [end for cells in _items(row.get("ended"))[-MEMORY:] if (end := _end(cells))]
        evidence = _number(row.get("evidence")) or 0.0
        yield name, max(min(evidence, SUREST), -SUREST), ends


def _end(item: object) -> End | None:
    cells = _items(item)
    if len(cells) != 3:  # noqa: PLR2004
        return None
    estimate, low, high = (_number(cell) for cell in cells)
    if low is None or high is None or not 0.0 <= low <= high:
        return None
    return estimate, low, high


def _number(cell: object) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    try:
        number = float(cell)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _items(value: object) -> list[object]:
    return list(cast("list[object]", value)) if isinstance(value, list | tuple) else []


def _fields(value: object) -> Mapping[object, object]:
    return cast("Mapping[object, object]", value) if isinstance(value, Mapping) else {}


def _is_plain(name: object) -> bool:
    if isinstance(name, tuple):
        return all(_is_plain(part) for part in _items(cast("object", name)))
    return name is None or isinstance(name, str | int | float)


def _frozen(name: object) -> Hashable:
    if isinstance(name, list | tuple):
        return tuple(_frozen(part) for part in _items(cast("object", name)))
    return name if isinstance(name, Hashable) else object()
