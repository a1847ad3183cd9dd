"""Outcomes: the status of each error, the task, and `result()`."""

from __future__ import annotations

import pickle
import re
import typing

import pytest

from foxapi_async import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    FoxAPIError,
    InvalidRequestError,
    InvalidResponseError,
    Outcome,
    PhotaImage,
    RateLimitError,
    SessionClosedError,
    SubmissionUnknownError,
    Task,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
    UnprocessableEntityError,
)
from foxapi_async.outcome import OutcomeStatus, status_of

REQUEST = PhotaImage("a fox")
TASK = Task("task-1")

BY_STATUS: dict[str, list[FoxAPIError]] = {
    "failed": [
        TaskFailedError("failed", task_id="task-1", task=TASK),
        TaskCancelledError("cancelled", task_id="task-1", task=TASK),
    ],
    "unfinished": [
        TaskTimeoutError("late", task_id="task-1"),
        AuthenticationError("no", status=401, task_id="task-1"),
        InvalidResponseError("empty", task_id="task-1"),
        SessionClosedError("closed", task_id="task-1"),
    ],
    "rejected": [
        AuthenticationError("no", status=401),
        UnprocessableEntityError("no", status=422),
        RateLimitError("no", status=429),
        APIStatusError.class_for(503)("no channel", status=503),
    ],
    "unknown": [SubmissionUnknownError("who knows", request=REQUEST)],
    "not_submitted": [
        APIConnectionError("refused", sent=False),
        InvalidRequestError("too heavy"),
        BudgetExceededError("enough", total=1, used=1, requested=1),
        SessionClosedError("closed"),
        ConfigurationError("no"),
    ],
}


def test_every_status_but_completed_belongs_to_an_error():
    assert {*BY_STATUS, "completed"} == set(typing.get_args(OutcomeStatus))


def test_every_status_is_described():
    assert Outcome.__doc__ is not None
    for status in typing.get_args(OutcomeStatus):
        assert re.search(rf"^ *{status} ", Outcome.__doc__, re.MULTILINE)


@pytest.mark.parametrize(
    ("error", "status"),
    [(error, status) for status, errors in BY_STATUS.items() for error in errors],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_gives_the_status_of_its_request(error, status):
    assert status_of(error) == status
    outcome = Outcome.of_error(REQUEST, "k-1", 7, error, None)
    assert (outcome.request, outcome.key, outcome.index) == (REQUEST, "k-1", 7)
    assert (outcome.status, outcome.error) == (status, error)
    assert outcome.task_id == error.task_id


def test_the_task_is_the_last_known_one():
    error = TaskTimeoutError("late", task_id="task-1", task=TASK)
    assert Outcome.of_error(REQUEST, None, 0, error, None).task is TASK
    later = Task("task-1", progress=50)
    assert Outcome.of_error(REQUEST, None, 0, error, later).task is later


def test_the_task_id_comes_from_the_task_or_the_error():
    assert Outcome(REQUEST, None, 0, "completed", TASK).task_id == "task-1"
    assert Outcome(REQUEST, None, 0, "not_submitted").task_id is None
    error = TaskTimeoutError("late", task_id="task-2")
    assert Outcome(REQUEST, None, 0, "unfinished", None, error).task_id == "task-2"


def test_the_result_of_a_completed_outcome_is_its_task():
    assert Outcome(REQUEST, None, 0, "completed", TASK).result() is TASK


@pytest.mark.parametrize("status", BY_STATUS)
def test_the_result_of_any_other_outcome_raises_a_copy_of_its_error(status):
    error = BY_STATUS[status][0]
    error.__cause__ = TimeoutError("no answer")
    outcome = Outcome.of_error(REQUEST, None, 0, error, TASK)
    copies = []
    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            outcome.result()
        copies.append(raised.value)
        assert str(raised.value) == str(error)
        assert raised.value.__cause__ is error.__cause__
    assert len({id(each) for each in (error, *copies)}) == 3
    assert error.__traceback__ is None


def test_the_result_of_an_outcome_without_task_and_error_raises():
    with pytest.raises(FoxAPIError, match="request 3 has no result: its outcome is unknown"):
        Outcome(REQUEST, None, 3, "unknown").result()


def test_an_outcome_pickles():
    outcome = Outcome(REQUEST, "k-1", 3, "completed", TASK)
    assert pickle.loads(pickle.dumps(outcome)) == outcome
