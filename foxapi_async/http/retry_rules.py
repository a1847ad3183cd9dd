"""When a request may be sent again: the rules as data.

A GET is free, so whatever may pass is asked again. A POST that bills is sent again only if it is
certain that no task was created: the connection was never made, or the server declined in its own
words. Whatever else is no clear refusal leaves the outcome unknown, because the service has neither
an idempotency key nor a list of tasks. Sources: sections 6.2, 6.4 and 6.5 of the API reference.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from foxapi_async._typeguards import is_object

__all__ = [
    "IDEMPOTENT_DECISIONS",
    "SUBMISSION_DECISIONS",
    "ResponseClass",
    "RetryDecision",
    "find",
    "has_envelope",
]


class ResponseClass(enum.Enum):
    """What came of a request."""

    NOT_SENT = "the connection was never made"
    CUT_OFF = "sent, then reset, timed out or cut short"
    OK = "a 2xx with what was asked for"
    UNUSABLE = "a 2xx that is not JSON, or without a usable id"
    RATE_LIMITED = "a 429 in the service's own words"
    NO_CHANNEL = "a 422 or 503 whose code says that no channel can take it now"
    REFUSED = "a clear refusal"
    UNCLEAR = "any other status"


class RetryDecision(enum.Enum):
    """What to do about it."""

    ACCEPT = "take the answer"
    REPEAT = "send it again after a pause"
    RAISE = "raise: nothing was billed, and asking again would not help"
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
"""For the POST that bills."""

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
"""For what is free: GETs and uploads."""

NO_CHANNEL_CODES: Final = frozenset({"no_compatible_channel", "no_available_model"})


class _Rule(NamedTuple):
    statuses: frozenset[int]
    response_class: ResponseClass
    envelope: bool = False
    codes: frozenset[str] | None = None

    def fits(self, status: int, payload: object) -> bool:
        if status not in self.statuses or (self.envelope and not has_envelope(payload)):
            return False
        return self.codes is None or error_code(payload) in self.codes


_RULES: Final = (
    _Rule(frozenset({429}), ResponseClass.RATE_LIMITED, envelope=True),
    _Rule(frozenset({422, 503}), ResponseClass.NO_CHANNEL, codes=NO_CHANNEL_CODES),
    _Rule(frozenset({400, 401, 402, 403, 404, 413, 422}), ResponseClass.REFUSED),
)


def find(status: int, payload: object, *, asked: str | None = None) -> ResponseClass:
    """Return what an answer that is not a 2xx means.

    Args:
        status: The HTTP status.
        payload: The decoded body, None if it is not JSON.
        asked: The task that was asked for, None for a submission.
    """
    if asked is None and _names_a_task(payload):
        return ResponseClass.UNCLEAR
    return next(
        (rule.response_class for rule in _RULES if rule.fits(status, payload)),
        ResponseClass.UNCLEAR,
    )


def has_envelope(payload: object) -> bool:
    """Return whether a decoded body is an error in the service's own form."""
    return is_object(payload) and is_object(payload.get("error"))


def error_code(payload: object) -> str | None:
    """Return ``error.code`` of a decoded body."""
    code = _envelope(payload).get("code")
    return code if isinstance(code, str) else None


def _envelope(payload: object) -> dict[str, Any]:
    error: object = payload.get("error") if is_object(payload) else None
    return error if is_object(error) else {}


def _names_a_task(payload: object) -> bool:
    # An error that carries a task id is no refusal: a task may well exist. The error's own "id"
    # does not count: it would be the id of the error.
    inside = _envelope(payload).get("task_id")
    return is_object(payload) and bool(payload.get("id") or payload.get("task_id") or inside)
