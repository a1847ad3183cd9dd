"""A call that bills nothing: sent, understood, and sent again if the answer may yet be a better one."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

from foxapi_async.answers import Answer, Reply, of_failure, understand
from foxapi_async.backoff import backoff
from foxapi_async.errors import APIConnectionError, FoxAPIError, InvalidResponseError
from foxapi_async.options import Retry
from foxapi_async.verdict import LOOK_VERDICTS, Verdict

__all__ = ["Calls"]

T = TypeVar("T")


class Calls:
    """Makes free calls: GETs of the API and uploads.

    Args:
        retry: How often, and how long the pauses are.
        enter: Waits until the session lets a request leave; called before each try.
        report: Told each answer, and when (on the loop's clock) its request was let go.
        dice: Gives the jitter of pauses, in [0, 1].
    """

    def __init__(
        self,
        retry: Retry,
        *,
        enter: Callable[[], Awaitable[object]],
        report: Callable[[Answer[Any], float], object],
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._retry = retry
        self._enter = enter
        self._report = report
        self._dice = dice

    async def once(
        self,
        what: str,
        send: Callable[[], Awaitable[Reply]],
        read: Callable[[object], T],
        *,
        task_id: str | None = None,
    ) -> Answer[T]:
        """Send a request once and return what came of it; what went wrong is in the answer.

        Args:
            what: The call in words, for errors.
            send: Sends it, with a fresh body each time.
            read: Turns the decoded body of a 2xx into the value; raises InvalidResponseError.
            task_id: The task that it is about, for errors.
        """
        await self._enter()
        sent_at = anyio.current_time()
        try:
            answer = understand(await send(), read, what, task_id=task_id)
        except (APIConnectionError, InvalidResponseError) as error:
            error.task_id = task_id
            answer = of_failure(error)
        self._report(answer, sent_at)
        return answer

    async def free(
        self,
        what: str,
        send: Callable[[], Awaitable[Reply]],
        read: Callable[[object], T],
        *,
        task_id: str | None = None,
    ) -> T:
        """Return what a free call brings, after as many tries as it takes and `Retry` allows.

        The arguments are those of `once`.

        Raises:
            APIStatusError: Refused, or no better status at the last try.
            APIConnectionError: The last try got no whole answer.
            InvalidResponseError: The last answer was not what the API promises.
        """
        attempt = 1
        while True:
            answer = await self.once(what, send, read, task_id=task_id)
            verdict = LOOK_VERDICTS[answer.finding]
            if verdict is Verdict.ACCEPT:
                return answer.value  # type: ignore[return-value]
            if verdict is not Verdict.REPEAT or attempt >= self._retry.attempts:
                raise answer.error or FoxAPIError(what)
            pause = backoff(
                attempt, first=self._retry.first, longest=self._retry.longest, jitter=self._dice()
            )
            await anyio.sleep(max(pause, answer.retry_after or 0.0))
            attempt += 1
