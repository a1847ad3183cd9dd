"""What an activity decides without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import GenerationRequest, InvalidRequestError, PhotaImage, errors
from foxapi_async.temporal import Generation
from foxapi_async.temporal.decisions import is_retried, result_of_error
from foxapi_async.temporal.result_files import ResultFiles


def disk_full() -> errors.DownloadError:
    error = errors.DownloadError("the disk is full", task_id="task-1")
    error.__cause__ = OSError(28, "No space left on device")
    return error


LISTED = {
    "unknown": errors.SubmissionUnknownError("?", request=None, key="k"),
    "rejected": errors.BadRequestError("no", status=400),
    "not_submitted": errors.BudgetExceededError("used up", total=1, used=1, requested=1),
    "failed": errors.TaskFailedError("failed", task_id="task-1"),
    "unfinished": errors.TaskTimeoutError("late", task_id="task-1"),
    "unsaved": errors.OutputExpiredError("expired", task_id="task-1"),
}
PASSING = [
    errors.RateLimitError("slow down", status=429),
    errors.APIConnectionError("refused", sent=False),
    errors.ConfigurationError("the journal cannot be written"),
    errors.SessionClosedError("closed", task_id="task-1"),
    disk_full(),
]


@pytest.mark.parametrize("status", LISTED)
def test_what_cannot_end_otherwise_is_listed(status):
    error = LISTED[status]
    assert not is_retried(error, attempt=1)
    result = result_of_error("k", error)
    assert (result.status, result.task_id) == (status, error.task_id)


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_an_outage_is_tried_again_without_an_end(error):
    assert is_retried(error, attempt=1)
    assert is_retried(error, attempt=1000)


def test_files_that_the_server_does_not_give_are_asked_for_a_few_times():
    error = errors.DownloadError("404", task_id="task-1")
    assert is_retried(error, attempt=1)
    assert not is_retried(error, attempt=5)
    assert result_of_error("k", error).status == "unsaved"


def test_a_refusal_of_the_key_ends_the_run():
    error = errors.InsufficientQuotaError("used up", status=402)
    error.ends_run = True
    assert result_of_error("k", error).ends_run


def test_the_text_of_an_error_is_bounded():
    error = result_of_error("k", errors.BadRequestError("x" * 10_000, status=400)).error
    assert error is not None
    assert len(error) == 500


@given(st.text(max_size=30), st.integers(1, 4))
def test_a_generation_is_the_request(prompt, number):
    try:
        request = PhotaImage(prompt, num_outputs=number)
    except InvalidRequestError:
        return
    again = Generation.of(request, "k").request
    assert (again.path, again.kind, again.payload()) == (
        request.path,
        request.kind,
        request.payload(),
    )


def test_a_generation_keeps_kind_and_path():
    request = GenerationRequest("m", {"text": "a"}, "audio")
    again = Generation.of(request, "k").request
    assert again == request


@pytest.mark.parametrize(
    ("own", "wanted", "expected"),
    [
        ("/data", None, "/data"),
        (None, None, None),
        ("/data", "foxes", "/data/foxes"),
        ("/data", "/other", "/other"),
        (None, "/other", "/other"),
        (None, "s3://bucket/foxes", "s3://bucket/foxes"),
    ],
)
def test_where_files_go(own, wanted, expected):
    files = ResultFiles(None, None, None if own is None else Path(own))  # type: ignore[arg-type]
    found = files.directory_for(wanted)
    assert (found and str(found)) == expected


@pytest.mark.parametrize("wanted", ["foxes", "ftp://host/foxes", "s3:///foxes"])
def test_a_directory_that_cannot_be_is_refused_before_anything_is_paid_for(wanted):
    with pytest.raises(InvalidRequestError):
        ResultFiles(None, None, None).directory_for(wanted)  # type: ignore[arg-type]
