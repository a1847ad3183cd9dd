"""The error tree: its shape, pickling, copies and texts."""

from __future__ import annotations

import copy
import pickle
import re
import threading
import traceback
from pathlib import Path

import pytest

import foxapi_async
from foxapi_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BudgetExceededError,
    ConfigurationError,
    DownloadError,
    FoxAPIError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    Output,
    PhotaImage,
    ServerError,
    SessionClosedError,
    SubmissionUnknownError,
    Task,
    TaskFailedError,
    TaskStatus,
    TaskTimeoutError,
    errors,
)
from foxapi_async.errors import Problem

TASK = Task("task-1", TaskStatus.FAILED, outputs=(Output(0, "https://cdn.example/1.png"),))
STATUS_FACTS = {
    "status": 418,
    "type": "invalid_request_error",
    "code": "no",
    "message": "no (request_id: r-1)",
    "request_id": "r-1",
    "retry_after": 2.5,
    "task_id": "task-1",
}
OUTCOME_FACTS = {"task_id": "task-1", "task": TASK}
FACTS: dict[type[FoxAPIError], dict[str, object]] = {
    FoxAPIError: {"task_id": "task-1"},
    InvalidRequestError: {"field": "num_outputs", "value": 0},
    BudgetExceededError: {"total": 10, "used": 9, "requested": 2},
    APIConnectionError: {"sent": False, "task_id": "task-1"},
    InvalidResponseError: {"status": 200, "excerpt": "<html>", "task_id": "task-1"},
    SubmissionUnknownError: {"request": PhotaImage("a fox"), "key": "k-1"},
    ConfigurationError: {},
    errors.JobFileError: {"problems": (Problem(7, "prompt", "it is missing"),), "more": 2},
    SessionClosedError: {"task_id": "task-1"},
    DownloadError: {"task_id": "task-1", "paths": (Path("fox-0.png"),)},
    APIStatusError: STATUS_FACTS,
    errors.TaskOutcomeError: OUTCOME_FACTS,
}


def family(error: type[FoxAPIError] = FoxAPIError) -> list[type[FoxAPIError]]:
    """Return a class and all below it, as this package defines them."""
    below = [cls for cls in error.__subclasses__() if cls.__module__ == errors.__name__]
    return [error, *(cls for child in below for cls in family(child))]


def build(cls: type[FoxAPIError], text: str = "it went wrong", **changes: object) -> FoxAPIError:
    facts = next(FACTS[parent] for parent in cls.__mro__ if parent in FACTS)
    return cls(text, **{**facts, **changes})  # type: ignore[arg-type]


def state(error: BaseException) -> tuple[object, ...]:
    return type(error), str(error), error.args, vars(error)


def raise_while_handling(first: Exception, second: Exception) -> None:
    try:
        raise first
    except type(first):
        raise second  # noqa: B904 - the test is about the context


every_class = pytest.mark.parametrize("cls", family(), ids=lambda cls: cls.__name__)


def test_the_tree_in_the_docstring_is_the_class_tree():
    def draw(cls: type[FoxAPIError], indent: str = "") -> list[str]:
        lines = []
        children = [child for child in cls.__subclasses__() if child.__module__ == errors.__name__]
        for child in children:
            last = child is children[-1]
            lines.append(f"{indent}{'└── ' if last else '├── '}{child.__name__}")
            lines += draw(child, indent + ("    " if last else "│   "))
        return lines

    assert errors.__doc__ is not None
    assert "\n".join(["FoxAPIError", *draw(FoxAPIError)]) in errors.__doc__


def test_every_error_is_public():
    names = {cls.__name__ for cls in family()}
    shown = {name: getattr(foxapi_async, name) for name in foxapi_async.__all__}
    assert names == {name for name, value in shown.items() if value in family()}


def test_only_invalid_requests_are_value_errors():
    assert [cls for cls in family() if issubclass(cls, ValueError)] == [
        InvalidRequestError,
        errors.JobFileError,
    ]


def test_each_documented_status_has_its_class():
    documented = {
        cls: int(cls.__doc__[:3])
        for cls in family(APIStatusError)
        if re.match(r"\d{3}[:,]", cls.__doc__ or "")
    }
    assert len(documented) == 8
    for cls, status in documented.items():
        assert APIStatusError.class_for(status) is cls


@pytest.mark.parametrize(
    ("status", "cls"),
    [(500, ServerError), (503, ServerError), (526, ServerError), (599, ServerError)]
    + [(status, APIStatusError) for status in (100, 302, 405, 408, 409, 418, 499, 600, 999)],
)
def test_other_statuses_give_server_error_from_500_and_api_status_error_below(status, cls):
    assert APIStatusError.class_for(status) is cls


@every_class
def test_every_error_pickles_with_its_attributes_notes_and_cause(cls):
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):
        error = build(cls)
        error.__cause__ = TimeoutError("no answer")
        error.add_note("line 7")
        again = pickle.loads(pickle.dumps(error, protocol))
        assert state(again) == state(error)
        assert (type(again.__cause__), again.__cause__.args) == (TimeoutError, ("no answer",))


