"""Calls that bill nothing, and so may be repeated."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from foxapi_async.errors import APIConnectionError, InvalidResponseError
from foxapi_async.http.responses import Answer, Reply, classify, from_exception
from foxapi_async.http.retry_rules import IDEMPOTENT_DECISIONS, RetryDecision
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.options import Retry
from foxapi_async.retry import Tries
from foxapi_async.statistics import Counters

__all__ = ["Calls", "ask"]

T = TypeVar("T")


async def ask(
    send: Callable[[], Awaitable[Reply]],
    read: Callable[[object], T],
    what: str,
    *,
    task_id: str | None = None,
) -> Answer[T]:
    """Send a request once and return what came of it.

    Args:
        send: Sends it.
        read: Turns the decoded body of a 2xx into the value; raises InvalidResponseError.
        what: The request in words, for the text of an error.
        task_id: The task that it is about, for the error.
    """
    try:
        reply = await send()
    except (APIConnectionError, InvalidResponseError) as error:
        if task_id is not None:
            error.task_id = task_id
        return from_exception(error)
    return classify(reply, read, what, task_id=task_id)


class Calls:
    """Sends what is free, again if need be, within the rates of the session."""

    def __init__(self, gate: Limiter, retry: Retry, tally: Counters) -> None:
        self._gate = gate
        self._retry = retry
        self._tally = tally

    async def free(self, ask_once: Callable[[], Awaitable[Answer[T]]]) -> T:
        """Return the value of an answer, after as many tries as `Retry` allows.

        Args:
            ask_once: Makes one try.

        Raises:
            APIStatusError: Refused, or an error status at every try.
            APIConnectionError: No whole answer at any try.
            InvalidResponseError: No usable answer at any try.
        """
        tries = Tries(
            self._retry, began=anyio.current_time(), progress_count=self._tally.progress_count
        )
        while True:
            sent_at = await self._gate.enter(Lane.OTHER)
            answer = await ask_once()
            self._gate.report(Lane.OTHER, answer, sent_at)
            if answer.error is None:
                assert answer.value is not None
                return answer.value
            may_go_on = tries.may_go_on(
                rate_limited=answer.rate_limited,
                now=anyio.current_time(),
                progress_count=self._tally.progress_count,
                awaited=0,
            )
            if (
                IDEMPOTENT_DECISIONS[answer.response_class] is not RetryDecision.REPEAT
                or not may_go_on
            ):
                raise answer.error
            if not answer.rate_limited:  # after a 429 the gate makes everybody wait
                await anyio.sleep(tries.pause(random.random()))  # noqa: S311
