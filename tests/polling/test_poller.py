"""The poller over a real socket: every course of a task, and failed polls."""

from __future__ import annotations

import asyncio
import logging
import math
import pickle
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from foxapi_async import (
    APIConnectionError,
    AuthenticationError,
    FoxAPIError,
    InvalidResponseError,
    Journal,
    Limits,
    NotFoundError,
    PermissionDeniedError,
    PhotaImage,
    Polling,
    RateLimitError,
    ServerError,
    Task,
    TaskCancelledError,
    TaskFailedError,
    TaskStatus,
    TaskTimeoutError,
)
from foxapi_async.emulator import (
    Answer,
    Delay,
    Deliver,
    Drop,
    Effect,
    Emulator,
    Fate,
    Fault,
    Hang,
    Redirect,
    Rewrite,
    error,
    html,
    not_json,
    rate_limit,
    text,
)
from foxapi_async.events import Event, PollFailed
from foxapi_async.polling.history import History
from foxapi_async.polling.schedule import InspectionTable
from foxapi_async.polling.tracked_task import TrackedTask
from tests.conftest import OpenSession
from tests.virtual_time import VirtualTimeLoop

FOX = PhotaImage("a fox in the snow", num_outputs=2)

COURSES = {
    "in the older shape": Fate(shape="output"),
    "with bare links": Fate(shape="strings"),
    "empty for three polls": Fate(empty_looks=3),
    "empty for a minute": Fate(empty_for=60),
    "never complete while synced": Fate(empty_when_synced=True),
    "in capitals": Fate(spelling=str.upper),
    "padded": Fate(spelling=lambda word: f" {word} "),
    "unknown at first": Fate(hidden_for=4),
    "an unknown status": Fate(looks=["warming_up", "dreaming", "pending"]),
    "going back": Fate(looks=["processing", "pending", "processing", "pending"]),
    "no status at all": Fate(looks=[{"status": None}, {"status": 7}, {"status": ["a"]}]),
    "strange progress": Fate(looks=[{"progress": p} for p in (-5, 300, "40", None, 1e99, [1])]),
    "strange estimates": Fate(
        looks=[
            {"task_info": {"estimated_time": e}} for e in ("45", None, -1, 1e12, True, {}, "x", 0)
        ]
        + [{"task_info": info} for info in (None, [], "soon")]
    ),
    "completed twice without results": Fate(
        looks=[
            {"status": "completed", "results": results, "progress": 50} for results in (None, [])
        ]
    ),
    "completed with nothing but labels": Fate(
        looks=[{"status": "completed", "results": [{"url": None, "content_type": "image/png"}]}]
    ),
    "no estimate": Fate(estimate="missing"),
    "an estimate ten times too long": Fate(estimate=200.0, duration=20),
    "an estimate ten times too short": Fate(estimate=2.0, duration=20),
    "done at once": Fate(duration=0),
}


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("sync_upstream", [False, True])
async def test_a_task_completes_on_every_course(
    course: str,
    sync_upstream: bool,
    emulator: Emulator,
    open_session: OpenSession,
):
    emulator.script(Fault("submit", COURSES[course]))
    async with open_session(polling=Polling(sync_upstream=sync_upstream)) as session:
        task = await session.generate(FOX)
        assert task.status is TaskStatus.COMPLETED
        assert len(task.outputs) == 2
        assert session.statistics().images_in_flight == 0


async def test_a_task_with_fewer_outputs_than_requested_is_completed(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(outputs=1)))
    async with open_session() as session:
        assert len((await session.generate(FOX)).outputs) == 1


async def test_a_created_profile_is_an_output_without_a_file(
    emulator: Emulator, open_session: OpenSession
):
    items = [{"result_type": "profile", "profile_id": "pf_7Q2"}]
    emulator.script(Fault("submit", Fate(items=items)))
    async with open_session() as session:
        [output] = (await session.generate(FOX)).outputs
        assert (output.url, output.data["profile_id"]) == (None, "pf_7Q2")


