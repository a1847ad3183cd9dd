"""How far a run is, as it shows itself and as other processes read it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

import attrs

from foxapi_async import FoxAPIError
from foxapi_async.bulk.summary import Summary

Stage = Literal["running", "stopping", "table", "sheet"]
"""Submitting and saving; only bringing home what is in flight; writing the table; writing the contact
sheet."""

_STAGES: Final = frozenset(get_args(Stage))
_NUMBERS: Final = frozenset({"int", "float", "float | None"})
"""The annotations of the fields of `Summary` that are kept as they are."""


@attrs.frozen(kw_only=True)
class RunProgress:
    """How far a run is at a moment (UTC).

    ``seconds`` are from its beginning. ``images_per_minute`` and ``requests_per_minute`` are the rates
    of the last two minutes, None before they are known. ``paused_since`` is since when submissions are
    paused because the service gave no clear answers, else None.
    """

    at: datetime
    seconds: float
    stage: Stage
    summary: Summary
    images_per_minute: float | None = None
    requests_per_minute: float | None = None
    paused_since: datetime | None = None
    saving: int = 0
    """Completed tasks whose files are being fetched."""

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all requests are decided at the present rate; None if that is unknown."""
        left = self.summary.not_submitted
        if not left or not self.requests_per_minute or self.stage != "running":
            return None
        return 60 * left / self.requests_per_minute

    def to_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "stage": self.stage,
            "saving": self.saving,
            "images_per_minute": self.images_per_minute,
            "requests_per_minute": self.requests_per_minute,
            "paused_since": None
            if self.paused_since is None
            else self.paused_since.isoformat(timespec="seconds"),
            **summary_to_json(self.summary),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], results: Path) -> RunProgress:
        """Read what `to_json` has returned; raise ValueError if it is something else."""
        stage: Any = fields.get("stage")
        paused = fields.get("paused_since")
        return cls(
            at=aware(fields.get("at")),
            seconds=number(fields.get("seconds")) or 0.0,
            stage=stage if stage in _STAGES else "running",
            summary=summary_from_json(fields, results),
            saving=int(number(fields.get("saving")) or 0),
            images_per_minute=number(fields.get("images_per_minute")),
            requests_per_minute=number(fields.get("requests_per_minute")),
            paused_since=None if paused is None else aware(paused),
        )


class RateMeter:
    """Measures how fast a number has grown during the last ``window`` seconds."""

    def __init__(self, window: float = 120.0) -> None:
        self._window = window
        self._samples: deque[tuple[float, int]] = deque()

    def record(self, now: float, number: int) -> None:
        """Record the number at a time in seconds."""
        self._samples.append((now, number))
        while len(self._samples) > 2 and now - self._samples[1][0] >= self._window:  # noqa: PLR2004
            self._samples.popleft()

    def per_minute(self) -> float | None:
        """Return the growth per minute; None before it is known."""
        if not self._samples:
            return None
        (began, before), (now, after) = self._samples[0], self._samples[-1]
        return None if now <= began else 60 * (after - before) / (now - began)


def summary_to_json(summary: Summary) -> dict[str, Any]:
    """Return the counts of a summary, and why submitting stopped, as JSON types."""
    counts = {name: getattr(summary, name) for name in _COUNTS}
    stopped = None if summary.stopped is None else str(summary.stopped)
    flags = {name: getattr(summary, name) for name in _FLAGS}
    return {**counts, "stopped": stopped, **flags}


def summary_from_json(fields: Mapping[str, Any], results: Path) -> Summary:
    """Read what `summary_to_json` has returned; what is missing counts as 0."""
    counts = {name: number(fields.get(name)) or 0 for name in _COUNTS}
    stopped = fields.get("stopped")
    values: dict[str, Any] = {
        **counts,
        "stopped": FoxAPIError(stopped) if isinstance(stopped, str) else None,
        **{name: fields.get(name) is True for name in _FLAGS},
        "results": results,
    }
    return Summary(**values)


def number(value: object) -> int | float | None:
    """Return a finite number of JSON; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def aware(value: object) -> datetime:
    """Read a moment with its offset; raise ValueError if it is none."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no moment")  # noqa: TRY004 - the caller catches one class
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no offset")
    return moment


_COUNTS: Final = tuple(field.name for field in attrs.fields(Summary) if str(field.type) in _NUMBERS)
_FLAGS: Final = tuple(field.name for field in attrs.fields(Summary) if str(field.type) == "bool")
