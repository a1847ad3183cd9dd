"""A Temporal worker that generates in a session, and drains when it ends."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from foxapi_async import Session, SessionClosedError
from foxapi_async._concurrency import finish_despite_cancellation
from foxapi_async.temporal.activities import SHORTEST_NOTICE, Activities
from foxapi_async.temporal.messages import TASK_QUEUE
from foxapi_async.temporal.workflows import GenerateImages

_log = logging.getLogger("foxapi_async")

_MOST_SUBMITTING: Final = 64
"""Activities that submit at once: as many as POSTs of a session. Those whose tasks are in flight hold no
slot of the worker, and one that only waits for a slot of the session is better with another worker."""

_STICKY: Final = timedelta(seconds=3)
"""How long the workflows of a dead worker wait for it; Temporal's default is 10 s. Their histories are
short, so that it costs little to read one again elsewhere."""


class SessionWorker:
    """Takes generations from a task queue of Temporal and carries them out in a session.

    Workflows of yours, and activities they need, may be served beside.

    Args:
        client: The connection to Temporal.
        session: An open session; its journal is shared by all workers, and its limits apply.
        task_queue: The queue to take from.
        directory: Where files go whose generation names no directory; see `Activities`.
        workflows: Further workflows.
        activities: Further activities.

    Raises:
        ConfigurationError: The session has no journal.
    """

    def __init__(
        self,
        client: Client,
        session: Session,
        *,
        task_queue: str = TASK_QUEUE,
        directory: str | os.PathLike[str] | None = None,
        workflows: Sequence[type] = (),
        activities: Sequence[Callable[..., Any]] = (),
    ) -> None:
        self._activities = Activities(client, session, directory=directory)
        self._worker = Worker(
            client,
            task_queue=task_queue,
            workflows=[GenerateImages, *workflows],
            activities=[*self._activities.all, *activities],
            # Else the sandbox would load this package again for each workflow.
            workflow_runner=SandboxedWorkflowRunner(
                restrictions=SandboxRestrictions.default.with_passthrough_modules("foxapi_async")
            ),
            # Core passes heartbeats on, and cancellations back, no more often than this.
            max_heartbeat_throttle_interval=timedelta(seconds=SHORTEST_NOTICE),
            sticky_queue_schedule_to_start_timeout=_STICKY,
            max_concurrent_activities=min(session.limits.outputs, _MOST_SUBMITTING),
        )
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Drain: take nothing more, finish the POSTs under way, give the rest to other workers."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop` is called or this is cancelled, then drain. While Temporal is away, it waits.

        Raises:
            SessionClosedError: The session has ended; only a new process can go on.
            RuntimeError: Temporal refuses the worker.
        """
        running = asyncio.create_task(self._worker.run(), name="foxapi-async temporal worker")
        ends = [
            asyncio.create_task(event.wait()) for event in (self._stopping, self._activities.failed)
        ]
        async with self._activities:
            try:
                await asyncio.wait([running, *ends], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                # First no more activities are taken, among them those that are given back below.
                # Core cancels the ones that submit, which finishes their POSTs.
                await finish_despite_cancellation(self._worker.shutdown)
                await finish_despite_cancellation(lambda: asyncio.wait([running, *ends]))
        running.result()
        if self._activities.failed.is_set() and not self._stopping.is_set():
            raise SessionClosedError("the session has ended, so this worker can do nothing more")
        _log.info("the worker is drained")