FAULTS: dict[str, Effect | Sequence[Effect]] = {
    "reset": Drop(),
    "closed": Drop(reset=False),
    "no answer": Hang(),
    "500": error(500),
    "502 with HTML": html(502),
    "503": error(503, code="service_unavailable"),
    "408": error(408),
    "404": error(404),
    "400": error(400),
    "403 of the edge": text(403, "error code: 1010"),
    "429": rate_limit(2),
    "429 without the envelope": text(429, "slow down"),
    "HTML with 200": html(200),
    "truncated JSON": not_json(),
    "cut short": Deliver(cut_at=0.5),
    "a list": Answer(200, []),
    "no id": Rewrite({}, without=["id"]),
    "another task's id": Rewrite({"id": "task-of-another-client"}),
    "a redirect": Redirect("https://elsewhere.example/"),
    "an empty body": Answer(200, b""),
    "a large body": Rewrite({"padding": "x" * 9_000_000}),
    "slow": Delay(12),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("times", [1, 6])
async def test_a_failed_poll_never_ends_a_wait(
    fault: str, times: int, emulator: Emulator, open_session: OpenSession
):
    if FAULTS[fault] in (error(404), error(400), FAULTS["403 of the edge"]):
        times = min(times, 3)
    emulator.script(Fault("poll", FAULTS[fault], times=times))
    async with open_session() as session:
        task = await session.generate(FOX)
        assert len(task.outputs) == 2
    assert emulator.counters.images_billed == 2


async def test_a_failed_poll_is_reported(emulator: Emulator, open_session: OpenSession):
    emulator.script(Fault("poll", error(500), times=2))
    events: list[Event] = []
    async with open_session(on_event=events.append) as session:
        task = await session.generate(FOX)
        failed = [event for event in events if isinstance(event, PollFailed)]
        assert [event.task_id for event in failed] == [task.id, task.id]
        assert failed[0].error.task_id == task.id
        assert session.statistics().polls_failed == 2


async def test_a_failed_task_raises_with_its_error(emulator: Emulator, open_session: OpenSession):
    why = {"code": "content_policy_violation", "message": "no foxes", "type": "task_error"}
    emulator.script(Fault("submit", Fate(ends_as="failed", error=why)))
    async with open_session() as session:
        with pytest.raises(TaskFailedError, match="content_policy_violation: no foxes") as caught:
            await session.generate(FOX)
        assert caught.value.task.error is not None
        assert caught.value.task.error.code == "content_policy_violation"
        assert session.statistics().failed == 1


@pytest.mark.parametrize("why", [None, [], "boom", {}, {"code": 7, "message": None}])
async def test_a_failed_task_with_a_malformed_error_raises(
    why: object, emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(ends_as="failed", error=why)))  # type: ignore[arg-type]
    async with open_session() as session:
        with pytest.raises(TaskFailedError) as caught:
            await session.generate(FOX)
        assert caught.value.task_id == caught.value.task.id
        assert caught.value.task.error is not None


@pytest.mark.parametrize("word", ["cancelled", "canceled", "Cancelled"])
async def test_a_cancelled_task_raises_task_cancelled(
    word: str, emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(ends_as=word)))
    async with open_session() as session:
        with pytest.raises(TaskCancelledError):
            await session.generate(FOX)


async def test_outputs_that_never_appear_raise_invalid_response_with_the_id(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(empty_for=math.inf)))
    async with open_session() as session:
        handle = await session.submit(FOX)
        with pytest.raises(InvalidResponseError, match="no outputs") as caught:
            await handle
        assert caught.value.task_id == handle.id
        assert session.statistics().images_in_flight == 0
    assert emulator.counters.polls < 40


async def test_missing_outputs_are_polled_without_sync(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(empty_looks=2)))
    async with open_session(polling=Polling(sync_upstream=True)) as session:
        await session.generate(FOX)
    synced = [c.query.get("sync_upstream") for c in emulator.calls if c.route == "poll"]
    assert synced[0] == "true"
    assert synced[-2:] == [None, None]


