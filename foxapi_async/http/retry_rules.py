"""The rules for repeating a request, as tables.

A GET is free, so it is repeated after every failure that may be temporary. A billed POST is repeated
only if it certainly created no task: the connection was never made, or the server declined. A 429 is a
refusal in any format: relays answer it before any handler runs. Any other answer that is not a clear
refusal leaves the outcome unknown, because the API has neither an idempotency key nor a list of tasks.
Sources: sections 6.2, 6.4 and 6.5 of the API reference.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from foxapi_async._typeguards import is_array, is_object


class ResponseClass(enum.Enum):
    """The kind of answer that a request got."""

    NOT_SENT = "the connection was never made"
    CUT_OFF = "sent, then reset, timed out or cut short"
    OK = "a 2xx with what was asked for"
    UNUSABLE = "a 2xx that is not JSON, or without a usable id"
    RATE_LIMITED = "a 429 that names no task"
    NO_CHANNEL = "a 422 or 503 whose code says that no channel is available now"
    REFUSED = "a clear refusal"
    UNCLEAR = "any other status"


class RetryDecision(enum.Enum):
    """What to do after an answer."""

    ACCEPT = "use the answer"
    REPEAT = "send it again after a pause"
    RAISE = "raise: nothing was billed, and repeating would not help"
    UNKNOWN = "raise SubmissionUnknownError: a task may have been created"


SUBMISSION_DECISIONS: Final[Mapping[ResponseClass, RetryDecision]] = {
    ResponseClass.NOT_SENT: RetryDecision.REPEAT,
    ResponseClass.CUT_OFF: RetryDecision.UNKNOWN,
    ResponseClass.OK: RetryDecision.ACCEPT,
    ResponseClass.UNUSABLE: RetryDecision.UNKNOWN,
    ResponseClass.RATE_LIMITED: RetryDecision.REPEAT,
    ResponseClass.NO_CHANNEL: RetryDecision.REPEAT,
    ResponseClass.REFUSED: RetryDecision.RAISE,
    ResponseClass.UNCLEAR: RetryDecision.UNKNOWN,
}
"""Decisions for the billed POST."""

CLEAR_ANSWERS: Final = frozenset(
    {
        *(ResponseClass.OK, ResponseClass.RATE_LIMITED),
        *(ResponseClass.NO_CHANNEL, ResponseClass.REFUSED),
    }
)
"""Classes of answers that only a service in order gives; any other may be a sign of an outage."""

IDEMPOTENT_DECISIONS: Final[Mapping[ResponseClass, RetryDecision]] = {
    ResponseClass.NOT_SENT: RetryDecision.REPEAT,
    ResponseClass.CUT_OFF: RetryDecision.REPEAT,
    ResponseClass.OK: RetryDecision.ACCEPT,
    ResponseClass.UNUSABLE: RetryDecision.REPEAT,
    ResponseClass.RATE_LIMITED: RetryDecision.REPEAT,
    ResponseClass.NO_CHANNEL: RetryDecision.REPEAT,
    ResponseClass.REFUSED: RetryDecision.RAISE,
    ResponseClass.UNCLEAR: RetryDecision.REPEAT,
}
"""Decisions for free requests: GETs and uploads."""

TOO_MANY: Final = 429
NO_CHANNEL_CODES: Final = frozenset({"no_compatible_channel", "no_available_model"})

QUOTA_CODES: Final = frozenset(
    {
        *("insufficient_quota", "insufficient_user_quota", "insufficient_token_quota"),
        *("pre_consume_token_quota_failed", "quota_not_enough", "quota_exhausted"),
        *("quota_exceeded", "user_quota_exceeded", "token_quota_exceeded"),
        *("insufficient_balance", "insufficient_credits", "insufficient_credit"),
        *("insufficient_funds", "not_enough_credits", "out_of_credits", "payment_required"),
        *("billing_hard_limit_reached", "billing_not_active", "arrearage"),
    }
)
"""Values of ``error.code`` or ``error.type`` with which a 429 says that the balance or quota is used up:
those of OpenAI, of the gateways one-api and new-api, and of relays that follow them. They count as 402."""


class _Rule(NamedTuple):
    statuses: frozenset[int]
    response_class: ResponseClass
    codes: frozenset[str] | None = None

    def fits(self, status: int, payload: object) -> bool:
        if status not in self.statuses:
            return False
        return self.codes is None or error_code(payload) in self.codes


_RULES: Final = (
    _Rule(frozenset({TOO_MANY}), ResponseClass.RATE_LIMITED),
    _Rule(frozenset({422, 503}), ResponseClass.NO_CHANNEL, codes=NO_CHANNEL_CODES),
    _Rule(frozenset({400, 401, 402, 403, 404, 413, 422}), ResponseClass.REFUSED),
)


def classify_status(
    status: int, payload: object, *, asked: str | None = None, names_task: bool = False
) -> ResponseClass:
    """Return the class of a status that is not a 2xx.

    ``payload`` is the decoded body, ``asked`` the id of the requested task, if any, ``names_task``
    whether the text of the body names one.
    """
    # An error with a task id is no refusal, because the task may exist.
    if asked is None and (any(named_values(payload)) or (names_task and status == TOO_MANY)):
        return ResponseClass.UNCLEAR
    if asked is None and status == TOO_MANY and _lacks_quota(payload):
        return ResponseClass.REFUSED
    return next(
        (rule.response_class for rule in _RULES if rule.fits(status, payload)),
        ResponseClass.UNCLEAR,
    )


def has_envelope(payload: object) -> bool:
    """Return whether a decoded body has the error format of the API."""
    return is_object(payload) and is_object(payload.get("error"))


def error_code(payload: object) -> str | None:
    """Return ``error.code`` of a decoded body, None if it is not a text."""
    code = _envelope(payload).get("code")
    return code if isinstance(code, str) else None


def _envelope(payload: object) -> dict[str, Any]:
    error: object = payload.get("error") if is_object(payload) else None
    return error if is_object(error) else {}


def _lacks_quota(payload: object) -> bool:
    fields = _envelope(payload)
    words = [fields.get("code"), fields.get("type")]
    if is_object(payload) and not fields:  # some relays have no envelope
        words = [payload.get(name) for name in ("code", "type", "error")]
    return any(
        isinstance(word, str) and re.sub(r"[\s-]+", "_", word.strip().lower()) in QUOTA_CODES
        for word in words
    )


def named_values(payload: object) -> Iterator[object]:
    """Yield what is not empty of ``id``, ``task_id``, ``data.id`` and ``data.task_id`` of a decoded answer."""
    if not is_object(payload):
        return
    data = payload.get("data")
    if is_array(data) and len(data) == 1:
        data = data[0]
    for fields in (payload, data, payload.get("error")):
        if not is_object(fields):
            continue
        # The "id" inside the error object is the id of the error.
        names = ("task_id",) if fields is payload.get("error") else ("id", "task_id")
        for name in names:
            if value := fields.get(name):
                yield value
