"""The options of a run of a job."""

from __future__ import annotations

from typing import Final, Literal

import attrs

GRACE: Final = 120.0
"""Seconds that tasks in flight get to complete when a run is stopped."""

SidecarFormat = Literal["json", "txt"]


@attrs.frozen(kw_only=True)
class RunOptions:
    """The options of `run_job`, which documents them."""

    retry_failed: bool = False
    retry_unknown: bool = False
    sheet: bool = True
    timeout: float | None = None
    name: str | None = None
    max_credits: float | None = None
    table: bool = True
    max_time: float | None = None
    grace: float = GRACE
    sidecar: SidecarFormat | None = None
    embed: bool = False