async def test_updates_never_show_a_completed_task_without_outputs(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(empty_looks=3)))
    async with open_session() as session:
        handle = await session.submit(FOX)
        tasks = [task async for task in handle.updates()]
        assert [bool(task.outputs) for task in tasks if task.status.is_terminal] == [True]


async def test_a_rejected_key_ends_the_wait_at_once_with_the_id(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(
        *(Fault(route, error(401), times=None) for route in ("poll", "credits", "models"))
    )
    async with open_session() as session:
        handle = await session.submit(FOX)
        with pytest.raises(AuthenticationError) as caught:
            await handle
        assert caught.value.task_id == handle.id
        assert session.statistics().unfinished == 1
    assert emulator.counters.polls == 1


async def test_a_repeated_404_raises_not_found(emulator: Emulator, open_session: OpenSession):
    async with open_session() as session:
        began = anyio.current_time()
        with pytest.raises(NotFoundError) as caught:
            await session.attach("task-unknown")
        assert caught.value.task_id == "task-unknown"
        assert anyio.current_time() - began < 30


async def test_a_wait_ends_at_its_deadline_and_the_id_can_be_attached_again(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=100)))
    async with open_session(polling=Polling(give_up_after=30)) as session:
        began = anyio.current_time()
        with pytest.raises(TaskTimeoutError) as caught:
            await session.generate(FOX)
        assert 29 < anyio.current_time() - began < 31
        assert caught.value.task is not None
        assert session.statistics().images_in_flight == 0
        for _ in range(2):
            with pytest.raises(TaskTimeoutError):
                await session.attach(caught.value.task_id or "")
        assert (await session.attach(caught.value.task_id or "")).outputs


async def test_a_deadline_holds_while_the_server_hangs_or_the_session_is_paused(
    emulator: Emulator, open_session: OpenSession
):
    for effect in (Hang(), rate_limit(3000)):
        emulator.script(Fault("poll", effect, times=None))
        async with open_session(polling=Polling(give_up_after=20)) as session:
            began = anyio.current_time()
            with pytest.raises(TaskTimeoutError) as caught:
                await session.generate(FOX)
            assert 19 < anyio.current_time() - began < 21
            assert caught.value.task_id in emulator.tasks
        emulator.faults.clear()


NEVER_ANSWERED = {
    "a portal page": (html(200, "log in"), InvalidResponseError),
    "a firewall": (html(403, "no"), PermissionDeniedError),
    "another task": (Rewrite({"id": "task-other"}), InvalidResponseError),
    "an outage": (error(503), ServerError),
    "too many requests": (rate_limit(1), RateLimitError),
    "lost connections": (Drop(), APIConnectionError),
}


@pytest.mark.parametrize("name", NEVER_ANSWERED)
async def test_a_wait_without_a_good_poll_says_so_in_every_call(
    name: str, emulator: Emulator, open_session: OpenSession
):
    effect, cause = NEVER_ANSWERED[name]
    emulator.script(Fault("poll", effect, times=None))
    errors: list[FoxAPIError | None] = []
    async with open_session(polling=Polling(give_up_after=60)) as session:
        for wait in (
            lambda: session.generate(FOX),
            lambda: session.generate(FOX, timeout=30),
            lambda: session.attach(str(errors[0] and errors[0].task_id)).wait(),
            lambda: session.in_flight[0].wait(20),
        ):
            with pytest.raises(TaskTimeoutError) as caught:
                await wait()
            errors.append(caught.value)
            await session.submit(FOX)
        [outcome] = [outcome async for outcome in session.map([FOX])]
        assert outcome.status == "unfinished"
        assert outcome.error is not None
        errors += [outcome.error, outcome.error.again(), pickle.loads(pickle.dumps(outcome.error))]
    for each in errors:
        assert isinstance(each, TaskTimeoutError)
        assert each.no_poll_succeeded
        assert isinstance(each.__cause__, cause)
        assert "; no poll succeeded: " in str(each)
        assert f" failed, the last one with: {each.__cause__}" in str(each)
        assert "session" in str(each)


