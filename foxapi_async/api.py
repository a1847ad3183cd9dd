"""The calls of the API, typed: what is sent, and what the answer means."""

from __future__ import annotations

import asyncio
import copy
import enum
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import anyio

from foxapi_async._concurrency import ThreadJob
from foxapi_async.errors import (
    APIConnectionError,
    AuthenticationError,
    InvalidResponseError,
    PermissionDeniedError,
)
from foxapi_async.http.account import read_balance, read_prices
from foxapi_async.http.codec import read_task
from foxapi_async.http.outputs import PLAIN
from foxapi_async.http.responses import Answer, Reply, classify, from_exception
from foxapi_async.http.retry_rules import (
    CLEAR_ANSWERS,
    IDEMPOTENT_DECISIONS,
    ResponseClass,
    RetryDecision,
)
from foxapi_async.http.spool import Spool
from foxapi_async.http.transport import Transport
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.models import Balance, Task
from foxapi_async.options import Retry
from foxapi_async.retry import Retrier
from foxapi_async.statistics import Counters

T = TypeVar("T")

_log = logging.getLogger("foxapi_async")

_POLL_TIMEOUT = 15.0
"""Seconds for one poll, as other clients of this API allow: a hung poll would hide the answer."""

_CHECK_TIMEOUT = 8.0
"""Seconds for a request of `check_key`, which is repeated every few seconds during an outage."""

_BALANCE_PATH = "/v1/account/credits"
_CHECKED_PATHS = (_BALANCE_PATH, "/v1/models")
"""Free requests that need a key; a server may lack one of them."""


_MOST_PRICES = 8 * 2**20
"""Bytes of the price list; one of some 300 models has about 100 KB."""


class KeyCheck(enum.Enum):
    """What free requests have shown of the service and the key."""

    WORKS = "the service accepts the key"
    REFUSED = "the API refuses the key in its own error format"
    UNDECIDED = "the service answers, but neither accepts nor refuses the key"
    NO_ANSWER = "the service does not answer"


class Api:
    """The endpoints that the session uses. `submit` and `get_task` send once; the caller limits them."""

    def __init__(
        self, transport: Transport, limiter: Limiter, retry: Retry, counters: Counters
    ) -> None:
        self.spool: Spool = Spool(transport.base_url)
        self._set(transport, retry)
        self._limiter = limiter
        self._counters = counters
        self._clock = asyncio.get_running_loop().time
        self._check_lock = anyio.Lock()
        self._checked = KeyCheck.UNDECIDED
        self._checks = 0  # that have begun

    def with_options(self, transport: Transport, retry: Retry) -> Api:
        """Return the same endpoints with another transport and other retries; the rest is shared."""
        other = copy.copy(self)
        other._set(transport, retry)  # noqa: SLF001
        return other

    def _set(self, transport: Transport, retry: Retry) -> None:
        self._transport = transport
        self._retry = retry
        self._poll_timeout = min(_POLL_TIMEOUT, transport.timeout.request)
        self._check_timeout = min(_CHECK_TIMEOUT, transport.timeout.request)

    async def submit(
        self, path: str, model: str, body: bytes, on_sending: Callable[[], None]
    ) -> Answer[Task]:
        """Send a billed POST once; ``on_sending`` is called right before the body leaves."""
        try:
            reply = await self._transport.call("POST", path, json=body, on_sending=on_sending)
        except (APIConnectionError, InvalidResponseError) as error:
            return from_exception(error)
        return self._usable(classify(reply, read_task, f"POST {path} ({model})"), reply.held)

    async def get_task(self, task_id: str, *, sync_upstream: bool = False) -> Answer[Task]:
        """Ask for a task once."""
        path = f"/v1/tasks/{quote(task_id, safe='')}"
        query = "?sync_upstream=true" if sync_upstream else ""
        try:
            reply = await self._transport.call("GET", path + query, seconds=self._poll_timeout)
        except (APIConnectionError, InvalidResponseError) as error:
            error.task_id = task_id
            return from_exception(error)
        answer = classify(
            reply, lambda body: read_task(body, asked=task_id), f"GET {path}", task_id=task_id
        )
        return self._usable(answer, reply.held)

    async def retrieve(self, task_id: str) -> Task:
        """Ask for a task until there is an answer; raises as `call` does."""
        return await self._until_answered(lambda: self.get_task(task_id))

    async def balance(self) -> Balance:
        """Ask for the balance; raises as `call` does."""

        def send() -> Awaitable[Reply]:
            return self._transport.call("GET", _BALANCE_PATH)

        return await self.call(send, read_balance, f"GET {_BALANCE_PATH}")

    async def prices(self) -> dict[str, float]:
        """Ask for the public price list, without the key; raises as `call` does."""
        url = self._transport.base_url / "api" / "pricing"

        async def send() -> Reply:
            async with self._transport.stream(url, {"Accept": "application/json"}) as response:
                # A longer answer is cut and then not JSON, which `call` reports.
                content = bytearray()
                while len(content) < _MOST_PRICES and (more := await response.content.readany()):
                    content += more
                return Reply(response.status, bytes(content[:_MOST_PRICES]))

        return await self.call(send, read_prices, "GET /api/pricing")

    async def check_key(self) -> KeyCheck:
        """Find out with free requests whether the service answers and accepts the key.

        Callers that wait for a check that began after their call share its result.
        """
        checks = self._checks
        async with self._check_lock:
            if self._checks == checks:
                self._checks += 1
                self._checked = await self._check_key()
            return self._checked

    async def _check_key(self) -> KeyCheck:
        found = KeyCheck.NO_ANSWER
        for path in _CHECKED_PATHS:
            sent_at = await self._limiter.admit(Lane.OTHER)
            try:
                reply = await self._transport.call("GET", path, seconds=self._check_timeout)
            except (APIConnectionError, InvalidResponseError):
                return found
            self._transport.memory.release(reply.held)
            answer = classify(reply, _is_json, f"GET {path}")
            self._limiter.record_answer(Lane.OTHER, answer, sent_at)
            if answer.response_class is ResponseClass.OK:
                return KeyCheck.WORKS
            refusal = answer.error
            if (
                isinstance(refusal, AuthenticationError | PermissionDeniedError)
                and refusal.enveloped
            ):
                found = KeyCheck.REFUSED
            elif found is KeyCheck.NO_ANSWER and answer.response_class in CLEAR_ANSWERS:
                found = KeyCheck.UNDECIDED
        return found

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
            self._transport.memory.release(reply.held)
            return classify(reply, read, what)

        return await self._until_answered(attempt)

    def _usable(self, answer: Answer[Task], held: int) -> Answer[Task]:
        """Put inline data aside, make links absolute, and release memory when that is done."""
        task = answer.value
        if not held:  # nearly always
            for output in () if task is None else task.outputs:
                if output.url is None or not output.url.startswith(PLAIN):
                    break
            else:
                return answer
        jobs: list[ThreadJob[Path | None]] = []
        if task is not None:
            try:
                task, jobs = self.spool.take(task)
            except Exception:  # noqa: BLE001 - a task that was just billed must not be lost for this
                _log.exception("the outputs of task %s are kept as they came", task.id)
        share = held // max(len(jobs), 1)
        for job in jobs:
            job.when_done(partial(self._transport.memory.release, share))
        self._transport.memory.release(held - share * len(jobs))
        return answer._replace(value=task)

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


def _is_json(payload: object) -> bool:
    if not isinstance(payload, dict | list):
        raise InvalidResponseError("the answer is not JSON")
    return True
