"""One task that is waited for: what each look means, and when to look next."""

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
    EMPTY_PATIENCE,
    MISSING_PATIENCE,
    TrackedTask,
    group_of,
    rebase,
)

BORN = 1000.0
DEADLINE = 1600.0
PICTURE = Output(0, "https://cdn.example/1.png")


def task(status: str = "processing", progress: int | None = None, **facts: object) -> Task:
    return Task("task-1", TaskStatus(status), progress=progress, **facts)  # type: ignore[arg-type]


PROCESSING = task()
EMPTY = task("completed", 100)
COMPLETED = task("completed", 100, outputs=(PICTURE,))
FAILED = task("failed", error=TaskError("timeout", "too slow"))

NOT_FOUND = NotFoundError("GET: HTTP 404", status=404, task_id="task-1")
RESET = APIConnectionError("reset", task_id="task-1")


def new_watch(**facts: object) -> TrackedTask:
    defaults = {"latest": task("pending", 0), "born": BORN, "deadline": DEADLINE}
    return TrackedTask(**{**defaults, **facts})  # type: ignore[arg-type]


def next_poll(
    watch: TrackedTask, now: float, *, jitter: float = 0.5, **polling: float
) -> float | None:
    options = Polling(**polling)  # type: ignore[arg-type]
    schedule = Schedule(
        poll_cost=options.poll_cost,
        min_interval=options.min_interval,
        max_interval=options.max_interval,
    )
    return watch.next_poll(schedule, options, now, jitter)


# How a task ends


def test_a_completed_task_is_the_result():
    watch = new_watch()
    watch.saw(COMPLETED, BORN + 5)
    assert watch.ended
    assert watch.result() is COMPLETED


def test_fewer_outputs_than_were_asked_for_are_a_completed_task():
    watch = new_watch(request=PhotaImage("a fox", num_outputs=4), images=4)
    watch.saw(COMPLETED, BORN + 5)
    assert watch.result().outputs == (PICTURE,)


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
def test_a_failed_task_raises_with_the_servers_words_and_what_a_new_one_costs(error, words):
    watch = new_watch()
    watch.saw(task("failed", error=error), BORN + 5)
    with pytest.raises(TaskFailedError) as failed:
        watch.result()
    assert (failed.value.task_id, failed.value.task.error) == ("task-1", error)
    assert f"task task-1 failed {words}" in str(failed.value)
    assert "a new submission is a new charge" in str(failed.value)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "task task-1 was cancelled at the server"),
        (TaskError("c", "m"), "task task-1 was cancelled at the server (c: m)"),
    ],
)
def test_a_task_that_was_cancelled_at_the_server_raises(error, text):
    watch = new_watch()
    watch.saw(task("cancelled", error=error), BORN + 5)
    with pytest.raises(TaskCancelledError) as cancelled:
        watch.result()
    assert str(cancelled.value) == text
    assert cancelled.value.task is watch.latest


def test_each_one_who_waits_gets_an_error_of_its_own():
    watch = new_watch()
    watch.saw(FAILED, BORN + 5)
    raised = []
    for _ in range(2):
        with pytest.raises(TaskFailedError) as failed:
            watch.result()
        raised.append(failed.value)
    assert raised[0] is not raised[1]
    assert str(raised[0]) == str(raised[1])
    assert watch.error is not None
    assert watch.error.__traceback__ is None


@pytest.mark.parametrize("ending", [COMPLETED, FAILED, task("cancelled")])
def test_an_end_is_final_whatever_comes_later(ending):
    told: list[str] = []
    watch = new_watch()
    watch.on_end.append(lambda: told.append("end"))
    watch.on_change.append(lambda task: told.append(task.status.value))
    watch.saw(ending, BORN + 5)
    state = (watch.latest, watch.error, watch.estimate)
    for now in (BORN + 6, BORN + 1000):
        watch.saw(PROCESSING, now)
        watch.saw(COMPLETED, now)
        watch.saw(EMPTY, now)
        watch.missed(AuthenticationError("no", status=401), now)
        watch.expire()
        watch.finish(SessionClosedError("closed"))
    assert (watch.latest, watch.error, watch.estimate) == state
    assert told == [ending.status.value, "end"]


def test_a_task_that_is_finished_from_outside_raises_what_it_was_finished_with():
    watch = new_watch()
    watch.finish(SessionClosedError("closed", task_id="task-1"))
    with pytest.raises(SessionClosedError):
        watch.result()


