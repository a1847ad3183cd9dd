"""What the text of a cell means for the field that it is for. Pure."""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from foxapi_async.bulk.input.rows.row import Cell
from foxapi_async.requests import Request

_MISSING: Final = frozenset({"nan", "none", "null", "<na>", "#n/a"})
"""What pandas, R, databases and spreadsheets write for nothing, in small letters."""

_TEXTS: Final = frozenset({"key", "model", "kind", "path", "prompt"})
_LOOKS_LIKE_JSON: Final = ("{", "[", '"')


def is_missing(value: object) -> bool:
    """Return whether a value is a cell that stands for nothing."""
    return isinstance(value, Cell) and value.strip().casefold() in _MISSING


def typed_value(value: Any, cls: type[Request], field: str) -> Any:
    """Return a value for a field of a class: a cell as the type of the field, a whole float as an int.

    What does not fit is returned as it is, for the validator of the field to refuse.
    """
    kinds = _types(cls)[field]
    if isinstance(value, Cell):
        value = _typed_cell(str(value), kinds)
    if isinstance(value, float) and int in kinds and float not in kinds and value.is_integer():
        return int(value)
    return value


def is_list(cls: type[Request], field: str) -> bool:
    """Return whether a field of a class is a list."""
    return tuple in _types(cls)[field]


def json_or_text(name: str, cell: Cell) -> Any:
    """Return the value of a cell for any model: JSON if it is, else the text; None for NaN.

    Raises:
        ValueError: It looks like JSON and is not.
    """
    text = str(cell)
    if name in _TEXTS:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        if text.lstrip().startswith(_LOOKS_LIKE_JSON):
            raise
        return text
    if isinstance(value, float) and math.isnan(value):
        return None
    if name == "num_outputs" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _typed_cell(text: str, kinds: frozenset[Any]) -> Any:
    try:
        if tuple in kinds:
            return json.loads(text) if text.lstrip().startswith("[") else text.split()
        if (int in kinds or float in kinds) and "_" not in text:  # Python reads 1_0 as 10
            # Where spreadsheets separate columns by semicolons, they write 0,5 for a half.
            is_decimal = float in kinds and "." not in text
            number = float(text.replace(",", ".", 1) if is_decimal else text)
            return (
                number if float in kinds or not number.is_integer() else int(text.partition(".")[0])
            )
    except ValueError:
        pass
    return text


@cache
def _types(cls: type[Request]) -> Mapping[str, frozenset[Any]]:
    return {name: frozenset(_types_of(hint)) for name, hint in typing.get_type_hints(cls).items()}


def _types_of(hint: Any) -> list[Any]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return [kind for part in typing.get_args(hint) for kind in _types_of(part)]
    return [typing.get_origin(hint) or hint]
