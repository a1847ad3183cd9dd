"""One tracked task: how each poll changes it, and when the next poll is due."""

from __future__ import annotations

import math
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    FoxAPIError,
    GenerationRequest,
    InvalidResponseError,
    NotFoundError,
    Output,
    PermissionDeniedError,
    PhotaCreateProfile,
    PhotaImage,
    Polling,
    Request,
    ServerError,
    SessionClosedError,
    Task,
    TaskCancelledError,
    TaskError,
    TaskFailedError,
    TaskInfo,
    TaskStatus,
    TaskTimeoutError,
)
from foxapi_async.polling.schedule import Schedule
from foxapi_async.polling.tracked_task import (
    EMPTY_TIMEOUT,
    MISSING_TIMEOUT,
    TrackedTask,
    give_up_after,
    group_of,
    rebase,
)

STARTED = 1000.0
DEADLINE = 1600.0
IMAGE = Output(0, "https://cdn.example/1.png")


def task(status: str = "processing", progress: int | None = None, **facts: object) -> Task:
    return Task("task-1", TaskStatus(status), progress=progress, **facts)  # type: ignore[arg-type]


PROCESSING = task()
EMPTY = task("completed", 100)
COMPLETED = task("completed", 100, outputs=(IMAGE,))
FAILED = task("failed", error=TaskError("timeout", "too slow"))

NOT_FOUND = NotFoundError("GET: HTTP 404", status=404, task_id="task-1")
RESET = APIConnectionError("reset", task_id="task-1")


def new_tracked(**facts: object) -> TrackedTask:
    defaults = {
        "id": "task-1",
        "latest": task("pending", 0),
        "started": STARTED,
        "deadline": DEADLINE,
    }
    return TrackedTask(**{**defaults, **facts})  # type: ignore[arg-type]


def next_poll(
    tracked: TrackedTask, now: float, *, jitter: float = 0.5, **polling: float
) -> float | None:
    options = Polling(**polling)  # type: ignore[arg-type]
    schedule = Schedule(
        poll_cost=options.poll_cost,
        min_interval=options.min_interval,
        max_interval=options.max_interval,
    )
    return tracked.next_poll(schedule, options, now, jitter)


# How a task ends


def test_a_completed_task_is_returned_as_the_result():
    tracked = new_tracked()
    tracked.apply(COMPLETED, STARTED + 5)
    assert tracked.ended
    assert tracked.result() is COMPLETED


def test_a_task_with_fewer_outputs_than_requested_is_completed():
    tracked = new_tracked(request=PhotaImage("a fox", num_outputs=4), images=4)
    tracked.apply(COMPLETED, STARTED + 5)
    assert tracked.result().outputs == (IMAGE,)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TaskError("timeout", "too slow"), "(timeout: too slow)"),
        (TaskError("timeout"), "(timeout)"),
        (TaskError(message="too slow"), "(too slow)"),
        (TaskError("timeout", "two\nlines\x1b[0m"), "(timeout: two lines [0m)"),
        (TaskError("unknown_error"), "(unknown_error)"),
        (None, "(unknown_error)"),
    ],
)
def test_a_failed_task_raises_with_the_servers_message_and_the_cost_of_a_new_one(error, words):
    tracked = new_tracked()
    tracked.apply(task("failed", error=error), STARTED + 5)
    with pytest.raises(TaskFailedError) as failed:
        tracked.result()
    assert (failed.value.task_id, failed.value.task.error) == ("task-1", error)
    assert f"task task-1 failed {words}" in str(failed.value)
    assert "a new submission is billed again" in str(failed.value)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "task task-1 was cancelled at the server"),
        (TaskError("c", "m"), "task task-1 was cancelled at the server (c: m)"),
    ],
)
def test_a_task_cancelled_at_the_server_raises(error, text):
    tracked = new_tracked()
    tracked.apply(task("cancelled", error=error), STARTED + 5)
    with pytest.raises(TaskCancelledError) as cancelled:
        tracked.result()
    assert str(cancelled.value) == text
    assert cancelled.value.task is tracked.latest


