"""Asks the server whether a task that an unclear answer to a POST names is the one just submitted."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Container
from typing import TYPE_CHECKING, Final

import anyio

from foxapi_async.api import Api
from foxapi_async.errors import (
    FoxAPIError,
    InvalidResponseError,
    NotFoundError,
    SubmissionUnknownError,
)
from foxapi_async.http.candidates import find_candidates, is_ours
from foxapi_async.http.codec import decode, kept_text
from foxapi_async.http.responses import Answer
from foxapi_async.http.retry_rules import IDEMPOTENT_DECISIONS, ResponseClass, RetryDecision
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.models import Task
from foxapi_async.retry import backoff, http_date
from foxapi_async.submission import Submission

if TYPE_CHECKING:
    from foxapi_async.journal import SessionJournal

_log = logging.getLogger("foxapi_async")

_ATTEMPTS: Final = 5
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_LONGEST: Final = 30.0
"""Seconds for all questions: the server that gave the unclear answer may be in trouble."""


async def confirm_task(
    unknown: SubmissionUnknownError,
    submission: Submission,
    *,
    api: Api,
    limiter: Limiter,
    known: Container[str],
    journal: SessionJournal | None,
) -> Task | None:
    """Return the task that the submission has certainly created, None if that is not certain.

    ``unknown`` has what the server said, ``known`` are the ids that belong to other submissions. Only
    free GETs are sent; no error is raised.
    """
    text = unknown.response or ""
    if submission.claim is not None:
        try:
            await submission.claim.keep_response(unknown)
        except FoxAPIError as trouble:
            _log.warning("%s; the journal cannot keep what the server said: %s", unknown, trouble)
    try:
        payload = decode(text.encode())
    except ValueError:
        payload = None
    candidates = [each for each in find_candidates(text, payload) if each not in known]
    try:
        if journal is not None:
            candidates = [each for each in candidates if not await journal.has_task(each)]
        found: list[tuple[Task, float]] = []
        with anyio.move_on_after(_LONGEST):
            found = await _ask_for(candidates, api, limiter)
    except FoxAPIError as trouble:
        _log.warning("the id in an unclear answer could not be checked: %s", trouble)
        return None
    ours = [task for task, offset in found if _is_from(submission, task, offset)]
    # With two of them, one belongs to somebody else. Another submission may have taken the same one
    # meanwhile.
    return ours[0] if len(ours) == 1 and ours[0].id not in known else None


def of_another(answer: Answer[Task], submission: Submission) -> Answer[Task]:
    """Return what an answer means that names a task of another submission: nothing is known of this one.

    Two submissions cannot have created the same task, and that one is billed already.
    """
    assert answer.value is not None
    error = InvalidResponseError(
        f"POST {submission.path} ({submission.model}): the answer names task {answer.value.id}, which "
        "belongs to another submission",
        status=answer.status,
    )
    response = kept_text(json.dumps(answer.value.raw))
    return Answer(ResponseClass.UNUSABLE, error=error, status=answer.status, response=response)


async def _ask_for(candidates: list[str], api: Api, limiter: Limiter) -> list[tuple[Task, float]]:
    """Return the tasks that the server knows, each with the seconds that its clock is ahead."""
    found: list[tuple[Task, float]] = []
    for attempt in range(1, _ATTEMPTS + 1):
        again: list[str] = []
        for candidate in candidates:
            sent_at = await limiter.admit(Lane.OTHER)
            answer = await api.get_task(candidate)
            limiter.record_answer(Lane.OTHER, answer, sent_at)
            decision = IDEMPOTENT_DECISIONS[answer.response_class]
            if answer.value is not None:
                found.append((answer.value, _clock_offset(answer.date)))
            # A task that was just created may be unknown for a moment.
            elif decision is RetryDecision.REPEAT or isinstance(answer.error, NotFoundError):
                again.append(candidate)
        candidates = again
        if not candidates or attempt == _ATTEMPTS:
            break
        jitter = random.random()  # noqa: S311
        await anyio.sleep(
            backoff(attempt, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE, jitter=jitter)
        )
    return found


def _clock_offset(date: str | None) -> float:
    stated = http_date(date)
    if stated is None:
        return 0.0
    # The date is cut to whole seconds, so a small difference means nothing.
    offset = stated.timestamp() + 0.5 - time.time()
    return offset if abs(offset) > 1.0 else 0.0


def _is_from(submission: Submission, task: Task, offset: float) -> bool:
    posted, now = submission.posted + offset, time.time() + offset
    return is_ours(task, model=submission.model, posted=posted, now=now)
