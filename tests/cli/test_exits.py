"""The table of exit codes, walked."""

from __future__ import annotations

from itertools import permutations

import pytest

from foxapi_async import errors
from foxapi_async.cli.exits import MEANINGS, Exit, exit_for, exit_for_outcome, gravest
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


def test_every_error_of_the_package_is_or_specialises_one_with_an_exit_code():
    for cls in _all_below(FoxAPIError):
        assert any(each in EXPECTED for each in cls.__mro__), cls


@pytest.mark.parametrize(("cls", "code"), EXPECTED.items())
def test_an_error_ends_a_command_with_its_code(cls, code):
    assert exit_for(cls.__new__(cls, "x")) == code


def test_every_code_is_explained_and_has_its_gravity():
    assert set(MEANINGS) == set(Exit)
    assert all(gravest([code, Exit.OK]) is code for code in Exit)


def test_the_order_does_not_matter_and_money_counts_first():
    for codes in permutations([Exit.TASK_FAILED, Exit.UNKNOWN, Exit.KEY, Exit.OK]):
        assert gravest(codes) is Exit.UNKNOWN
    assert gravest([]) is Exit.OK


def test_what_is_paid_for_and_not_brought_home_counts_as_that():
    gone = NotFoundError("x", status=404, task_id="t")
    refused = AuthenticationError("x", status=401, task_id="t")
    assert exit_for_outcome("unfinished", gone) is Exit.UNFINISHED
    assert exit_for_outcome("unfinished", refused) is Exit.KEY
    assert exit_for_outcome("rejected", gone) is Exit.USAGE
    assert exit_for_outcome("completed", None) is Exit.OK
    assert exit_for_outcome("completed", DownloadError("x")) is Exit.DOWNLOAD


def _all_below(cls: type[FoxAPIError]) -> list[type[FoxAPIError]]:
    below = [each for each in cls.__subclasses__() if each.__module__ == errors.__name__]
    return below + [each for one in below for each in _all_below(one)]