def test_each_waiter_gets_its_own_error_instance():
    tracked = new_tracked()
    tracked.apply(FAILED, STARTED + 5)
    raised = []
    for _ in range(2):
        with pytest.raises(TaskFailedError) as failed:
            tracked.result()
        raised.append(failed.value)
    assert raised[0] is not raised[1]
    assert str(raised[0]) == str(raised[1])
    assert tracked.error is not None
    assert tracked.error.__traceback__ is None


@pytest.mark.parametrize("ending", [COMPLETED, FAILED, task("cancelled")])
def test_an_ended_task_ignores_later_changes(ending):
    tracked = new_tracked()
    assert tracked.apply(ending, STARTED + 5)
    state = (tracked.latest, tracked.error, tracked.estimate)
    for now in (STARTED + 6, STARTED + 1000):
        assert not tracked.apply(PROCESSING, now)
        assert not tracked.apply(COMPLETED, now)
        assert not tracked.apply(EMPTY, now)
        tracked.poll_failed(AuthenticationError("no", status=401), now)
        tracked.expire()
        tracked.end(SessionClosedError("closed"))
    assert (tracked.latest, tracked.error, tracked.estimate) == state


def test_a_task_ended_with_an_error_raises_that_error():
    tracked = new_tracked()
    tracked.end(SessionClosedError("closed", task_id="task-1"))
    with pytest.raises(SessionClosedError):
        tracked.result()


class Changes(list[tuple[str, int | None]]):
    """What `apply` reports as changes."""

    def apply(self, tracked: TrackedTask, task: Task, now: float) -> None:
        if tracked.apply(task, now):
            self.append((task.status.value, task.progress))


def test_only_changes_of_status_or_progress_are_reported():
    tracked = new_tracked()
    changes = Changes()
    for progress in (0, 0, 10, 10, 20):
        changes.apply(tracked, task("processing", progress), STARTED + 5)
    changes.apply(tracked, task("processing", 20, model="other", usage={"a": 1}), STARTED + 6)
    changes.apply(tracked, COMPLETED, STARTED + 7)
    assert changes == [
        ("processing", 0),
        ("processing", 10),
        ("processing", 20),
        ("completed", 100),
    ]


def test_a_status_that_goes_backwards_is_reported_and_polling_continues():
    tracked = new_tracked()
    changes = Changes()
    changes.apply(tracked, task("processing", 80), STARTED + 5)
    changes.apply(tracked, task("pending", 0), STARTED + 6)
    changes.apply(tracked, task("other", None), STARTED + 7)
    assert not tracked.ended
    assert tracked.latest.status is TaskStatus.OTHER
    changes.apply(tracked, COMPLETED, STARTED + 8)
    assert changes == [("processing", 80), ("pending", 0), ("other", None), ("completed", 100)]


# Completed, but empty


def test_a_completed_task_without_outputs_is_polled_until_they_appear():
    tracked = new_tracked()
    changes = Changes()
    now = STARTED + 5
    for _ in range(8):
        changes.apply(tracked, EMPTY, now)
        assert not tracked.ended
        assert tracked.awaits_outputs
        due = next_poll(tracked, now)
        assert due is not None
        assert now + 0.5 <= due <= now + 10
        now = due
    assert changes == []
    changes.apply(tracked, COMPLETED, now)
    assert tracked.result() is COMPLETED
    assert changes == [("completed", 100)]
    assert tracked.ended_at == 5.0


def test_polls_for_missing_outputs_start_fast_and_slow_down():
    tracked = new_tracked()
    now, pauses = STARTED + 5, []
    while not tracked.ended:
        tracked.apply(EMPTY, now)
        due = next_poll(tracked, now)
        assert due is not None
        pauses.append(due - now)
        now = due
    assert pauses[0] == 0.5
    assert max(pauses) == 10.0
    assert len(pauses) < 25


