"""Asks the server whether a task that an unclear answer to a POST names is the one just submitted."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Container
from typing import TYPE_CHECKING, Final

import anyio

from foxapi_async.api import Api
from foxapi_async.errors import FoxAPIError, NotFoundError
from foxapi_async.http.candidates import find_candidates, is_ours
from foxapi_async.http.codec import decode
from foxapi_async.http.retry_rules import IDEMPOTENT_DECISIONS, RetryDecision
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.models import Task
from foxapi_async.retry import backoff, http_date
from foxapi_async.submission import Submission

if TYPE_CHECKING:
    from foxapi_async.journal import Journal

_log = logging.getLogger("foxapi_async")

_ATTEMPTS: Final = 5
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_LONGEST: Final = 30.0
"""Seconds for all questions: the server that gave the unclear answer may be in trouble."""


async def confirm_task(
    response: str | None,
    submission: Submission,
    *,
    api: Api,
    limiter: Limiter,
    known: Container[str],
    journal: Journal | None,
) -> Task | None:
    """Return the task that the submission has certainly created, None if that is not certain.

    ``response`` is what the server said, ``known`` the ids that belong to other submissions. Only free
    GETs are sent; no error is raised.
    """
    text = response or ""
    try:
        payload = decode(text.encode())
    except ValueError:
        payload = None
    candidates = [each for each in find_candidates(text, payload) if each not in known]
    try:
        if journal is not None:
            candidates = [each for each in candidates if not await journal.has_task(each)]
        confirmed: list[Task] = []
        with anyio.move_on_after(_LONGEST):
            for candidate in candidates:
                task = await _ask(candidate, submission, api, limiter)
                if task is not None:
                    confirmed.append(task)
            # With two of them, one belongs to somebody else. Another submission may have taken the
            # same one meanwhile.
            if len(confirmed) == 1 and confirmed[0].id not in known:
                return confirmed[0]
    except FoxAPIError as trouble:
        _log.warning("the id in an unclear answer could not be checked: %s", trouble)
    return None


async def _ask(candidate: str, submission: Submission, api: Api, limiter: Limiter) -> Task | None:
    for attempt in range(1, _ATTEMPTS + 1):
        sent_at = await limiter.admit(Lane.OTHER)
        answer = await api.get_task(candidate)
        limiter.record_answer(Lane.OTHER, answer, sent_at)
        if answer.value is not None:
            now = time.time()
            # By the server's clock: its date is cut to whole seconds.
            stated = http_date(answer.date)
            ahead = 0.0 if stated is None else stated.timestamp() + 0.5 - now
            ahead = ahead if abs(ahead) > 1.0 else 0.0
            posted = submission.posted + ahead
            ours = is_ours(answer.value, model=submission.model, posted=posted, now=now + ahead)
            return answer.value if ours else None
        decision = IDEMPOTENT_DECISIONS[answer.response_class]
        # A task that was just created may be unknown for a moment.
        is_new = isinstance(answer.error, NotFoundError)
        if decision is not RetryDecision.REPEAT and not is_new:
            return None
        if attempt < _ATTEMPTS and not answer.rate_limited:
            jitter = random.random()  # noqa: S311
            await asyncio.sleep(
                backoff(attempt, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE, jitter=jitter)
            )
    return None
