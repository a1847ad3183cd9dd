"""An activity whose task is under way: it holds no slot of the worker, and is completed from outside."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import anyio
import attrs
from temporalio.client import AsyncActivityCancelledError, AsyncActivityHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from foxapi_async.temporal.messages import GenerationResult

_log = logging.getLogger("foxapi_async")

_GONE: Final = frozenset(
    {
        RPCStatusCode.NOT_FOUND,  # the attempt timed out, or the workflow has ended
        RPCStatusCode.INVALID_ARGUMENT,
        RPCStatusCode.FAILED_PRECONDITION,
    }
)
"""The service knows the activity no more, or will never take this report."""

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0
"""Seconds between two attempts to report while the service is away."""

_HAND_OVER: Final = 5.0
"""Seconds in which a worker that ends gives an activity back; else its heartbeats time out."""

_AT_ONCE: Final = timedelta(milliseconds=100)


@attrs.define(eq=False)
class HeldActivity:
    """Heartbeats with the task id until `run` has reported the end of the activity.

    Cancelling `run` gives the activity back, so that another worker attaches to the task.
    """

    key: str
    task_id: str
    interval: float
    """Seconds between two heartbeats."""
    _remote: AsyncActivityHandle
    _is_gone: bool = attrs.field(default=False, init=False)

    async def run(
        self, bring_home: Callable[[], Awaitable[GenerationResult | ApplicationError]]
    ) -> None:
        """Report what ``bring_home`` returns; an `ApplicationError` lets the activity be tried again."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._beat, group.cancel_scope)
                await self._report(await bring_home())
                self._is_gone = True
                group.cancel_scope.cancel()
        finally:
            if not self._is_gone:
                with anyio.CancelScope(shield=True), anyio.move_on_after(_HAND_OVER):
                    await self._report(handed_over())

    async def _beat(self, scope: anyio.CancelScope) -> None:
        while True:
            try:
                await self._remote.heartbeat(
                    self.task_id, rpc_timeout=timedelta(seconds=self.interval)
                )
            except AsyncActivityCancelledError as error:
                # A task that is paid for is brought home, whoever has lost interest in it. But an
                # activity that was paused or reset begins again.
                if error.details is not None and not error.details.cancel_requested:
                    scope.cancel()
                    return
            except RPCError as error:
                if error.status in _GONE:
                    _log.info(
                        "the activity of the key %r is no longer ours; task %s goes on",
                        self.key,
                        self.task_id,
                    )
                    self._is_gone = True
                    scope.cancel()
                    return
                _log.info("no heartbeat for task %s: %s", self.task_id, error)
            await anyio.sleep(self.interval)

    async def _report(self, end: GenerationResult | ApplicationError) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                if isinstance(end, GenerationResult):
                    await self._remote.complete(end)
                else:
                    await self._remote.fail(end, last_heartbeat_details=[self.task_id])
            except RPCError as error:
                if error.status in _GONE:
                    _log.info("the activity of the key %r is not reported: %s", self.key, error)
                    return
                _log.warning("Temporal is not reached: %s", error)
            else:
                return
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def handed_over() -> ApplicationError:
    """Return the error that lets another worker have the activity at once."""
    return ApplicationError(
        "the worker ends; another one attaches to the task",
        type="WorkerShutdown",
        next_retry_delay=_AT_ONCE,
    )