def test_outputs_missing_for_too_long_raise_an_error_with_the_id():
    tracked = new_tracked()
    tracked.apply(EMPTY, STARTED + 5)
    tracked.apply(EMPTY, STARTED + 5 + EMPTY_TIMEOUT - 0.1)
    assert not tracked.ended
    tracked.apply(EMPTY, STARTED + 5 + EMPTY_TIMEOUT)
    with pytest.raises(InvalidResponseError) as empty:
        tracked.result()
    assert empty.value.task_id == "task-1"
    assert "session.attach('task-1')" in str(empty.value)
    assert "billed" in str(empty.value)


def test_a_task_that_runs_again_gets_a_new_timeout_for_its_outputs():
    tracked = new_tracked()
    tracked.apply(EMPTY, STARTED + 5)
    tracked.apply(task("processing", 50), STARTED + 10)
    assert not tracked.awaits_outputs
    tracked.apply(EMPTY, STARTED + 5 + EMPTY_TIMEOUT)
    assert not tracked.ended
    assert tracked.ended_at == 5 + EMPTY_TIMEOUT


def test_failed_polls_do_not_extend_the_timeout_for_the_outputs():
    tracked = new_tracked()
    tracked.apply(EMPTY, STARTED + 5)
    tracked.poll_failed(RESET, STARTED + 50)
    tracked.apply(EMPTY, STARTED + 5 + EMPTY_TIMEOUT)
    assert tracked.ended


def test_a_completed_task_without_outputs_can_still_fail():
    tracked = new_tracked()
    tracked.apply(EMPTY, STARTED + 5)
    tracked.apply(FAILED, STARTED + 6)
    assert isinstance(tracked.error, TaskFailedError)
    assert tracked.ended_at == 5.0


# Failed polls


@pytest.mark.parametrize(
    "error",
    [
        RESET,
        APIConnectionError("refused", sent=False),
        InvalidResponseError("not JSON"),
        ServerError("502", status=502),
        APIStatusError("429", status=429),
        ServerError("503", status=503),
        PermissionDeniedError("error code: 1010", status=403),
        BadRequestError("400", status=400),
    ],
)
def test_failed_polls_never_end_a_wait(error):
    tracked = new_tracked()
    now, polls = STARTED, 0
    while (due := next_poll(tracked, now)) is not None:
        assert now < due < DEADLINE
        now = due
        polls += 1
        tracked.poll_failed(error, now)
        assert not tracked.ended
    assert 60 <= polls < 200
    tracked.expire()
    with pytest.raises(TaskTimeoutError) as late:
        tracked.result()
    assert late.value.__cause__ is error


def test_failed_polls_back_off_and_a_success_resets_the_backoff():
    tracked = new_tracked()
    pauses = []
    for _ in range(8):
        tracked.poll_failed(RESET, STARTED + 30)
        pauses.append((next_poll(tracked, STARTED + 30, jitter=1.0) or 0) - STARTED - 30)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0]
    tracked.apply(PROCESSING, STARTED + 30)
    tracked.poll_failed(RESET, STARTED + 30)
    assert next_poll(tracked, STARTED + 30, jitter=1.0) == STARTED + 31


def test_a_404_right_after_the_submission_is_retried():
    tracked = new_tracked()
    tracked.poll_failed(NOT_FOUND, STARTED + 0.5)
    tracked.poll_failed(NOT_FOUND, STARTED + 0.5 + MISSING_TIMEOUT - 0.1)
    assert not tracked.ended
    assert next_poll(tracked, STARTED + 1) is not None
    tracked.apply(COMPLETED, STARTED + 11)
    assert tracked.result() is COMPLETED


def test_a_repeated_404_ends_the_wait():
    tracked = new_tracked()
    tracked.poll_failed(NOT_FOUND, STARTED + 0.5)
    tracked.poll_failed(NOT_FOUND, STARTED + 0.5 + MISSING_TIMEOUT)
    with pytest.raises(NotFoundError) as unknown:
        tracked.result()
    assert unknown.value.task_id == "task-1"


