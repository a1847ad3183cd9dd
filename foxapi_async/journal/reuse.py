"""Whether a key that is used again stands for the same request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["difference"]

_LONGEST: Final = 80
"""Characters of a value in a message; a longer one is named, not shown."""


def difference(
    path: str, payload: Mapping[str, Any], new_path: str, new_payload: Mapping[str, Any]
) -> str:
    """Return how a request differs from what its key stands for, field by field; "" if it does not.

    Requests are the same if they are the same POST: the same path and the same JSON object, in which
    the order of fields does not count, but 1, 1.0 and true are different values.
    """
    before = {"path": path, **payload}
    now = {"path": new_path, **new_payload}
    if _exactly(before) == _exactly(now):
        return ""
    return ", ".join(
        f"{name} {_shown(before, name)} → {_shown(now, name)}"
        for name in dict.fromkeys([*before, *now])
        if _exactly(before.get(name, ...)) != _exactly(now.get(name, ...))
    )


def _exactly(value: object) -> str:
    return "" if value is ... else json.dumps(value, sort_keys=True)


def _shown(fields: Mapping[str, Any], name: str) -> str:
    if name not in fields:
        return "nothing"
    text = _exactly(fields[name])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
