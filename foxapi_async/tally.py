"""What a session has done so far, counted."""

from __future__ import annotations

import attrs

from foxapi_async.value import Value

__all__ = ["Statistics", "Tally"]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Statistics(Value):
    """A snapshot of what a session has done.

    ``submitted`` to ``images_billed`` count what this session submitted; ``in_flight``,
    ``completed``, ``failed`` and ``unfinished`` also count attached tasks.
    """

    submitted: int
    """Tasks that the server created for this session."""
    in_flight: int
    """Tasks that are watched and have not ended."""
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
    """Images that hold a place of ``Limits.outputs``."""
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
    """The rate that the server was found to bear; None while no limit was met."""


@attrs.define(eq=False, repr=False)
class Tally:
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
    headway: int = attrs.field(default=0, metadata={"internal": True})
    """Grows whenever a submission is accepted or a task ends: the server lets something through."""

    def snapshot(
        self,
        *,
        in_flight: int,
        images_in_flight: int,
        requests_per_second: float | None,
        downloads: int,
        bytes_downloaded: int,
    ) -> Statistics:
        """Return the counters as they are now, with what others count."""
        counted = attrs.asdict(self, filter=lambda field, _: not field.metadata.get("internal"))
        return Statistics(
            **counted,
            in_flight=in_flight,
            images_in_flight=images_in_flight,
            requests_per_second=requests_per_second,
            downloads=downloads,
            bytes_downloaded=bytes_downloaded,
        )