@pytest.mark.parametrize("between", ["seen", "another failure"])
def test_an_occasional_404_does_not_end_the_wait(between):
    tracked = new_tracked()
    for second in range(0, 200, 5):
        tracked.poll_failed(NOT_FOUND, STARTED + second)
        if between == "seen":
            tracked.apply(PROCESSING, STARTED + second + 1)
        else:
            tracked.poll_failed(RESET, STARTED + second + 1)
    assert not tracked.ended


def test_a_rejected_key_ends_the_wait_at_once():
    tracked = new_tracked()
    error = AuthenticationError("GET: HTTP 401", status=401, task_id="task-1")
    error.ends_run = True  # a free request has confirmed it
    tracked.poll_failed(error, STARTED + 5)
    with pytest.raises(AuthenticationError) as refused:
        tracked.result()
    assert refused.value.task_id == "task-1"


# The deadline


def test_the_timeout_error_explains_how_to_continue():
    tracked = new_tracked()
    tracked.apply(PROCESSING, STARTED + 30)
    tracked.expire()
    with pytest.raises(TaskTimeoutError) as late:
        tracked.result()
    assert (late.value.task_id, late.value.task) == ("task-1", PROCESSING)
    assert late.value.__cause__ is None
    assert "still processing after 600 s" in str(late.value)
    assert "session.attach('task-1')" in str(late.value)
    assert "billed" in str(late.value)


def test_the_timeout_error_mentions_missing_outputs():
    tracked = new_tracked()
    tracked.apply(EMPTY, STARTED + 590)
    tracked.expire()
    assert "still completed without outputs after 600 s" in str(tracked.error)


def test_a_failed_poll_followed_by_a_success_is_not_the_cause_of_a_timeout():
    tracked = new_tracked()
    tracked.poll_failed(RESET, STARTED + 5)
    tracked.apply(PROCESSING, STARTED + 6)
    tracked.expire()
    assert tracked.error is not None
    assert tracked.error.__cause__ is None


@pytest.mark.parametrize(("timeout", "before"), [(600.0, 2.0), (20.0, 2.0), (5.0, 0.5), (1.0, 0.1)])
def test_the_last_poll_is_right_before_the_deadline(timeout, before):
    tracked = new_tracked(deadline=STARTED + timeout)
    now = STARTED
    while (due := next_poll(tracked, now)) is not None:
        now = due
        tracked.apply(PROCESSING, now)
    assert now == pytest.approx(STARTED + timeout - before)


def test_no_poll_is_due_after_the_deadline():
    assert next_poll(new_tracked(), DEADLINE) is None
    assert next_poll(new_tracked(), DEADLINE + 100) is None


moments = st.floats(0, 1e6)
jitters = st.floats(0, 1, exclude_max=True)
pollings = st.builds(
    lambda shortest, factor, cost: Polling(
        min_interval=shortest, max_interval=shortest * factor, poll_cost=cost
    ),
    st.floats(0.05, 30),
    st.floats(1, 100),
    st.floats(0.01, 10),
)
estimates = st.none() | st.sampled_from([0.0, 1e-9, 1e12]) | st.floats(0, 1e4)
errors = st.sampled_from(
    [
        RESET,
        NOT_FOUND,
        ServerError("502", status=502),
        InvalidResponseError("not JSON"),
    ]
)
poll_results = st.one_of(
    errors,
    st.sampled_from([EMPTY, PROCESSING, task("pending"), task("other")]),
    estimates.map(lambda seconds: task(task_info=TaskInfo(estimated_time=seconds))),
)


def apply_result(tracked: TrackedTask, poll_result: Task | FoxAPIError, now: float) -> None:
    if isinstance(poll_result, Task):
        tracked.apply(poll_result, now)
    else:
        tracked.poll_failed(poll_result, now)


