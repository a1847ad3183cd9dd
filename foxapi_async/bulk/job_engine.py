"""What a run needs of an engine that carries out its requests elsewhere, in place of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs
from anyio.streams.memory import MemoryObjectSendStream

from foxapi_async.statistics import Statistics

if TYPE_CHECKING:
    from foxapi_async.bulk.job_input import JobInput
    from foxapi_async.bulk.results.results_file import Result
    from foxapi_async.bulk.results.run_notes import RunNotes
    from foxapi_async.bulk.stopping import Stopping
    from foxapi_async.journal.protocol import SessionJournal


@attrs.frozen(eq=False)
class EngineWork:
    """The requests of a run for an engine, and where the results go."""

    input: JobInput
    reports: MemoryObjectSendStream[Result]
    stopping: Stopping
    journal: SessionJournal
    notes: RunNotes


class JobEngine(Protocol):
    """Carries out the requests of a run, and saves their files in its directory."""

    async def run(self, work: EngineWork) -> None:
        """Carry out the input; return when every result is reported."""

    def statistics(self, own: Statistics) -> Statistics:
        """Return what the engine has done so far; ``own`` is what the session of the run has done."""
        ...
