"""HTTP replies to answers: a value, or an error with all that the server said."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

from foxapi_async._typeguards import is_object
from foxapi_async.errors import (
    APIConnectionError,
    APIStatusError,
    FoxAPIError,
    InvalidResponseError,
)
from foxapi_async.http.candidates import MOST_LOOKED_AT, find_candidates, kept_answer
from foxapi_async.http.codec import code_of, decode, excerpt, one_line, to_text
from foxapi_async.http.retry_rules import TOO_MANY, ResponseClass, classify_status, has_envelope
from foxapi_async.models import without_queries
from foxapi_async.retry import parse_retry_after

T = TypeVar("T")

_NOT_JSON: Final = object()
_REQUEST_ID: Final = r"request_id:\s*([\w-]+)"
_ADVICE: Final = {
    **dict.fromkeys((301, 302, 303, 307, 308), "base_url does not lead to the API: check it"),
    401: "check the API key",
    402: "the balance is used up: top it up, then send the request again",
    403: "the key lacks the permission, or the CDN rejected the client",
    413: "the request body is too large: send less",
    429: "too many requests: slow down",
}


_LONGEST_WORDS: Final = 2000


class Reply(NamedTuple):
    """A complete HTTP response."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    date: str | None = None
    request_id: str | None = None
    held: int = 0
    """Memory that a large body has acquired from `Transport.memory`; the receiver releases it."""
    location: str | None = None


class Answer(NamedTuple, Generic[T]):
    """The result of one request: ``value`` if the class is OK, otherwise ``error``."""

    response_class: ResponseClass
    value: T | None = None
    error: FoxAPIError | None = None
    status: int | None = None
    retry_after: float | None = None
    rate_limited: bool = False
    """Whether the status is 429, in any format, and not because the balance is used up."""
    response: str | None = None
    """What the server said, if that may be the only copy of a task id: at most 16 KiB."""
    date: str | None = None
    """The ``Date`` header of a value."""


def classify(
    reply: Reply, read: Callable[[object], T], what: str, *, task_id: str | None = None
) -> Answer[T]:
    """Return the answer that a reply stands for.

    ``read`` converts the decoded body of a 2xx to the value or raises InvalidResponseError; ``what``
    and ``task_id`` identify the request and its task in an error.
    """
    try:
        payload = decode(reply.body)
    except ValueError:
        payload = _NOT_JSON
    if not 200 <= reply.status <= 299:  # noqa: PLR2004
        retry_after = parse_retry_after(reply.retry_after, now=datetime.now(UTC), date=reply.date)
        # Only a POST has something to lose, and many polls may fail at once.
        response = _response(reply, payload) if task_id is None else None
        # The text of another refusal may quote the request, for example the link of an earlier result.
        is_429 = reply.status == TOO_MANY
        names_task = is_429 and bool(find_candidates(response or "", payload))
        response_class = classify_status(
            reply.status, payload, asked=task_id, names_task=names_task
        )
        no_quota = is_429 and response_class is ResponseClass.REFUSED
        refusal = _status_error(
            reply, payload, what, retry_after, task_id, status=402 if no_quota else reply.status
        )
        refusal.enveloped = has_envelope(payload)
        return Answer(
            response_class,
            error=refusal,
            status=reply.status,
            retry_after=retry_after,
            rate_limited=is_429 and not no_quota,
            response=response,
        )
    try:
        value = read(payload)
    except InvalidResponseError as trouble:
        why = "the answer is not JSON" if payload is _NOT_JSON else str(trouble)
        start = excerpt(reply.body)
        error = InvalidResponseError(
            f"{what}: {why} (HTTP {reply.status}, {start!r}); if this is not FoxAPI, "
            "check base_url",
            status=reply.status,
            excerpt=start,
            task_id=task_id,
        )
        if task_id is None:
            error.response = _response(reply, payload)
        return Answer(
            ResponseClass.UNUSABLE, error=error, status=reply.status, response=error.response
        )
    return Answer(ResponseClass.OK, value=value, status=reply.status, date=reply.date)


def from_exception(error: APIConnectionError | InvalidResponseError) -> Answer[Any]:
    """Return the answer for a request without a complete reply."""
    never_sent = isinstance(error, APIConnectionError) and not error.sent
    response_class = ResponseClass.NOT_SENT if never_sent else ResponseClass.CUT_OFF
    return Answer(response_class, error=error, response=error.response)


def _response(reply: Reply, payload: object) -> str | None:
    said = to_text(reply.body[:MOST_LOOKED_AT])
    if reply.location is not None:
        said = f"Location: {reply.location}\n\n{said}"
    return kept_answer(said, payload)


def _status_error(
    reply: Reply,
    payload: object,
    what: str,
    retry_after: float | None,
    task_id: str | None,
    *,
    status: int,
) -> APIStatusError:
    """Return the error of a reply; ``status`` gives its class and its advice."""
    envelope: object = payload.get("error") if is_object(payload) else None
    fields = envelope if is_object(envelope) else {"message": envelope}
    message, code, type_ = (code_of(fields.get(name)) for name in ("message", "code", "type"))
    words = ": ".join(part for part in (code or type_, message or excerpt(reply.body)) if part)
    text = f"{what}: HTTP {reply.status}" + (
        f" ({one_line(without_queries(words[:_LONGEST_WORDS]))})" if words else ""
    )
    if retry_after is not None:
        text += f"; the server asks to wait {retry_after:g} s"
    if (advice := _ADVICE.get(status)) is not None:
        text += f"; {advice}"
    in_message = re.search(_REQUEST_ID, message or "")
    return APIStatusError.class_for(status)(
        text,
        status=reply.status,
        type=type_,
        code=code,
        message=message,
        request_id=reply.request_id or (in_message[1] if in_message else None),
        retry_after=retry_after,
        task_id=task_id,
    )