@given(
    moments,
    st.floats(1, 1e5),
    pollings,
    estimates,
    st.lists(st.tuples(poll_results, jitters), max_size=12),
)
def test_the_next_poll_is_before_the_deadline_and_respects_the_intervals(
    started, timeout, polling, estimate, steps
):
    deadline = started + timeout
    tracked = new_tracked(started=started, deadline=deadline, estimate=estimate)
    schedule = Schedule(
        poll_cost=polling.poll_cost,
        min_interval=polling.min_interval,
        max_interval=polling.max_interval,
    )
    rounding = 1e-9 * (deadline + 1)
    now = started
    for poll_result, jitter in steps:
        apply_result(tracked, poll_result, now)
        due = tracked.next_poll(schedule, polling, now, jitter)
        last_poll = deadline - min(2.0, (deadline - started) / 10)
        if due is None:
            assert now >= last_poll
            return
        assert now < due < deadline
        assert due - now >= polling.min_interval - rounding or due == last_poll
        assert due - now <= polling.max_interval + rounding
        now = due


@given(st.data(), st.floats(1, 300), st.floats(0.5, 10))
def test_every_wait_ends_by_its_deadline_after_a_bounded_number_of_polls(data, timeout, shortest):
    polling = Polling(min_interval=shortest, max_interval=60.0)
    schedule = Schedule(min_interval=shortest, max_interval=60.0)
    tracked = new_tracked(deadline=STARTED + timeout)
    pattern = data.draw(st.lists(poll_results, min_size=1, max_size=6))
    now, polls = STARTED, 0
    while (due := tracked.next_poll(schedule, polling, now, 0.5)) is not None:
        now = due
        apply_result(tracked, pattern[polls % len(pattern)], now)
        polls += 1
        assert polls <= timeout / shortest + 2
        if tracked.ended:
            break
    else:
        tracked.expire()
    assert now < STARTED + timeout
    assert tracked.ended
    with pytest.raises(FoxAPIError) as ended:
        tracked.result()
    assert ended.value.task_id == "task-1"


# The estimate


def test_a_repeated_estimate_stays_constant():
    tracked = new_tracked()
    for now in (STARTED, STARTED + 10, STARTED + 30, STARTED + 44, STARTED + 200):
        tracked.apply(task(task_info=TaskInfo(estimated_time=45.0)), now)
        assert tracked.estimate == 45.0
    assert tracked.running_at == 200.0


def test_an_estimate_that_counts_down_stays_constant():
    tracked = new_tracked()
    for age in (0.0, 10.0, 30.0, 44.0):
        tracked.apply(task(task_info=TaskInfo(estimated_time=45.0 - age)), STARTED + age)
        assert tracked.estimate == 45.0


def test_a_revised_estimate_replaces_the_old_one():
    tracked = new_tracked()
    tracked.apply(task(task_info=TaskInfo(estimated_time=45.0)), STARTED)
    tracked.apply(task(task_info=TaskInfo(estimated_time=300.0)), STARTED + 10)
    assert tracked.estimate == 300.0
    tracked.apply(task(task_info=TaskInfo(estimated_time=280.0)), STARTED + 30)
    assert tracked.estimate == pytest.approx(300.0, abs=20.0)


@pytest.mark.parametrize("missing", [None, 0.0])
def test_a_missing_estimate_keeps_the_known_one(missing):
    tracked = new_tracked(estimate=45.0)
    tracked.apply(task(task_info=TaskInfo(estimated_time=missing)), STARTED + 10)
    assert tracked.estimate == 45.0
    assert rebase(None, 0.0, missing, 10.0) is None


def test_an_attached_task_uses_the_first_estimate_of_the_server():
    tracked = new_tracked(latest=Task("task-1"), attached=True)
    tracked.apply(task(task_info=TaskInfo(estimated_time=45.0)), STARTED + 0.2)
    assert tracked.estimate == 45.0


def test_the_callers_estimate_of_an_attached_task_counts_until_the_server_sends_one():
    tracked = new_tracked(latest=Task("task-1"), attached=True, estimate=20.0)
    tracked.apply(PROCESSING, STARTED + 0.2)
    assert tracked.estimate == 20.0
    tracked.apply(task(task_info=TaskInfo(estimated_time=19.0)), STARTED + 1.0)
    assert tracked.estimate == 20.0


