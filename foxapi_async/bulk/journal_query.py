"""Queries of the journal in a running job, which outlive an outage of its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import anyio

from foxapi_async import ConfigurationError
from foxapi_async.files.pace import run_with_descriptors
from foxapi_async.journal.protocol import SessionJournal
from foxapi_async.journal.writer import PATIENCE

T = TypeVar("T")

_PAUSE: Final = 1.0  # Seconds between attempts; each takes a few seconds itself


async def ask(journal: SessionJournal, query: Callable[[], T], *, waits: bool = True) -> T:
    """Run a blocking query in a thread; while the journal's server is away, try again, as its writes do.

    Without ``waits`` there is one attempt, of a few seconds.

    Raises:
        ConfigurationError: The journal cannot be used, or its server was away for 900 s.
    """
    deadline: float | None = None
    while True:
        try:
            return await run_with_descriptors(query)
        except ConfigurationError as error:
            now = anyio.current_time()
            deadline = now + PATIENCE if deadline is None else deadline
            if not waits or now >= deadline or not journal.is_away(error):
                raise
        await anyio.sleep(_PAUSE)
