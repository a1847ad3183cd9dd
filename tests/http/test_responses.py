"""HTTP replies to answers: a value, or an error with all that the server said."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxapi_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InsufficientQuotaError,
    InvalidResponseError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    UnprocessableEntityError,
)
from foxapi_async.http.codec import read_task, read_upload
from foxapi_async.http.responses import Answer, Reply, classify, from_exception
from foxapi_async.http.retry_rules import ResponseClass

WHAT = "POST /v1/images/generations (phota-image)"


def answer(status: int, body: object = b"", **facts: str) -> Answer[object]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(Reply(status, raw, **facts), read_task, WHAT, task_id="task-1")


def status_error(status: int, body: object = b"", **facts: str) -> APIStatusError:
    error = answer(status, body, **facts).error
    assert isinstance(error, APIStatusError)
    return error


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299])
def test_any_2xx_with_a_task_is_accepted(status):
    accepted = answer(status, {"id": "task-1"})
    assert accepted.response_class is ResponseClass.OK
    assert accepted.value.id == "task-1"
    assert (accepted.error, accepted.status, accepted.rate_limited) == (None, status, False)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the answer is not JSON"),
        (b"<html>portal</html>", "the answer is not JSON"),
        (b'{"id": "task-1"', "the answer is not JSON"),
        (b"\xff\xfe\xfd", "the answer is not JSON"),
        (b"[" * 100_000, "the answer is not JSON"),
        ([], "a JSON list, not a task"),
        (None, "a JSON NoneType, not a task"),
        ({}, "no usable task id: None"),
        ({"id": ""}, "no usable task id: ''"),
    ],
    ids=str,
)
def test_a_2xx_without_a_task_is_unusable_and_its_error_quotes_the_beginning(body, why):
    unusable = answer(200, body)
    error = unusable.error
    assert unusable.response_class is ResponseClass.UNUSABLE
    assert unusable.value is None
    assert isinstance(error, InvalidResponseError)
    assert str(error).startswith(f"{WHAT}: ")
    assert why in str(error)
    assert "HTTP 200" in str(error)
    assert "check base_url" in str(error)
    assert (error.status, error.task_id) == (200, "task-1")
    assert error.excerpt is not None
    assert repr(error.excerpt) in str(error)
    assert len(str(error)) < 600


ENVELOPE = {
    "error": {
        "message": "num_outputs is not valid (request_id: 20261009-ab12)",
        "type": "invalid_request_error",
        "code": "invalid_param",
    }
}


@pytest.mark.parametrize(
    ("status", "cls", "advice"),
    [
        (400, BadRequestError, ""),
        (401, AuthenticationError, "; check the API key"),
        (
            402,
            InsufficientQuotaError,
            "; the balance is used up: top it up, then send the request again",
        ),
        (
            403,
            PermissionDeniedError,
            "; the key lacks the permission, or the CDN rejected the client",
        ),
        (404, NotFoundError, ""),
        (413, PayloadTooLargeError, "; the request body is too large: send less"),
        (422, UnprocessableEntityError, ""),
        (429, RateLimitError, "; too many requests: slow down"),
        (500, ServerError, ""),
        (503, ServerError, ""),
        (302, APIStatusError, "; base_url does not lead to the API: check it"),
        (303, APIStatusError, "; base_url does not lead to the API: check it"),
        (418, APIStatusError, ""),
    ],
)
def test_an_error_status_becomes_an_error_with_the_fields_of_the_answer(status, cls, advice):
    error = status_error(status, ENVELOPE)
    assert type(error) is cls
    assert (error.status, error.type, error.code) == (
        status,
        "invalid_request_error",
        "invalid_param",
    )
    assert error.message == "num_outputs is not valid (request_id: 20261009-ab12)"
    assert (error.request_id, error.retry_after, error.task_id) == ("20261009-ab12", None, "task-1")
    assert str(error) == (
        f"{WHAT}: HTTP {status} (invalid_param: num_outputs is not valid "
        f"(request_id: 20261009-ab12)){advice}"
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ""),
        (b"error code: 1010", " (error code: 1010)"),
        (b"<html>\n<h1>Too large</h1>", " (an HTML page: Too large)"),
        ({"error": "no"}, " (no)"),
        (
            {"error": {"type": "server_error"}},
            ' (server_error: {"error": {"type": "server_error"}})',
        ),
        ({"error": {"code": "c", "message": "m", "type": "t"}}, " (c: m)"),
        ({"error": {"code": 17, "message": "m"}}, " (17: m)"),
        ({"error": {"message": "two\nlines\x1b[0m\ud800"}}, " (two lines [0m)"),
        ({"error": None}, ' ({"error": null})'),
        (
            {"error": {"code": True, "message": ["m"]}},
            ' ({"error": {"code": true, "message": ["m"]}})',
        ),
        ([], " ([])"),
    ],
)
def test_the_text_of_an_error_quotes_the_answer(body, words):
    assert str(status_error(500, body)) == f"{WHAT}: HTTP 500{words}"


def test_a_long_message_is_cut_in_the_text_and_kept_in_the_attribute():
    error = status_error(422, {"error": {"message": "x" * 100_000}})
    assert len(str(error)) < 1000
    assert error.message == "x" * 100_000


@pytest.mark.parametrize(
    ("message", "header", "request_id"),
    [
        ("no", None, None),
        ("no (request_id: a-1)", None, "a-1"),
        ("no (request_id:a_1)", None, "a_1"),
        ("no (request_id: a-1)", "h-1", "h-1"),
        ("no", "h-1", "h-1"),
    ],
)
def test_a_request_id_comes_from_the_header_or_the_message(message, header, request_id):
    error = status_error(500, {"error": {"message": message}}, request_id=header)
    assert error.request_id == request_id


def test_retry_after_is_in_the_answer_and_in_the_error():
    asked = answer(429, ENVELOPE, retry_after="7")
    assert (asked.response_class, asked.retry_after, asked.rate_limited) == (
        ResponseClass.RATE_LIMITED,
        7.0,
        True,
    )
    assert asked.error.retry_after == 7.0
    assert "; the server asks to wait 7 s; " in str(asked.error)


def test_a_retry_after_date_is_relative_to_the_date_header():
    asked = answer(
        503,
        retry_after="Fri, 09 Oct 2026 08:00:30 GMT",
        date="Fri, 09 Oct 2026 08:00:00 GMT",
    )
    assert asked.retry_after == 30.0
    assert not asked.rate_limited


@pytest.mark.parametrize("nonsense", ["soon", "-1", "nan", "1e400", "9" * 400, ""])
def test_an_invalid_retry_after_is_ignored(nonsense):
    asked = answer(429, ENVELOPE, retry_after=nonsense)
    assert (asked.retry_after, asked.error.retry_after) == (None, None)


def test_a_429_in_any_format_is_rate_limited():
    assert answer(429, b"slow down").rate_limited
    assert answer(429, b"slow down").response_class is ResponseClass.RATE_LIMITED
    assert answer(429, b"").response_class is ResponseClass.RATE_LIMITED


@pytest.mark.parametrize("status", [402, 429])
def test_a_429_because_of_the_quota_counts_as_402(status):
    body = b'{"error": {"code": "insufficient_user_quota", "message": "nothing left"}}'
    refused = classify(Reply(status, body, retry_after="5"), read_task, WHAT)
    assert type(refused.error) is InsufficientQuotaError
    assert (refused.error.status, refused.error.code) == (status, "insufficient_user_quota")
    assert refused.response_class is ResponseClass.REFUSED
    assert not refused.rate_limited
    assert "top it up" in str(refused.error)


@pytest.mark.parametrize(
    "body",
    [b"busy: task-unified-1760000000-k3v9x2ab waits", b'{"error": {}, "data": {"task_id": "t-1"}}'],
)
def test_a_429_that_names_a_task_is_unclear(body):
    assert classify(Reply(429, body), read_task, WHAT).response_class is ResponseClass.UNCLEAR


@pytest.mark.parametrize("status", [200, 500])
def test_what_the_server_said_to_a_post_is_kept(status):
    body = b"caf\xe9 \xf0\x9f\xa6\x8a " + b"x" * 100_000
    unclear = classify(Reply(status, body), read_task, WHAT)
    assert unclear.response is not None
    assert unclear.response.startswith("caf\ufffd \U0001f98a xx")
    assert 16_000 < len(unclear.response.encode()) <= 16 * 1024
    assert classify(Reply(status, body), read_task, WHAT, task_id="task-1").response is None


def test_the_address_of_a_redirection_is_kept():
    moved = classify(Reply(302, b"", location="/v1/tasks/task-9"), read_task, WHAT)
    assert moved.response == "Location: /v1/tasks/task-9\n\n"


def test_one_invalid_byte_does_not_cost_the_task():
    body = b'{"id": "task-1", "model": "caf\xe9"}'
    assert classify(Reply(200, body), read_task, WHAT).value.model == "caf\ufffd"


replies = st.builds(
    Reply,
    st.integers(100, 999),
    st.binary(max_size=200) | st.text().map(str.encode),
    st.none() | st.text(),
    st.none() | st.text(),
    st.none() | st.text(),
)


@given(replies, st.sampled_from([read_task, read_upload]))
@example(Reply(200, b"[" * 100_000), read_task)
@example(Reply(429, b'{"error":' * 100_000), read_task)
@example(Reply(200, b'{"id": "a", "created": ' + b"9" * 5000 + b"}"), read_task)
@example(Reply(500, b'{"error": {"message": "\\ud800"}}', *["\ud800"] * 3), read_task)
@example(Reply(500, b'{"error": {"code": NaN, "message": 1e999}}', "1e999"), read_upload)
def test_any_reply_gives_an_answer(reply, read):
    meant = classify(reply, read, WHAT)
    assert (meant.value is None) is (meant.error is not None)
    assert (meant.response_class is ResponseClass.OK) is (meant.error is None)
    assert meant.status == reply.status
    if meant.error is not None:
        assert str(meant.error).isprintable()
    assert meant.retry_after is None or 0 <= meant.retry_after <= 3600


@pytest.mark.parametrize(
    ("error", "response_class"),
    [
        (APIConnectionError("refused", sent=False), ResponseClass.NOT_SENT),
        (APITimeoutError("no connection", sent=False), ResponseClass.NOT_SENT),
        (APIConnectionError("reset", sent=True), ResponseClass.CUT_OFF),
        (APITimeoutError("no answer"), ResponseClass.CUT_OFF),
        (InvalidResponseError("too large"), ResponseClass.CUT_OFF),
    ],
)
def test_a_request_without_a_reply_counts_as_sent_unless_it_certainly_was_not(
    error, response_class
):
    failed = from_exception(error)
    assert (failed.response_class, failed.error, failed.value) == (response_class, error, None)
    assert not failed.rate_limited