def test_all_who_wait_are_told_once_in_the_order_in_which_they_came():
    told: list[int] = []
    watch = new_watch()
    for number in range(3):
        watch.on_end.append(lambda number=number: told.append(number))
    watch.saw(COMPLETED, BORN + 5)
    assert told == [0, 1, 2]
    assert (watch.on_end, watch.on_change) == ([], [])


# What is told of its life


def follow(watch: TrackedTask) -> list[tuple[str, int | None]]:
    told: list[tuple[str, int | None]] = []
    watch.on_change.append(lambda task: told.append((task.status.value, task.progress)))
    return told


def test_every_change_of_status_or_progress_is_told_and_nothing_else():
    watch = new_watch()
    told = follow(watch)
    for progress in (0, 0, 10, 10, 20):
        watch.saw(task("processing", progress), BORN + 5)
    watch.saw(task("processing", 20, model="other", usage={"a": 1}), BORN + 6)
    watch.saw(COMPLETED, BORN + 7)
    assert told == [("processing", 0), ("processing", 10), ("processing", 20), ("completed", 100)]


def test_a_task_that_goes_backwards_is_told_as_it_is_and_waited_for():
    watch = new_watch()
    told = follow(watch)
    watch.saw(task("processing", 80), BORN + 5)
    watch.saw(task("pending", 0), BORN + 6)
    watch.saw(task("other", None), BORN + 7)
    assert not watch.ended
    assert watch.latest.status is TaskStatus.OTHER
    watch.saw(COMPLETED, BORN + 8)
    assert told == [("processing", 80), ("pending", 0), ("other", None), ("completed", 100)]


def test_who_stops_following_while_being_told_disturbs_nobody():
    watch = new_watch()
    told = follow(watch)

    def once(task: Task) -> None:
        watch.on_change.remove(once)

    watch.on_change.insert(0, once)
    watch.saw(PROCESSING, BORN + 5)
    assert told == [("processing", None)]


# Completed, but empty


def test_completed_without_outputs_is_asked_again_until_they_appear():
    watch = new_watch()
    told = follow(watch)
    now = BORN + 5
    for _ in range(8):
        watch.saw(EMPTY, now)
        assert not watch.ended
        assert watch.awaits_outputs
        due = next_poll(watch, now)
        assert due is not None
        assert now + 0.5 <= due <= now + 10
        now = due
    assert told == []
    watch.saw(COMPLETED, now)
    assert watch.result() is COMPLETED
    assert told == [("completed", 100)]
    assert watch.first_seen_ended == 5.0


def test_completed_without_outputs_is_asked_again_at_once_at_first_and_less_often_later():
    watch = new_watch()
    now, pauses = BORN + 5, []
    while not watch.ended:
        watch.saw(EMPTY, now)
        due = next_poll(watch, now)
        assert due is not None
        pauses.append(due - now)
        now = due
    assert pauses[0] == 0.5
    assert max(pauses) == 10.0
    assert len(pauses) < 25


def test_completed_without_outputs_for_too_long_is_an_error_with_the_id():
    watch = new_watch()
    watch.saw(EMPTY, BORN + 5)
    watch.saw(EMPTY, BORN + 5 + EMPTY_PATIENCE - 0.1)
    assert not watch.ended
    watch.saw(EMPTY, BORN + 5 + EMPTY_PATIENCE)
    with pytest.raises(InvalidResponseError) as empty:
        watch.result()
    assert empty.value.task_id == "task-1"
    assert "session.attach('task-1')" in str(empty.value)
    assert "billed" in str(empty.value)


def test_a_task_that_turns_out_to_run_on_gets_a_new_time_for_its_outputs():
    watch = new_watch()
    watch.saw(EMPTY, BORN + 5)
    watch.saw(task("processing", 50), BORN + 10)
    assert not watch.awaits_outputs
    watch.saw(EMPTY, BORN + 5 + EMPTY_PATIENCE)
    assert not watch.ended
    assert watch.first_seen_ended == 5 + EMPTY_PATIENCE


def test_failed_looks_between_do_not_stretch_the_time_for_the_outputs():
    watch = new_watch()
    watch.saw(EMPTY, BORN + 5)
    watch.missed(RESET, BORN + 50)
    watch.saw(EMPTY, BORN + 5 + EMPTY_PATIENCE)
    assert watch.ended