@given(st.floats(0.1, 1e4), st.lists(st.floats(0, 1), min_size=1, max_size=8), st.booleans())
def test_a_repeated_or_counted_down_estimate_stays_the_same(seconds, parts, counts_down):
    estimate, then = seconds, 0.0
    for part in sorted(parts):
        age = part * seconds
        announced = seconds - age if counts_down else seconds
        estimate = rebase(estimate, then, announced, age)
        assert estimate == pytest.approx(seconds)
        then = age


@given(estimates, moments, estimates, moments)
def test_an_estimate_is_always_the_known_or_the_announced_one(estimate, then, announced, now):
    new = rebase(estimate, then, announced, now)
    assert new in {estimate, announced, None if announced is None else now + announced}
    assert new is None or math.isfinite(new)


# Groups of tasks with similar durations


def group(request: Request) -> Hashable:
    return group_of(request.model, request.num_outputs, request.payload())


def test_tasks_with_one_model_resolution_and_size_class_share_a_group():
    def of(outputs: int, resolution: str = "1K", ratio: str = "1:1") -> Hashable:
        return group(
            PhotaImage("a fox", num_outputs=outputs, resolution=resolution, aspect_ratio=ratio)
        )

    assert of(3) == of(4, ratio="16:9")
    assert of(5) == of(8)
    assert len({of(outputs) for outputs in (1, 2, 3, 5, 9, 17)}) == 6
    assert of(1) != of(1, "4K")


def test_every_request_has_a_hashable_group():
    for value in ("2K", None, {"width": 1, "height": 2}, [1, 2], 5):
        for name in ("resolution", "quality", "size"):
            hash(group(GenerationRequest("m", {name: value})))
    assert group(GenerationRequest("m", {"quality": "2K"})) == ("m", "2K", 0)
    assert group(PhotaCreateProfile("https://a.example/x.zip")) == (
        "phota-create-profile",
        "None",
        0,
    )


# Learning while a poll is scheduled


def learned(duration: float) -> Schedule:
    schedule = Schedule()
    for _ in range(40):
        schedule.observe("g", 20.0, 0.95 * duration, 1.05 * duration)
    return schedule


def scheduled(**facts: object) -> TrackedTask:
    tracked = new_tracked(group="g", estimate=20.0, **facts)
    due = tracked.next_poll(Schedule(), Polling(), STARTED, 0.5)
    assert due is not None
    tracked.due = due
    return tracked


def test_learning_moves_a_scheduled_poll_in_both_directions():
    tracked = scheduled()
    assert tracked.replanned(Schedule()) == tracked.due
    assert tracked.replanned(learned(3.0)) < tracked.due < tracked.replanned(learned(200.0))


def test_a_postponed_poll_stays_before_the_deadline():
    tracked = scheduled(deadline=STARTED + 30)
    assert STARTED + 20 < tracked.replanned(learned(200.0)) <= STARTED + 28


@pytest.mark.parametrize("why", ["never scheduled", "in progress", "failed", "awaits its outputs"])
def test_learning_does_not_move_polls_that_ignore_the_schedule(why: str):
    tracked = scheduled()
    if why == "never scheduled":
        tracked = new_tracked(group="g", estimate=20.0, due=STARTED + 7)
    elif why == "in progress":
        tracked.due = math.inf
    else:
        if why == "failed":
            tracked.poll_failed(RESET, STARTED + 5)
        else:
            tracked.apply(EMPTY, STARTED + 5)
        tracked.due = tracked.next_poll(Schedule(), Polling(), STARTED + 5, 0.5) or 0.0
    due = tracked.due
    assert tracked.replanned(learned(200.0)) == due
    assert tracked.replanned(learned(3.0)) == due


def test_equal_groups_are_the_same_object():
    assert group(PhotaImage("a")) is group(PhotaImage("b"))


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        ("image", 600),
        ("video", 1800),
        ("audio", 900),
        ("document", 1200),
        ("llm", 600),
        (None, 1800),
    ],
)
def test_give_up_after_depends_on_the_kind_by_default(kind, seconds):
    assert give_up_after(Polling(), kind) == seconds
    assert give_up_after(Polling(give_up_after=7), kind) == 7
