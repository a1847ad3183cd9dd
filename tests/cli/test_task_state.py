"""The states of tasks, collected from events."""

from __future__ import annotations

from pathlib import Path

import attrs
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import Output, PhotaImage, Task, TaskInfo, TaskStatus
from foxapi_async.cli.task_state import TaskProgress, TaskState, TaskStates, progress_of
from foxapi_async.errors import (
    NotFoundError,
    SessionClosedError,
    SubmissionUnknownError,
    TaskFailedError,
)
from foxapi_async.events import (
    Downloaded,
    DownloadProgress,
    SubmissionFailed,
    SubmissionStarted,
    TaskEnded,
    TaskSubmitted,
    TaskUpdated,
)

FOX = PhotaImage("a fox")
PENDING = Task("t1", task_info=TaskInfo(estimated_time=10.0))
OUTPUT = Output(0, "https://cdn.example/0.png", task_id="t1")
COMPLETED = attrs.evolve(PENDING, status=TaskStatus.COMPLETED, progress=100, outputs=(OUTPUT,))


def test_a_task_is_unfinished_until_its_files_are_saved():
    states = TaskStates()
    states.update(SubmissionStarted(FOX, None))
    assert (states.submissions, states.unfinished_ids(saving=True)) == ((FOX,), ())
    states.update(TaskSubmitted(PENDING, FOX, None))
    assert (states.submissions, states.unfinished_ids(saving=True)) == ((), ("t1",))
    states.update(TaskEnded("t1", COMPLETED, None, FOX, 9.5))
    assert states.unfinished_ids(saving=False) == ()
    assert states.unfinished_ids(saving=True) == ("t1",)
    states.update(DownloadProgress(OUTPUT, 10, 20))
    states.update(Downloaded(OUTPUT, Path("0.png"), 20))
    assert states.unfinished_ids(saving=True) == ()
    assert states.by_id["t1"].downloading


def test_a_task_whose_wait_ended_is_unfinished_and_a_failed_one_is_not():
    states = TaskStates()
    states.update(TaskUpdated(PENDING, None))
    states.update(TaskEnded("t1", PENDING, SessionClosedError("x", task_id="t1"), None, 1.0))
    assert states.unfinished_ids(saving=True) == ("t1",)
    failed = TaskFailedError("x", task_id="t1", task=PENDING)
    states.update(TaskEnded("t1", PENDING, failed, None, 2.0))
    assert states.unfinished_ids(saving=True) == ()


def test_an_unknown_id_is_not_unfinished_unless_this_command_submitted_it():
    gone = NotFoundError("x", status=404, task_id="t1")
    for request, expected in ((None, ()), (FOX, ("t1",))):
        states = TaskStates()
        states.update(TaskEnded("t1", PENDING, gone, request, 10.0))
        assert states.unfinished_ids(saving=True) == expected


def test_a_failed_submission_is_removed_and_equal_requests_are_kept_apart():
    states = TaskStates()
    one, other = FOX.split()[0], PhotaImage("a fox")
    states.update(SubmissionStarted(one, None))
    states.update(SubmissionStarted(one, None))  # its second attempt
    states.update(SubmissionStarted(other, None))
    assert len(states.submissions) == 2
    states.update(SubmissionFailed(one, None, SubmissionUnknownError("x", request=one)))
    assert len(states.submissions) == 1


def test_files_of_other_tasks_are_ignored():
    states = TaskStates()
    states.update(Downloaded(Output(0, task_id="other"), Path("x"), 1))
    assert states.by_id == {}


def test_between_two_polls_the_progress_grows_but_never_to_the_end():
    track = TaskState(PENDING, FOX, started=100.0)
    assert progress_of(track, 105.0) == TaskProgress(0.5, estimated=True)
    assert progress_of(track, 1000.0) == TaskProgress(0.95, estimated=True)
    track.task = attrs.evolve(PENDING, progress=80)
    assert progress_of(track, 105.0) == TaskProgress(0.8)


def test_without_an_estimate_the_progress_comes_from_the_server():
    track = TaskState(Task("t1"), None, started=0.0)
    assert progress_of(track, 5.0) is None
    track.task = Task("t1", progress=30)
    assert progress_of(track, 5.0) == TaskProgress(0.3)


@given(
    st.one_of(st.none(), st.integers(0, 100)),
    st.one_of(st.none(), st.floats(-1, 1e12)),
    st.floats(0, 1e9),
    st.sampled_from(TaskStatus),
    st.booleans(),
)
def test_progress_is_between_0_and_1(progress, estimate, now, status, ended):
    task = Task("t1", status=status, progress=progress, task_info=TaskInfo(estimated_time=estimate))
    progress_shown = progress_of(TaskState(task, None, started=0.0, ended=ended), now)
    assert progress_shown is None or 0 <= progress_shown.value <= 1
    assert progress_shown is None or not progress_shown.estimated or progress_shown.value <= 0.95
