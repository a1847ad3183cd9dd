"""What errors of stores mean; the texts are those of obstore 0.12."""

from __future__ import annotations

import pytest
from obstore import exceptions as obstore

from foxapi_async.files.store_errors import StoreAnswer, classify

SAID = "Error performing PUT https://store/b/k in 1ms - Server returned non-2xx status code: "
REFUSED, TRANSIENT, DENIED = StoreAnswer.REFUSED, StoreAnswer.TRANSIENT, StoreAnswer.DENIED


@pytest.mark.parametrize(
    ("error", "answer", "words"),
    [
        (obstore.AlreadyExistsError(f"{SAID}412 Precondition Failed: "), StoreAnswer.EXISTS, "412"),
        (FileNotFoundError(f"{SAID}404 Not Found: "), StoreAnswer.MISSING, "'b' does not exist"),
        (obstore.UnauthenticatedError(f"{SAID}401 Unauthorized: "), DENIED, "HTTP 401"),
        (obstore.PermissionDeniedError(f"{SAID}403 Forbidden: <p>"), DENIED, "HTTP 403"),
        (
            obstore.GenericError(f"{SAID}400 Bad: <Code>KeyTooLongError</Code>"),
            REFUSED,
            "KeyTooLong",
        ),
        (
            obstore.GenericError(f"{SAID}400 Bad: <Code>RequestTimeout</Code>"),
            TRANSIENT,
            "HTTP 400",
        ),
        (obstore.GenericError(f"{SAID}429 Too Many Requests: "), TRANSIENT, "HTTP 429"),
        (obstore.GenericError(f"{SAID}500 Internal Server Error: "), TRANSIENT, "HTTP 500"),
        (obstore.GenericError(f"{SAID}501 Not Implemented: "), REFUSED, "HTTP 501"),
        (obstore.GenericError("HTTP error: error sending request"), TRANSIENT, "cannot be reached"),
        (obstore.GenericError("HTTP error: builder error"), REFUSED, "AWS_ALLOW_HTTP"),
        (obstore.GenericError("an incorrectly configured region"), REFUSED, "AWS_REGION"),
        (ValueError("Could not parse path: a//b"), REFUSED, "name of an object"),
        (
            obstore.GenericError(f"{SAID}403: ".replace("https://store", "http://169.254.169.254")),
            DENIED,
            "no credentials for s3:// were found; set AWS_ACCESS_KEY_ID",
        ),
    ],
)
def test_an_error_of_a_store(error, answer, words):
    fault = classify(error, "s3", "b")
    assert fault.answer is answer
    assert words in fault.reason


def test_nothing_of_the_text_of_an_answer_is_repeated():
    body = "<Code>Denied</Code><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId>"
    text = f"{SAID}403 Forbidden: {body}\n\nDebug source:\nuri: https://store/b?sig=AKIASECRET"
    for kind in (obstore.PermissionDeniedError, obstore.GenericError):
        assert "AKIASECRET" not in classify(kind(text), "az", "b").reason