def test_an_empty_end_can_still_turn_into_a_failure():
    watch = new_watch()
    watch.saw(EMPTY, BORN + 5)
    watch.saw(FAILED, BORN + 6)
    assert isinstance(watch.error, TaskFailedError)
    assert watch.first_seen_ended == 5.0


# Looks that fail


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
def test_failed_looks_never_end_a_wait(error):
    watch = new_watch()
    now, looks = BORN, 0
    while (due := next_poll(watch, now)) is not None:
        assert now < due < DEADLINE
        now = due
        looks += 1
        watch.missed(error, now)
        assert not watch.ended
    assert 60 <= looks < 200
    watch.expire()
    with pytest.raises(TaskTimeoutError) as late:
        watch.result()
    assert late.value.__cause__ is error


def test_looks_that_fail_come_less_often_and_one_that_succeeds_starts_anew():
    watch = new_watch()
    pauses = []
    for _ in range(8):
        watch.missed(RESET, BORN + 30)
        pauses.append((next_poll(watch, BORN + 30, jitter=1.0) or 0) - BORN - 30)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0]
    watch.saw(PROCESSING, BORN + 30)
    watch.missed(RESET, BORN + 30)
    assert next_poll(watch, BORN + 30, jitter=1.0) == BORN + 31


def test_a_task_that_is_not_known_right_after_its_submission_is_asked_for_again():
    watch = new_watch()
    watch.missed(NOT_FOUND, BORN + 0.5)
    watch.missed(NOT_FOUND, BORN + 0.5 + MISSING_PATIENCE - 0.1)
    assert not watch.ended
    assert next_poll(watch, BORN + 1) is not None
    watch.saw(COMPLETED, BORN + 11)
    assert watch.result() is COMPLETED


def test_a_task_that_stays_unknown_is_not_waited_for():
    watch = new_watch()
    watch.missed(NOT_FOUND, BORN + 0.5)
    watch.missed(NOT_FOUND, BORN + 0.5 + MISSING_PATIENCE)
    with pytest.raises(NotFoundError) as unknown:
        watch.result()
    assert unknown.value.task_id == "task-1"


@pytest.mark.parametrize("between", ["seen", "another failure"])
def test_a_404_now_and_then_is_not_believed(between):
    watch = new_watch()
    for second in range(0, 200, 5):
        watch.missed(NOT_FOUND, BORN + second)
        if between == "seen":
            watch.saw(PROCESSING, BORN + second + 1)
        else:
            watch.missed(RESET, BORN + second + 1)
    assert not watch.ended


def test_a_key_that_is_no_longer_taken_ends_the_wait_at_once():
    watch = new_watch()
    error = AuthenticationError("GET: HTTP 401", status=401, task_id="task-1")
    watch.missed(error, BORN + 5)
    with pytest.raises(AuthenticationError) as refused:
        watch.result()
    assert refused.value.task_id == "task-1"


# The deadline


def test_the_end_of_patience_says_how_to_go_on():
    watch = new_watch()
    watch.saw(PROCESSING, BORN + 30)
    watch.expire()
    with pytest.raises(TaskTimeoutError) as late:
        watch.result()
    assert (late.value.task_id, late.value.task) == ("task-1", PROCESSING)
    assert late.value.__cause__ is None
    assert "still processing after 600 s" in str(late.value)
    assert "session.attach('task-1')" in str(late.value)
    assert "billed" in str(late.value)


def test_the_end_of_patience_with_outputs_that_did_not_come_says_so():
    watch = new_watch()
    watch.saw(EMPTY, BORN + 590)
    watch.expire()
    assert "still completed without outputs after 600 s" in str(watch.error)


def test_a_failure_that_was_overcome_is_not_the_cause_of_a_timeout():
    watch = new_watch()
    watch.missed(RESET, BORN + 5)
    watch.saw(PROCESSING, BORN + 6)
    watch.expire()
    assert watch.error is not None
    assert watch.error.__cause__ is None


@pytest.mark.parametrize(
    ("patience", "before"), [(600.0, 2.0), (20.0, 2.0), (5.0, 0.5), (1.0, 0.1)]
)
def test_the_last_look_is_right_before_the_deadline(patience, before):
    watch = new_watch(deadline=BORN + patience)
    now = BORN
    while (due := next_poll(watch, now)) is not None:
        now = due
        watch.saw(PROCESSING, now)
    assert now == pytest.approx(BORN + patience - before)


