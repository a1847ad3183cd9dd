"""The table of exit codes."""

from __future__ import annotations

from itertools import permutations

import pytest

from foxapi_async import errors
from foxapi_async.cli.exit_codes import (
    MEANINGS,
    ExitCode,
    exit_code_for,
    exit_code_for_outcome,
    most_severe,
)
from foxapi_async.errors import (
    AuthenticationError,
    BudgetExceededError,
    DownloadError,
    FoxAPIError,
    InvalidResponseError,
    NotFoundError,
    RateLimitError,
    SubmissionUnknownError,
    TaskFailedError,
    TaskTimeoutError,
    UnprocessableEntityError,
)

EXPECTED = {
    errors.InvalidRequestError: 2,
    errors.ConfigurationError: 3,
    errors.SessionClosedError: 7,
    BudgetExceededError: 4,
    errors.APIStatusError: 5,
    errors.BadRequestError: 2,
    AuthenticationError: 3,
    errors.InsufficientQuotaError: 4,
    errors.PermissionDeniedError: 3,
    NotFoundError: 2,
    errors.PayloadTooLargeError: 2,
    UnprocessableEntityError: 2,
    RateLimitError: 5,
    errors.ServerError: 5,
    errors.APIConnectionError: 5,
    errors.APITimeoutError: 5,
    InvalidResponseError: 5,
    SubmissionUnknownError: 6,
    errors.TaskOutcomeError: 1,
    TaskFailedError: 1,
    errors.TaskCancelledError: 1,
    TaskTimeoutError: 7,
    DownloadError: 8,
    errors.OutputExpiredError: 8,
}


def test_every_error_of_the_package_or_its_base_has_an_exit_code():
    for cls in _all_below(FoxAPIError):
        assert any(each in EXPECTED for each in cls.__mro__), cls


@pytest.mark.parametrize(("cls", "code"), EXPECTED.items())
def test_an_error_has_its_exit_code(cls, code):
    assert exit_code_for(cls.__new__(cls, "x")) == code


def test_every_code_has_a_meaning_and_a_severity():
    assert set(MEANINGS) == set(ExitCode)
    assert all(most_severe([code, ExitCode.OK]) is code for code in ExitCode)


def test_the_most_severe_code_wins_in_any_order():
    for codes in permutations(
        [ExitCode.TASK_FAILED, ExitCode.UNKNOWN, ExitCode.CONFIGURATION, ExitCode.OK]
    ):
        assert most_severe(codes) is ExitCode.UNKNOWN
    assert most_severe([]) is ExitCode.OK


def test_an_unfinished_task_is_unfinished_whatever_ended_the_wait():
    gone = NotFoundError("x", status=404, task_id="t")
    refused = AuthenticationError("x", status=401, task_id="t")
    assert exit_code_for_outcome("unfinished", gone) is ExitCode.UNFINISHED
    assert exit_code_for_outcome("unfinished", refused) is ExitCode.CONFIGURATION
    assert exit_code_for_outcome("rejected", gone) is ExitCode.USAGE
    assert exit_code_for_outcome("completed", None) is ExitCode.OK
    assert exit_code_for_outcome("completed", DownloadError("x")) is ExitCode.DOWNLOAD


def _all_below(cls: type[FoxAPIError]) -> list[type[FoxAPIError]]:
    below = [each for each in cls.__subclasses__() if each.__module__ == errors.__name__]
    return below + [each for one in below for each in _all_below(one)]