async def test_a_wait_with_a_good_poll_does_not_say_that_none_succeeded(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(
        Fault("submit", Fate(duration=1000)), Fault("poll", error(503), nth=2, times=None)
    )
    async with open_session(polling=Polling(give_up_after=60)) as session:
        with pytest.raises(TaskTimeoutError) as caught:
            await session.generate(FOX)
    assert not caught.value.no_poll_succeeded
    assert "no poll" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ServerError)


async def test_a_wait_that_ends_before_the_first_poll_says_so(open_session: OpenSession):
    async with open_session() as session:
        with pytest.raises(TaskTimeoutError, match="no poll was answered in that time") as caught:
            await session.generate(FOX, timeout=0.1)
    assert not caught.value.no_poll_succeeded
    assert caught.value.__cause__ is None


async def test_the_deadline_quotes_an_unknown_status_and_names_its_results(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("poll", Rewrite({"status": "Sublimated\u202e"}), times=None))
    async with open_session(polling=Polling(give_up_after=60)) as session:
        with pytest.raises(TaskTimeoutError) as caught:
            await session.generate(FOX)
    assert "was still 'Sublimated', a status that this release does not know" in str(caught.value)
    assert "although 2 outputs are there (error.task.outputs)" in str(caught.value)
    assert caught.value.task is not None
    assert len(caught.value.task.outputs) == 2


@pytest.mark.parametrize("word", ["SUCCESS", "succeeded"])
async def test_a_success_in_the_word_of_a_relay_completes_a_task(
    word: str, emulator: Emulator, open_session: OpenSession
):
    def relayed(task: Mapping[str, Any]) -> dict[str, Any]:
        done = task["status"] == "completed"
        return {**task, "status": word if done else "IN_PROGRESS"}

    emulator.script(Fault("poll", Rewrite(relayed), times=None))
    async with open_session() as session:
        assert len((await session.generate(FOX)).outputs) == 2


async def test_the_timeout_of_one_wait_does_not_end_the_tracking(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=30)))
    async with open_session() as session:
        handle = await session.submit(FOX)
        with pytest.raises(TaskTimeoutError) as caught:
            await handle.wait(timeout=3)
        assert caught.value.task_id == handle.id
        assert (await handle.wait(timeout=300)).outputs


async def test_many_waiters_for_one_task_cost_no_more_polls_than_one(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=20), times=2))
    async with open_session() as session:
        single = await session.submit(FOX)
        shared = await session.submit(FOX)
        again = session.attach(shared.id)
        tasks = await asyncio.gather(single, *(h.wait() for h in [shared, again] * 50))
        assert len({id(task) for task in tasks[1:]}) == 1
    polls = emulator.counters.polls_per_task
    assert polls[shared.id] <= polls[single.id] + 3


async def test_each_waiter_gets_its_own_error_instance(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(ends_as="failed")))
    async with open_session() as session:
        handle = await session.submit(FOX)
        errors = await asyncio.gather(handle.wait(), handle.wait(), return_exceptions=True)
        assert all(isinstance(error, TaskFailedError) for error in errors)
        assert errors[0] is not errors[1]


async def test_a_failed_task_affects_no_other(emulator: Emulator, open_session: OpenSession):
    emulator.script(Fault("submit", Fate(ends_as="failed"), nth=2))
    async with open_session() as session:
        handles = [await session.submit(FOX) for _ in range(4)]
        ended = await asyncio.gather(*handles, return_exceptions=True)
        assert [isinstance(task, TaskFailedError) for task in ended] == [False, True, False, False]


async def test_a_task_that_never_ends_is_polled_rarely(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=math.inf)))
    async with open_session(polling=Polling(give_up_after=3600)) as session:
        with pytest.raises(TaskTimeoutError):
            await session.generate(FOX)
    assert emulator.counters.polls < 300


async def test_poll_intervals_stay_within_their_bounds(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=200, estimate=200.0)))
    moments: list[float] = []
    emulator.script(
        Fault("poll", Delay(0), times=None, when=lambda _: not moments.append(anyio.current_time()))
    )
    async with open_session(polling=Polling(min_interval=4, max_interval=9)) as session:
        moments.append(anyio.current_time())
        await session.generate(FOX)
    gaps = [later - sooner for sooner, later in pairwise(moments)]
    assert all(3.9 < gap < 9.2 for gap in gaps)