def test_after_the_deadline_there_is_no_look():
    assert next_poll(new_watch(), DEADLINE) is None
    assert next_poll(new_watch(), DEADLINE + 100) is None


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
sights = st.one_of(
    errors,
    st.sampled_from([EMPTY, PROCESSING, task("pending"), task("other")]),
    estimates.map(lambda seconds: task(task_info=TaskInfo(estimated_time=seconds))),
)


def look(watch: TrackedTask, sight: Task | FoxAPIError, now: float) -> None:
    if isinstance(sight, Task):
        watch.saw(sight, now)
    else:
        watch.missed(sight, now)


@given(
    moments,
    st.floats(1, 1e5),
    pollings,
    estimates,
    st.lists(st.tuples(sights, jitters), max_size=12),
)
def test_the_next_look_is_after_now_and_before_the_deadline_and_not_too_soon(
    born, patience, polling, estimate, steps
):
    deadline = born + patience
    watch = new_watch(born=born, deadline=deadline, estimate=estimate)
    schedule = Schedule(
        poll_cost=polling.poll_cost,
        min_interval=polling.min_interval,
        max_interval=polling.max_interval,
    )
    rounding = 1e-9 * (deadline + 1)
    now = born
    for sight, jitter in steps:
        look(watch, sight, now)
        due = watch.next_poll(schedule, polling, now, jitter)
        last_look = deadline - min(2.0, (deadline - born) / 10)
        if due is None:
            assert now >= last_look
            return
        assert now < due < deadline
        assert due - now >= polling.min_interval - rounding or due == last_look
        assert due - now <= polling.max_interval + rounding
        now = due


@given(st.data(), st.floats(1, 300), st.floats(0.5, 10))
def test_whatever_is_seen_the_wait_ends_by_its_deadline_after_a_bounded_number_of_looks(
    data, patience, shortest
):
    polling = Polling(min_interval=shortest, max_interval=60.0)
    schedule = Schedule(min_interval=shortest, max_interval=60.0)
    watch = new_watch(deadline=BORN + patience)
    pattern = data.draw(st.lists(sights, min_size=1, max_size=6))
    now, looks = BORN, 0
    while (due := watch.next_poll(schedule, polling, now, 0.5)) is not None:
        now = due
        look(watch, pattern[looks % len(pattern)], now)
        looks += 1
        assert looks <= patience / shortest + 2
        if watch.ended:
            break
    else:
        watch.expire()
    assert now < BORN + patience
    assert watch.ended
    with pytest.raises(FoxAPIError) as ended:
        watch.result()
    assert ended.value.task_id == "task-1"


# The estimate


def test_an_estimate_that_the_server_repeats_stays():
    watch = new_watch()
    for now in (BORN, BORN + 10, BORN + 30, BORN + 44, BORN + 200):
        watch.saw(task(task_info=TaskInfo(estimated_time=45.0)), now)
        assert watch.estimate == 45.0
    assert watch.ran_until == 200.0


def test_an_estimate_that_the_server_counts_down_stays():
    watch = new_watch()
    for age in (0.0, 10.0, 30.0, 44.0):
        watch.saw(task(task_info=TaskInfo(estimated_time=45.0 - age)), BORN + age)
        assert watch.estimate == 45.0


def test_an_estimate_that_is_revised_is_believed():
    watch = new_watch()
    watch.saw(task(task_info=TaskInfo(estimated_time=45.0)), BORN)
    watch.saw(task(task_info=TaskInfo(estimated_time=300.0)), BORN + 10)
    assert watch.estimate == 300.0
    watch.saw(task(task_info=TaskInfo(estimated_time=280.0)), BORN + 30)
    assert watch.estimate == pytest.approx(300.0, abs=20.0)


@pytest.mark.parametrize("nothing", [None, 0.0])
def test_no_announcement_changes_no_estimate(nothing):
    watch = new_watch(estimate=45.0)
    watch.saw(task(task_info=TaskInfo(estimated_time=nothing)), BORN + 10)
    assert watch.estimate == 45.0
    assert rebase(None, 0.0, nothing, 10.0) is None


