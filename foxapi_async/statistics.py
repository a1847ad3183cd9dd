"""What a session has done so far, counted."""

from __future__ import annotations

import attrs

__all__ = ["Counters", "Statistics"]


@attrs.frozen(kw_only=True)
class Statistics:
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


class Counters:
    """The counters behind `Statistics`."""

    __slots__ = (
        *("submitted", "completed", "failed", "unfinished", "rejected", "not_submitted", "unknown"),
        *("images_billed", "images_unknown", "polls", "polls_failed", "rate_limited"),
        *("repeated_submissions", "progress"),
    )

    def __init__(self) -> None:
        self.submitted = 0
        self.completed = 0
        self.failed = 0
        self.unfinished = 0
        self.rejected = 0
        self.not_submitted = 0
        self.unknown = 0
        self.images_billed = 0
        self.images_unknown = 0
        self.polls = 0
        self.polls_failed = 0
        self.rate_limited = 0
        self.repeated_submissions = 0
        self.progress = 0
        """Grows with each accepted submission and each task that ends: the server makes progress."""

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
        counted = {name: getattr(self, name) for name in self.__slots__ if name != "progress"}
        return Statistics(
            **counted,
            in_flight=in_flight,
            images_in_flight=images_in_flight,
            requests_per_second=requests_per_second,
            downloads=downloads,
            bytes_downloaded=bytes_downloaded,
        )
