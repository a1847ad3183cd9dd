"""What a session has done so far, counted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from foxapi_async.models import JsonValue


@attrs.frozen(kw_only=True)
class Statistics(JsonValue):
    """A snapshot of what a session has done.

    ``submitted`` to ``images_billed`` count what this session submitted; ``in_flight``,
    ``completed``, ``failed`` and ``unfinished`` also count attached tasks.
    """

    submitted: int
    """Tasks that the server created for this session."""
    in_flight: int
    """Tasks that this session tracks and that have not ended."""
    completed: int
    failed: int
    """Tasks that ended as failed or cancelled."""
    unfinished: int
    """Tasks whose wait ended before they did."""
    rejected: int
    """Submissions that the server refused; nothing was billed."""
    not_submitted: int
    """Submissions of which nothing was sent."""
    unknown: int
    """Submissions that may have been billed and whose task id is not known."""
    images_in_flight: int
    """Images that take up ``Limits.outputs``."""
    images_billed: int
    """Images of the tasks in ``submitted``."""
    images_unknown: int
    """Images of the submissions in ``unknown``."""
    polls: int
    polls_failed: int
    rate_limited: int
    """Answers with 429."""
    repeated_submissions: int
    """POSTs that were sent again because they had certainly created nothing."""
    downloads: int
    """Files that were fetched whole."""
    bytes_downloaded: int
    requests_per_second: float | None
    """The rate that the server was found to accept, of submissions or of all other requests, whichever is
    lower; None while no limit was met."""
    paused_since: datetime | None = None
    """Since when (UTC) submissions are paused, because they got no clear answers; None if they are not."""


@attrs.define(eq=False, weakref_slot=False)
class Counters:
    """The counters behind `Statistics`."""

    submitted: int = 0
    completed: int = 0
    failed: int = 0
    unfinished: int = 0
    rejected: int = 0
    not_submitted: int = 0
    unknown: int = 0
    images_billed: int = 0
    images_unknown: int = 0
    polls: int = 0
    polls_failed: int = 0
    rate_limited: int = 0
    repeated_submissions: int = 0
    progress: int = 0
    """Grows with each accepted submission and each task that ends: the server makes progress."""

    def snapshot(self, **counted_elsewhere: Any) -> Statistics:
        """Return the counters as they are now, with those fields that other objects count."""
        counted = attrs.asdict(self)
        del counted["progress"]
        return Statistics(**counted, **counted_elsewhere)
