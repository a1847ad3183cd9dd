"""When a job stops, and when it does not."""

from __future__ import annotations

import pytest

from foxapi_async import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    DownloadError,
    FoxAPIError,
    InvalidRequestError,
    OutputExpiredError,
    TaskTimeoutError,
    UnprocessableEntityError,
)
from foxapi_async.bulk.failure_streak import LONGEST_STREAK, FailureStreak


@pytest.mark.parametrize(
    "error",
    [
        BudgetExceededError("no", total=1, used=1, requested=1),
        ConfigurationError("the journal is full"),
    ],
)
def test_a_fatal_error_stops_the_job_at_once(error: FoxAPIError):
    assert FailureStreak().add_outcome("rejected", error) is error


def test_errors_of_single_requests_do_not_stop_the_job():
    streak = FailureStreak()
    for _ in range(10 * LONGEST_STREAK):
        assert streak.add_outcome("rejected", UnprocessableEntityError("no", status=422)) is None
        assert streak.add_outcome("not_submitted", InvalidRequestError("too heavy")) is None
        assert streak.add_outcome("failed", FoxAPIError("no")) is None
        assert streak.add_outcome("rejected", AuthenticationError("no", status=401)) is None


def test_a_disk_error_stops_the_job_and_an_expired_link_does_not():
    full = DownloadError("cannot write")
    full.__cause__ = OSError(28, "No space left on device")
    expired = OutputExpiredError("expired")
    expired.__cause__ = OSError(5, "?")
    assert FailureStreak().add_saving(full) is full
    assert FailureStreak().add_saving(expired) is None
    assert FailureStreak().add_saving(DownloadError("cut short")) is None


LATE = TaskTimeoutError("too late", task_id="t")
GONE = OutputExpiredError("the link is gone")


@pytest.mark.parametrize("in_vain", ["wait", "files"])
def test_consecutive_billed_tasks_without_files_stop_the_job(in_vain: str):
    streak = FailureStreak()

    def once() -> FoxAPIError | None:
        if in_vain == "wait":
            return streak.add_outcome("unfinished", LATE)
        assert streak.add_outcome("completed", None) is None
        return streak.add_saving(GONE)

    for _ in range(LONGEST_STREAK - 1):
        assert once() is None
    assert streak.add_saving(None) is None  # one was retrieved
    for _ in range(LONGEST_STREAK - 1):
        assert once() is None
    assert "billed tasks that could not be retrieved" in str(once())