@every_class
def test_every_error_pickles_with_a_cause_that_does_not_pickle(cls):
    class LocalError(Exception):
        pass

    error = build(cls)
    error.__cause__ = LocalError("reset by peer")
    again = pickle.loads(pickle.dumps(error))
    assert state(again) == state(error)
    assert type(again.__cause__) is FoxAPIError
    assert str(again.__cause__) == "LocalError: reset by peer"


@every_class
def test_every_error_pickles_with_values_that_do_not_pickle(cls):
    lock = threading.Lock()
    for name in vars(build(cls)):
        error = build(cls, **{name: lock})
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == "it went wrong"
        assert vars(again)[name] == repr(lock)


def test_an_error_pickles_with_values_that_have_no_repr_either():
    class MuteError(Exception):
        def __repr__(self) -> str:
            raise RuntimeError("no words")

        __str__ = __repr__

    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    error = TaskFailedError(
        "failed", task_id="task-1", task=Task("task-1", outputs=(Output(0, data={"a": nested}),))
    )
    error.__cause__ = MuteError()
    again = pickle.loads(pickle.dumps(error))
    assert again.task_id == "task-1"
    assert "Task object at" in again.task
    assert "MuteError object at" in str(again.__cause__)


def test_a_chain_of_errors_pickles_to_its_end():
    cause = APITimeoutError("no answer within 60 s", sent=True)
    cause.__cause__ = OSError(104, "reset")
    error = SubmissionUnknownError("unknown", request=PhotaImage("a fox"), key=None)
    error.__cause__ = cause
    again = pickle.loads(pickle.dumps(error))
    assert again.request == PhotaImage("a fox")
    assert state(again.__cause__) == state(cause)
    assert isinstance(again.__cause__.__cause__, OSError)


def chained(depth: int) -> FoxAPIError:
    error: FoxAPIError | None = None
    for number in range(depth):
        cause, error = error, FoxAPIError(f"level {number}", task_id="task-1")
        error.__cause__ = cause
    assert error is not None
    return error


def test_pickling_a_chain_of_causes_takes_linear_time():
    class Counted:
        dumped = 0

        def __reduce__(self) -> tuple[type[int], tuple[int]]:
            Counted.dumped += 1
            return int, (7,)

    error = chained(12)
    deepest = error
    while isinstance(deepest.__cause__, FoxAPIError):
        deepest = deepest.__cause__
    vars(deepest)["value"] = Counted()
    again: BaseException | None = pickle.loads(pickle.dumps(error))
    texts = []
    while again is not None:
        texts.append(str(again))
        again = again.__cause__
    assert texts == [f"level {number}" for number in reversed(range(12))]
    assert Counted.dumped == 2  # once to see whether it pickles, and once for good


def test_a_cycle_of_causes_is_cut_where_it_closes():
    first, second = FoxAPIError("first"), FoxAPIError("second")
    first.__cause__, second.__cause__ = second, first
    again = pickle.loads(pickle.dumps(first))
    assert [str(again), str(again.__cause__), again.__cause__.__cause__] == [
        "first",
        "second",
        None,
    ]


def test_a_cause_of_a_class_that_does_not_pickle_keeps_its_own_cause():
    class LocalError(FoxAPIError):
        pass

    error, local = FoxAPIError("no"), LocalError("local")
    error.__cause__, local.__cause__ = local, TimeoutError("no answer")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again.__cause__), str(again.__cause__)) == (FoxAPIError, "LocalError: local")
    assert isinstance(again.__cause__.__cause__, TimeoutError)


@every_class
@pytest.mark.parametrize("double", [copy.copy, lambda error: error.again()], ids=["copy", "again"])
def test_a_copy_is_equal_and_has_no_traceback(cls, double):
    cause = TimeoutError("no answer")
    error = build(cls)
    try:
        raise error from cause
    except FoxAPIError as raised:
        second = double(raised)
    assert second is not error
    assert state(second) == state(error)
    assert second.__cause__ is cause
    assert second.__traceback__ is None
    assert error.__traceback__ is not None


def test_a_copy_shares_values_that_do_not_pickle():
    lock = threading.Lock()
    error = InvalidRequestError("no", field="params", value=lock)
    assert copy.copy(error).value is lock
    assert error.again().value is lock


def test_a_copy_without_a_cause_still_shows_its_context():
    with pytest.raises(FoxAPIError) as raised:
        raise_while_handling(KeyError("outer"), FoxAPIError("no").again())
    assert "KeyError: 'outer'" in "".join(traceback.format_exception(raised.value))


@every_class
def test_str_and_repr_of_an_error_show_its_text(cls):
    error = build(cls, "task task-1 failed; submit it again")
    assert str(error) == "task task-1 failed; submit it again"
    assert repr(error) == f"{cls.__name__}('task task-1 failed; submit it again')"


def test_task_id_is_set_once_it_is_known():
    assert FoxAPIError("no").task_id is None
    assert build(BudgetExceededError).task_id is None
    assert build(NotFoundError).task_id == "task-1"
    assert TaskTimeoutError("late", task_id="task-2").task_id == "task-2"
    assert TaskTimeoutError("late", task_id="task-2").task is None


def test_a_connection_error_counts_as_sent_by_default():
    assert APIConnectionError("reset").sent is True
