"""When a job stops, and when it does not."""

from __future__ import annotations

import pytest

from foxapi_async import (
    APIConnectionError,
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    DownloadError,
    FoxAPIError,
    InsufficientQuotaError,
    InvalidRequestError,
    OutputExpiredError,
    SubmissionUnknownError,
    TaskTimeoutError,
    UnprocessableEntityError,
)
from foxapi_async.bulk.brake import IN_A_ROW, Brake

AWAY = APIConnectionError("refused", sent=False)
UNKNOWN = SubmissionUnknownError("cut off", request=None)


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("no", status=401),
        InsufficientQuotaError("no", status=402),
        BudgetExceededError("no", total=1, used=1, requested=1),
        ConfigurationError("the journal is full"),
    ],
)
def test_what_would_end_every_submission_stops_at_once(error: FoxAPIError):
    assert Brake().after("rejected", error) is error


def test_a_poison_line_costs_only_itself():
    brake = Brake()
    for _ in range(10 * IN_A_ROW):
        assert brake.after("rejected", UnprocessableEntityError("no", status=422)) is None
        assert brake.after("not_submitted", InvalidRequestError("too heavy")) is None
        assert brake.after("failed", FoxAPIError("no")) is None


@pytest.mark.parametrize(("status", "error"), [("not_submitted", AWAY), ("unknown", UNKNOWN)])
def test_an_outage_stops_the_job_before_it_eats_the_file(status, error):
    brake = Brake()
    for _ in range(IN_A_ROW - 1):
        assert brake.after(status, error) is None
    why = brake.after(status, error)
    assert why is not None
    assert why.__cause__ is error
    assert str(error) in str(why)


def test_one_success_shows_that_it_is_no_outage():
    brake = Brake()
    for number in range(20 * IN_A_ROW):
        success = number % (IN_A_ROW - 1) == 0
        assert (
            brake.after("completed" if success else "unknown", None if success else UNKNOWN) is None
        )


def test_a_disk_that_takes_nothing_stops_the_job_and_an_expired_link_does_not():
    full = DownloadError("cannot write")
    full.__cause__ = OSError(28, "No space left on device")
    expired = OutputExpiredError("expired")
    expired.__cause__ = OSError(5, "?")
    assert Brake().after_saving(full) is full
    assert Brake().after_saving(expired) is None
    assert Brake().after_saving(DownloadError("cut short")) is None


LATE = TaskTimeoutError("too late", task_id="t")
GONE = OutputExpiredError("the link is gone")


@pytest.mark.parametrize("in_vain", ["wait", "files"])
def test_paying_for_what_does_not_come_home_has_an_end(in_vain: str):
    brake = Brake()

    def once() -> FoxAPIError | None:
        if in_vain == "wait":
            return brake.after("unfinished", LATE)
        assert brake.after("completed", None) is None
        return brake.after_saving(GONE)

    for _ in range(IN_A_ROW - 1):
        assert once() is None
    assert brake.after_saving(None) is None  # one came home
    for _ in range(IN_A_ROW - 1):
        assert once() is None
    assert "did not come home" in str(once())
