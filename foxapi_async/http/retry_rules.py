"""The rules for repeating a request, as tables.

A GET is free, so it is repeated after every failure that may be temporary. A billed POST is repeated
only if it certainly created no task: the connection was never made, or the API declined in its own
error format. Any other answer that is not a clear refusal leaves the outcome unknown, because the API
has neither an idempotency key nor a list of tasks. Sources: sections 6.2, 6.4 and 6.5 of the API
reference.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from foxapi_async._typeguards import is_object


class ResponseClass(enum.Enum):
    """The kind of answer that a request got."""

    NOT_SENT = "the connection was never made"
    CUT_OFF = "sent, then reset, timed out or cut short"
    OK = "a 2xx with what was asked for"
    UNUSABLE = "a 2xx that is not JSON, or without a usable id"
    RATE_LIMITED = "a 429 in the error format of the API"
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


def classify_status(status: int, payload: object, *, asked: str | None = None) -> ResponseClass:
    """Return the class of a status that is not a 2xx; ``asked`` is the id of the requested task, if any."""
    if asked is None and _names_a_task(payload):
        return ResponseClass.UNCLEAR
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


def _names_a_task(payload: object) -> bool:
    # An error with a task id is no refusal, because the task may exist. The "id" inside the error
    # object does not count: it is the id of the error.
    inside = _envelope(payload).get("task_id")
    return is_object(payload) and bool(payload.get("id") or payload.get("task_id") or inside)
