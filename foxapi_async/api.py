"""The calls of the API, typed: what is sent, and what the answer means."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote

import anyio

from foxapi_async.errors import APIConnectionError, InvalidResponseError
from foxapi_async.http.codec import read_task
from foxapi_async.http.responses import Answer, Reply, classify, from_exception
from foxapi_async.http.retry_rules import IDEMPOTENT_DECISIONS, RetryDecision
from foxapi_async.http.transport import Transport
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.models import Task
from foxapi_async.options import Retry
from foxapi_async.retry import Retrier
from foxapi_async.statistics import Counters

T = TypeVar("T")

_POLL_TIMEOUT = 15.0
"""Seconds for one poll, as other clients of this API allow: a hung poll would hide the answer."""


class Api:
    """The endpoints that the session uses. `submit` and `get_task` send once; the caller limits them."""

    def __init__(
        self, transport: Transport, limiter: Limiter, retry: Retry, counters: Counters
    ) -> None:
        self._transport = transport
        self._limiter = limiter
        self._retry = retry
        self._counters = counters
        self._clock = asyncio.get_running_loop().time
        self._poll_timeout = min(_POLL_TIMEOUT, transport.timeout.request)

    async def submit(
        self, path: str, model: str, body: bytes, on_sending: Callable[[], None]
    ) -> Answer[Task]:
        """Send a billed POST once; ``on_sending`` is called right before the body leaves."""
        try:
            reply = await self._transport.call("POST", path, json=body, on_sending=on_sending)
        except (APIConnectionError, InvalidResponseError) as error:
            return from_exception(error)
        return classify(reply, read_task, f"POST {path} ({model})")

    async def get_task(self, task_id: str, *, sync_upstream: bool = False) -> Answer[Task]:
        """Ask for a task once."""
        path = f"/v1/tasks/{quote(task_id, safe='')}"
        query = "?sync_upstream=true" if sync_upstream else ""
        try:
            reply = await self._transport.call("GET", path + query, seconds=self._poll_timeout)
        except (APIConnectionError, InvalidResponseError) as error:
            error.task_id = task_id
            return from_exception(error)
        return classify(
            reply, lambda body: read_task(body, asked=task_id), f"GET {path}", task_id=task_id
        )

    async def retrieve(self, task_id: str) -> Task:
        """Ask for a task until there is an answer; raises as `call` does."""
        return await self._until_answered(lambda: self.get_task(task_id))

    async def call(
        self, send: Callable[[], Awaitable[Reply]], read: Callable[[object], T], what: str
    ) -> T:
        """Send an idempotent request until there is an answer, as often as `Retry` allows.

        ``read`` turns the decoded body of a 2xx into the value, or raises InvalidResponseError;
        ``what`` names the request in errors.

        Raises:
            APIStatusError: A refusal, or an error status at the last attempt.
            APIConnectionError: No whole answer at the last attempt.
            InvalidResponseError: No usable answer at the last attempt.
        """

        async def attempt() -> Answer[T]:
            try:
                reply = await send()
            except (APIConnectionError, InvalidResponseError) as error:
                return from_exception(error)
            return classify(reply, read, what)

        return await self._until_answered(attempt)

    async def _until_answered(self, attempt: Callable[[], Awaitable[Answer[T]]]) -> T:
        retrier = Retrier(self._retry, self._clock())
        while True:
            sent_at = await self._limiter.admit(Lane.OTHER)
            answer = await attempt()
            self._limiter.record_answer(Lane.OTHER, answer, sent_at)
            if answer.error is None:
                assert answer.value is not None
                return answer.value
            may_retry = retrier.may_retry(
                rate_limited=answer.rate_limited,
                now=self._clock(),
                was_served=self._counters.progress > 0,
            )
            decision = IDEMPOTENT_DECISIONS[answer.response_class]
            if decision is not RetryDecision.REPEAT or not may_retry:
                raise answer.error
            await anyio.sleep(retrier.pause(random.random()))  # noqa: S311