def test_a_task_that_was_submitted_elsewhere_takes_the_first_estimate_that_it_hears_of():
    watch = new_watch(latest=Task("task-1"), adopted=True)
    watch.saw(task(task_info=TaskInfo(estimated_time=45.0)), BORN + 0.2)
    assert watch.estimate == 45.0


def test_what_the_caller_expects_of_an_adopted_task_counts_until_the_server_says_something():
    watch = new_watch(latest=Task("task-1"), adopted=True, estimate=20.0)
    watch.saw(PROCESSING, BORN + 0.2)
    assert watch.estimate == 20.0
    watch.saw(task(task_info=TaskInfo(estimated_time=19.0)), BORN + 1.0)
    assert watch.estimate == 20.0


@given(st.floats(0.1, 1e4), st.lists(st.floats(0, 1), min_size=1, max_size=8), st.booleans())
def test_whether_repeated_or_counted_down_one_estimate_stays_one(seconds, parts, counts_down):
    estimate, then = seconds, 0.0
    for part in sorted(parts):
        age = part * seconds
        announced = seconds - age if counts_down else seconds
        estimate = rebase(estimate, then, announced, age)
        assert estimate == pytest.approx(seconds)
        then = age


@given(estimates, moments, estimates, moments)
def test_an_estimate_is_always_what_was_known_or_announced(estimate, then, announced, now):
    new = rebase(estimate, then, announced, now)
    assert new in {estimate, announced, None if announced is None else now + announced}
    assert new is None or math.isfinite(new)


# Which tasks take about as long


def group(request: Request) -> Hashable:
    return group_of(request.model, request.num_outputs, request.payload())


def test_tasks_of_one_model_resolution_and_size_class_are_one_group():
    def of(outputs: int, resolution: str = "1K", ratio: str = "1:1") -> Hashable:
        return group(
            PhotaImage("a fox", num_outputs=outputs, resolution=resolution, aspect_ratio=ratio)
        )

    assert of(3) == of(4, ratio="16:9")
    assert of(5) == of(8)
    assert len({of(outputs) for outputs in (1, 2, 3, 5, 9, 17)}) == 6
    assert of(1) != of(1, "4K")


def test_the_group_of_any_request_can_be_told():
    for value in ("2K", None, {"width": 1, "height": 2}, [1, 2], 5):
        for name in ("resolution", "quality", "size"):
            hash(group(GenerationRequest("m", {name: value})))
    assert group(GenerationRequest("m", {"quality": "2K"})) == ("m", "2K", 0)
    assert group(PhotaCreateProfile("https://a.example/x.zip")) == (
        "phota-create-profile",
        "None",
        0,
    )


# What is learned while a look is planned


def learned(duration: float) -> Schedule:
    schedule = Schedule()
    for _ in range(40):
        schedule.observe("g", 20.0, 0.95 * duration, 1.05 * duration)
    return schedule


def planned(**facts: object) -> TrackedTask:
    watch = new_watch(group="g", estimate=20.0, **facts)
    due = watch.next_poll(Schedule(), Polling(), BORN, 0.5)
    assert due is not None
    watch.due = due
    return watch


def test_a_planned_look_moves_both_ways_with_what_is_learned():
    watch = planned()
    assert watch.reconsidered(Schedule()) == watch.due
    assert watch.reconsidered(learned(3.0)) < watch.due < watch.reconsidered(learned(200.0))


def test_a_look_that_is_put_off_stays_before_the_deadline():
    watch = planned(deadline=BORN + 30)
    assert BORN + 20 < watch.reconsidered(learned(200.0)) <= BORN + 28


@pytest.mark.parametrize("why", ["never planned", "under way", "failed", "awaits its outputs"])
def test_what_does_not_go_by_the_schedule_stays_as_it_is(why: str):
    watch = planned()
    if why == "never planned":
        watch = new_watch(group="g", estimate=20.0, due=BORN + 7)
    elif why == "under way":
        watch.due = math.inf
    else:
        if why == "failed":
            watch.missed(RESET, BORN + 5)
        else:
            watch.saw(EMPTY, BORN + 5)
        watch.due = watch.next_poll(Schedule(), Polling(), BORN + 5, 0.5) or 0.0
    due = watch.due
    assert watch.reconsidered(learned(200.0)) == due
    assert watch.reconsidered(learned(3.0)) == due


def test_equal_groups_are_one_and_the_same():
    assert group(PhotaImage("a")) is group(PhotaImage("b"))
