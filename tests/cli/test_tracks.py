"""What is known of tasks, gathered from events."""

from __future__ import annotations

from pathlib import Path

import attrs
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import Output, PhotaImage, Task, TaskInfo, TaskStatus
from foxapi_async.cli.tracks import Share, Track, Tracks, share_of
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


def test_a_task_is_open_until_its_files_are_here():
    tracks = Tracks()
    tracks.note(SubmissionStarted(FOX, None))
    assert (tracks.posts, tracks.open_ids(saving=True)) == ((FOX,), ())
    tracks.note(TaskSubmitted(PENDING, FOX, None))
    assert (tracks.posts, tracks.open_ids(saving=True)) == ((), ("t1",))
    tracks.note(TaskEnded("t1", COMPLETED, None, FOX, 9.5))
    assert tracks.open_ids(saving=False) == ()
    assert tracks.open_ids(saving=True) == ("t1",)
    tracks.note(DownloadProgress(OUTPUT, 10, 20))
    tracks.note(Downloaded(OUTPUT, Path("0.png"), 20))
    assert tracks.open_ids(saving=True) == ()
    assert tracks.by_id["t1"].received == {0: (10, 20)}


def test_a_task_whose_wait_ended_is_open_and_one_that_failed_is_not():
    tracks = Tracks()
    tracks.note(TaskUpdated(PENDING, None))
    tracks.note(TaskEnded("t1", PENDING, SessionClosedError("x", task_id="t1"), None, 1.0))
    assert tracks.open_ids(saving=True) == ("t1",)
    failed = TaskFailedError("x", task_id="t1", task=PENDING)
    tracks.note(TaskEnded("t1", PENDING, failed, None, 2.0))
    assert tracks.open_ids(saving=True) == ()


def test_an_id_that_nobody_knows_is_not_paid_for_unless_we_submitted_it():
    gone = NotFoundError("x", status=404, task_id="t1")
    for request, is_open in ((None, ()), (FOX, ("t1",))):
        tracks = Tracks()
        tracks.note(TaskEnded("t1", PENDING, gone, request, 10.0))
        assert tracks.open_ids(saving=True) == is_open


def test_a_submission_that_failed_is_under_way_no_more_and_equal_ones_are_kept_apart():
    tracks = Tracks()
    one, other = FOX.split()[0], PhotaImage("a fox")
    tracks.note(SubmissionStarted(one, None))
    tracks.note(SubmissionStarted(one, None))  # its second try
    tracks.note(SubmissionStarted(other, None))
    assert len(tracks.posts) == 2
    tracks.note(SubmissionFailed(one, None, SubmissionUnknownError("x", request=one)))
    assert len(tracks.posts) == 1


def test_files_of_tasks_that_are_not_followed_are_passed_over():
    tracks = Tracks()
    tracks.note(Downloaded(Output(0, task_id="other"), Path("x"), 1))
    assert tracks.by_id == {}
    assert tracks.follow("t9").label == "t9"


def test_between_two_looks_the_clock_goes_on_but_never_to_the_end():
    track = Track(PENDING, FOX, began=100.0)
    assert share_of(track, 105.0) == Share(0.5, guessed=True)
    assert share_of(track, 1000.0) == Share(0.95, guessed=True)
    track.task = attrs.evolve(PENDING, progress=80)
    assert share_of(track, 105.0) == Share(0.8)


def test_without_an_estimate_only_the_server_knows():
    track = Track(Task("t1"), None, began=0.0)
    assert share_of(track, 5.0) is None
    track.task = Task("t1", progress=30)
    assert share_of(track, 5.0) == Share(0.3)


@given(
    st.one_of(st.none(), st.integers(0, 100)),
    st.one_of(st.none(), st.floats(-1, 1e12)),
    st.floats(0, 1e9),
    st.sampled_from(TaskStatus),
    st.booleans(),
)
def test_a_share_is_a_share(progress, estimate, now, status, ended):
    task = Task("t1", status=status, progress=progress, task_info=TaskInfo(estimated_time=estimate))
    share = share_of(Track(task, None, began=0.0, ended=ended), now)
    assert share is None or 0 <= share.value <= 1
    assert share is None or not share.guessed or share.value <= 0.95
