"""Spans of time as people write them: "90", "90s", "30m", "6h", "1h30m". Pure."""

from __future__ import annotations

import re
from typing import Final

import typer

_PART: Final = r"(?:(\d+(?:\.\d+)?) *{} *)?"
_SPAN: Final = re.compile(
    "".join(_PART.format(unit) for unit in ("d", "h", "m(?:in)?", "s")), re.IGNORECASE
)
_SECONDS: Final = (86_400, 3_600, 60, 1)


def seconds_of(text: object) -> float:
    """Return a span of time in seconds; raise `typer.BadParameter`, which says what would be right."""
    written = str(text).strip()
    try:
        seconds = float(written)
    except ValueError:
        match = _SPAN.fullmatch(written)
        parts: tuple[str | None, ...] = () if match is None else match.groups()
        if not any(parts):
            raise _refused(written) from None
        seconds = sum(
            float(part) * unit for part, unit in zip(parts, _SECONDS, strict=True) if part
        )
    if not seconds >= 0:
        raise _refused(written)
    return seconds


def positive_seconds_of(text: object) -> float:
    """Return a span of time in seconds that is not 0."""
    seconds = seconds_of(text)
    if not seconds:
        raise _refused(str(text))
    return seconds


def _refused(text: str) -> typer.BadParameter:
    return typer.BadParameter(
        f"{text!r} is not a span of time; write seconds (90), or 90s, 30m, 6h, 1h30m, 2d"
    )