async def test_the_poll_rate_stays_below_its_ceiling(emulator: Emulator, open_session: OpenSession):
    moments: list[float] = []
    emulator.script(
        Fault("poll", Delay(0), times=None, when=lambda _: not moments.append(anyio.current_time()))
    )
    limits = Limits(outputs=200, polls_per_second=5)
    async with open_session(limits=limits) as session:
        async for outcome in session.map([PhotaImage("a fox")] * 100):
            assert outcome.status == "completed"
    assert len(moments) >= 100
    for first, sixth in zip(moments, moments[11:], strict=False):
        assert sixth - first > 1.9


async def test_ids_and_outcomes_are_logged_and_each_request_at_debug(
    open_session: OpenSession, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG, logger="foxapi_async")
    async with open_session() as session:
        task = await session.generate(FOX)
    logged = [record for record in caplog.records if task.id in record.getMessage()]
    assert [r.getMessage() for r in logged if r.levelno == logging.INFO] != []
    assert any("GET /v1/tasks/" in r.getMessage() for r in logged if r.levelno == logging.DEBUG)


@pytest.mark.much
async def test_polls_that_are_due_at_once_are_started_in_small_batches(
    emulator: Emulator, open_session: OpenSession
):
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    emulator.script(Fault("submit", Fate(duration=60), times=None))
    limits = Limits(outputs=400)
    async with open_session(limits=limits) as session:
        ids = [(await session.submit(FOX)).id for _ in range(100)]
    before = emulator.counters.polls
    async with open_session(limits=limits) as session:
        handles = [session.attach(id_) for id_ in ids]
        sent, most = 0, 0
        while sent < 100:
            await asyncio.sleep(0)
            loop.now += 0.01  # a loop that is never idle does not skip
            polls = session.statistics().polls
            sent, most = polls, max(most, polls - sent)
        assert most <= 16
        await asyncio.gather(*handles)
    assert emulator.counters.polls >= before + 100


@pytest.mark.parametrize(("tasks", "faulty"), [(1, 2), (5, 10)])
async def test_an_internal_error_in_one_poll_delays_only_that_task(
    tasks: int,
    faulty: int,
    open_session: OpenSession,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    apply = TrackedTask.apply
    seen: list[Task] = []

    def fail_once(tracked: TrackedTask, task: Task, now: float) -> bool:
        seen.append(task)
        if len(seen) == faulty:
            raise ZeroDivisionError
        return apply(tracked, task, now)

    monkeypatch.setattr(TrackedTask, "apply", fail_once)
    async with open_session() as session:
        outcomes = [outcome.status async for outcome in session.map([FOX] * tasks)]
    assert outcomes == ["completed"] * tasks
    assert len(seen) > faulty
    assert caplog.text.count("failed; it is polled again") == 1


async def test_tasks_complete_and_are_journalled_if_the_schedule_fails(
    emulator: Emulator,
    open_session: OpenSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def fail(*_: Any, **__: Any) -> Any:
        raise OverflowError

    for name in ("fit", "still_running", "observe", "recalled"):
        monkeypatch.setattr(History, name, fail)
    monkeypatch.setattr(InspectionTable, "next_poll", fail)
    journal = Journal(tmp_path / "journal.db")
    async with open_session(journal=journal, limits=Limits(polls_per_second=1)) as session:
        pairs = [(f"fox {i}", FOX) for i in range(5)]
        assert [outcome.status async for outcome in session.map(pairs)] == ["completed"] * 5
        assert session.statistics().images_in_flight == 0
    assert emulator.counters.images_billed == 5 * FOX.num_outputs
    assert [entry.status for entry in Journal(tmp_path / "journal.db").entries()] == [
        "completed"
    ] * 5
    assert caplog.text.count("the polling schedule failed") == 1
    assert "it is polled again" not in caplog.text
