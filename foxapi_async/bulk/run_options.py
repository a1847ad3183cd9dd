"""The options of a run of a job."""

from __future__ import annotations

import attrs


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
