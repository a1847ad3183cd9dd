"""`Session.map` and `fan_out`: lazy input, limits, and one outcome per request."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial

import anyio
import pytest

from foxapi_async import (
    AuthenticationError,
    BudgetExceededError,
    InsufficientQuotaError,
    InvalidRequestError,
    Limits,
    Outcome,
    PhotaImage,
    Polling,
    RateLimitError,
    Retry,
    Session,
    SessionClosedError,
)
from foxapi_async.emulator import Call, Drop, Emulator, Fate, Fault, error, html, rate_limit
from tests.conftest import OpenSession


def foxes(count: int, num_outputs: int = 1) -> list[PhotaImage]:
    return [PhotaImage(f"fox {index}", num_outputs=num_outputs) for index in range(count)]


async def collect(outcomes: AsyncIterator[Outcome]) -> list[Outcome]:
    return [outcome async for outcome in outcomes]


async def test_map_yields_one_outcome_per_request(emulator: Emulator, open_session: OpenSession):
    async with open_session() as session:
        outcomes = await collect(session.map(foxes(50)))
    assert sorted(outcome.index for outcome in outcomes) == list(range(50))
    for outcome in outcomes:
        assert (outcome.status, outcome.error, outcome.key) == ("completed", None, None)
        assert outcome.request == PhotaImage(f"fox {outcome.index}")
        assert outcome.task is not None
        assert emulator.tasks[outcome.task.id].prompt == f"fox {outcome.index}"
        assert outcome.task_id == outcome.task.id
    assert emulator.counters.images_billed == 50


async def test_outcomes_are_yielded_as_they_complete_or_in_order(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(duration=60)), Fault("submit", Fate(duration=60), nth=12))
    async with open_session() as session:
        as_completed = [outcome.index for outcome in await collect(session.map(foxes(10)))]
        in_order = [o.index for o in await collect(session.map(foxes(10), ordered=True))]
    assert as_completed[-1] == 0
    assert in_order == list(range(10))


@pytest.mark.much
async def test_images_in_flight_never_exceed_the_limit(
    emulator: Emulator, open_session: OpenSession
):
    requests = [PhotaImage("fox", num_outputs=1 + index % 4) for index in range(100)]
    async with open_session(limits=Limits(outputs=10)) as session:
        outcomes = await collect(session.map(requests))
    assert {outcome.status for outcome in outcomes} == {"completed"}
    assert 7 <= emulator.counters.max_images_in_flight <= 10


@pytest.mark.once
@pytest.mark.much
async def test_hundreds_of_tasks_stay_within_the_limit(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(outputs=64)) as session:
        count = 0
        async for outcome in session.map(PhotaImage(f"fox {index}") for index in range(300)):
            assert outcome.status == "completed"
            count += 1
    assert count == emulator.counters.images_billed == 300
    assert emulator.counters.max_images_in_flight <= 64


async def test_the_input_is_read_lazily(emulator: Emulator, open_session: OpenSession):
    read = 0

    def endless() -> Iterator[PhotaImage]:
        nonlocal read
        while True:
            read += 1
            yield PhotaImage("a fox")

    emulator.script(Fault("submit", Fate(duration=50), times=None))
    async with open_session(limits=Limits(outputs=8)) as session:
        outcomes = session.map(endless())
        assert read == 0
        await anext(outcomes)
        assert read <= 8 + 2


async def test_a_slow_reader_stops_submissions(emulator: Emulator, open_session: OpenSession):
    read = 0

    def endless() -> Iterator[PhotaImage]:
        nonlocal read
        while True:
            read += 1
            yield PhotaImage("a fox")

    async with open_session(limits=Limits(outputs=4)) as session:
        outcomes = session.map(endless())
        await anext(outcomes)
        await anyio.sleep(3600)
        assert read < 100
        assert session.in_flight == ()


async def test_async_inputs_and_keys_are_accepted(open_session: OpenSession):
    async def requests() -> AsyncIterator[tuple[str, PhotaImage] | PhotaImage]:
        for index in range(5):
            await anyio.sleep(1)
            yield (f"key {index}", PhotaImage("a fox"))
        yield PhotaImage("a fox")

    async with open_session() as session:
        outcomes = await collect(session.map(requests(), ordered=True))
    assert [outcome.key for outcome in outcomes] == [f"key {index}" for index in range(5)] + [None]


async def test_an_input_error_is_raised_after_the_tasks_in_flight_have_ended(
    open_session: OpenSession,
):
    def requests() -> Iterator[PhotaImage]:
        yield from foxes(5)
        raise LookupError("line 6 is invalid")

    async with open_session() as session:
        outcomes = session.map(requests())
        seen = [await anext(outcomes) for _ in range(5)]
        assert {outcome.status for outcome in seen} == {"completed"}
        with pytest.raises(LookupError, match="line 6"):
            await anext(outcomes)
        with pytest.raises(StopAsyncIteration):
            await anext(outcomes)


async def test_an_input_item_that_is_not_a_request_is_named_by_its_position(
    open_session: OpenSession,
):
    async with open_session() as session:
        outcomes = session.map([PhotaImage("a fox"), "a fox"])  # type: ignore[list-item]
        assert (await anext(outcomes)).status == "completed"
        with pytest.raises(InvalidRequestError, match="item 1 of the input"):
            await anext(outcomes)


async def test_an_empty_input_yields_no_outcomes(open_session: OpenSession):
    async with open_session() as session:
        assert await collect(session.map([])) == []


async def test_each_outcome_status_has_its_cause(emulator: Emulator, open_session: OpenSession):
    emulator.script(
        Fault("submit", Fate(ends_as="failed"), when=lambda call: call.prompt == "fails"),
        Fault("submit", Fate(ends_as="cancelled"), when=lambda call: call.prompt == "cancelled"),
        Fault("submit", Fate(duration=9999), when=lambda call: call.prompt == "endless"),
        Fault("submit", error(422), when=lambda call: call.prompt == "refused"),
        Fault("submit", Drop(carried_out=True), when=lambda call: call.prompt == "lost"),
    )
    prompts = ["fails", "cancelled", "endless", "refused", "lost", "fine"]
    requests = [PhotaImage(prompt) for prompt in prompts] + [PhotaImage("heavy", num_outputs=9)]
    limits = Limits(outputs=8)
    async with open_session(limits=limits, polling=Polling(give_up_after=60)) as session:
        outcomes = await collect(session.map(requests, ordered=True))
    assert [outcome.status for outcome in outcomes] == [
        "failed",
        "failed",
        "unfinished",
        "rejected",
        "unknown",
        "completed",
        "not_submitted",
    ]
    for outcome in outcomes:
        assert (outcome.error is None) == (outcome.status == "completed")
        had_an_id = outcome.status in {"failed", "unfinished", "completed"}
        assert (outcome.task_id is not None) == had_an_id
    assert isinstance(outcomes[-1].error, InvalidRequestError)


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_after_a_fatal_answer_nothing_is_sent_and_tasks_in_flight_complete(
    status: int, emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", error(status), nth=4, times=None))
    emulator.script(*(Fault(route, error(401), times=None) for route in ("credits", "models")))
    async with open_session(limits=Limits(outputs=2)) as session:
        outcomes = await collect(session.map(foxes(50), ordered=True))
    statuses = [outcome.status for outcome in outcomes]
    assert statuses[:3] == ["completed"] * 3
    assert 1 <= statuses.count("rejected") <= 2
    assert statuses.count("not_submitted") == 47 - statuses.count("rejected")
    assert emulator.counters.posts <= 5
    assert all(outcome.error is not None for outcome in outcomes[3:])


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_an_edge_that_refuses_everything_does_not_use_up_the_input(
    status: int, emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", html(status), times=None))
    async with open_session() as session:
        outcomes = await collect(session.map(foxes(200)))
    statuses = Counter(outcome.status for outcome in outcomes)
    assert 25 <= statuses["rejected"] <= 25 + 32
    assert statuses["not_submitted"] == 200 - statuses["rejected"]
    assert "25 consecutive refusals" in str(outcomes[-1].error)


async def test_requests_that_the_api_refuses_do_not_stop_the_others(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", error(404, code="model_not_found"), times=60))
    async with open_session() as session:
        outcomes = await collect(session.map(foxes(100)))
    assert Counter(outcome.status for outcome in outcomes) == {"rejected": 60, "completed": 40}


async def test_a_key_rejected_while_polling_leaves_unfinished_tasks(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(
        *(Fault(route, error(401), times=None) for route in ("poll", "credits", "models"))
    )
    async with open_session(limits=Limits(outputs=4)) as session:
        outcomes = await collect(session.map(foxes(40)))
    unfinished = [outcome for outcome in outcomes if outcome.status == "unfinished"]
    assert len(unfinished) == emulator.counters.tasks
    assert all(isinstance(outcome.error, AuthenticationError) for outcome in unfinished)
    assert {outcome.task_id for outcome in unfinished} == set(emulator.tasks)


async def test_tasks_in_flight_complete_when_the_balance_runs_out(
    open_session: OpenSession,
):
    async with (
        Emulator(credits=5 * 30_000, duration=5, picture_scale=1 / 16) as emulator,
        Session("sk-emulator", base_url=emulator.url) as session,
    ):
        outcomes = await collect(session.map(foxes(20)))
    statuses = [outcome.status for outcome in outcomes]
    assert statuses.count("completed") == 5
    refused = [outcome for outcome in outcomes if outcome.status != "completed"]
    assert all(isinstance(outcome.error, InsufficientQuotaError) for outcome in refused)


async def test_requests_beyond_the_budget_are_not_submitted(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(outputs=4, total_outputs=7)) as session:
        outcomes = await collect(session.map(foxes(20)))
    statuses = [outcome.status for outcome in outcomes]
    assert (statuses.count("completed"), statuses.count("not_submitted")) == (7, 13)
    assert any(isinstance(outcome.error, BudgetExceededError) for outcome in outcomes)
    assert emulator.counters.images_billed == 7


async def test_breaking_out_stops_submitting_and_leaves_tasks_in_flight(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(outputs=5)) as session:
        async for _ in session.map(foxes(1000)):
            break
        gc.collect()
        posts = emulator.counters.posts
        in_flight = session.in_flight
        await anyio.sleep(1000)
        assert emulator.counters.posts <= posts + 1
        assert 1 <= len(in_flight) <= 5
        for handle in in_flight:
            assert (await handle).outputs
        assert session.statistics().images_in_flight == 0


async def test_a_referenced_iterator_stops_submitting_after_a_break(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(outputs=8)) as session:
        outcomes = session.map(foxes(1000))
        async for _ in outcomes:
            break
        await anyio.sleep(1000)
        posts = emulator.counters.posts
        assert posts <= 8 + 2
        await anext(outcomes)
        await anyio.sleep(1000)
        assert emulator.counters.posts <= posts + 8  # reading on submits more


async def test_aclose_stops_submitting(emulator: Emulator, open_session: OpenSession):
    async with open_session(limits=Limits(outputs=5)) as session:
        outcomes = session.map(foxes(1000))
        await anext(outcomes)
        await outcomes.aclose()  # type: ignore[attr-defined]
        with pytest.raises(StopAsyncIteration):
            await anext(outcomes)
        posts = emulator.counters.posts
        await anyio.sleep(1000)
        assert emulator.counters.posts == posts


async def test_closing_the_session_raises_in_the_reader(
    emulator: Emulator, open_session: OpenSession
):
    outcomes: list[Outcome] = []
    errors: list[Exception] = []

    async def read(session: Session) -> None:
        try:
            async for outcome in session.map(foxes(1000)):
                outcomes.append(outcome)  # noqa: PERF401 - the outcomes before the error count
        except SessionClosedError as error:
            errors.append(error)

    async with (
        anyio.create_task_group() as tasks,
        open_session(limits=Limits(outputs=5)) as session,
    ):
        tasks.start_soon(read, session)
        await anyio.sleep(30)
    assert len(errors) == 1
    statuses = {outcome.status for outcome in outcomes}
    assert statuses <= {"completed", "unfinished", "not_submitted"}
    known = {outcome.task_id for outcome in outcomes if outcome.task_id}
    assert known == set(emulator.tasks)


async def test_fan_out_loses_one_image_per_failed_task(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Fate(ends_as="failed"), nth=2))
    async with open_session() as session:
        outcomes = await collect(session.fan_out(PhotaImage("a fox", num_outputs=5)))
    statuses = [outcome.status for outcome in outcomes]
    assert (statuses.count("completed"), statuses.count("failed")) == (4, 1)
    assert emulator.counters.images_billed == 5


async def test_fan_out_groups_outputs_per_task(emulator: Emulator, open_session: OpenSession):
    async with open_session() as session:
        request = PhotaImage("a fox", num_outputs=5)
        outcomes = await collect(session.fan_out(request, outputs_per_task=2))
    assert sorted(outcome.request.num_outputs for outcome in outcomes) == [1, 2, 2]


@pytest.mark.much
@pytest.mark.parametrize("retry_after", [None, "seconds", "date", "absurd"])
async def test_a_rate_limit_slows_the_session_and_loses_no_request(retry_after: str | None):
    async with Emulator(
        duration=(5, 20),
        requests_per_second=10,
        retry_after="none" if retry_after is None else retry_after,  # type: ignore[arg-type]
        picture_scale=1 / 16,
    ) as emulator:
        async with Session("sk-emulator", base_url=emulator.url) as session:
            outcomes = await collect(session.map(foxes(100)))
        assert {outcome.status for outcome in outcomes} == {"completed"}
        assert emulator.counters.images_billed == 100
        assert emulator.counters.answered_429 < emulator.counters.requests / 5


@pytest.mark.much
async def test_all_tasks_complete_on_a_server_with_a_low_cap_on_images_in_flight():
    async with Emulator(
        duration=(20, 40), max_images_in_flight=6, picture_scale=1 / 16, seed=3
    ) as emulator:
        async with Session(
            "sk-emulator", base_url=emulator.url, limits=Limits(outputs=30)
        ) as session:
            outcomes = await collect(session.map(foxes(60)))
        assert {outcome.status for outcome in outcomes} == {"completed"}
        assert emulator.counters.images_billed == 60


async def test_a_429_to_a_submission_does_not_pause_polls(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session() as session:
        handle = await session.submit(PhotaImage("a fox"))
        emulator.script(Fault("submit", rate_limit(200)))
        paused = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(session.submit, PhotaImage("a fox"))
            await handle
            assert anyio.current_time() - paused < 150
        assert anyio.current_time() - paused >= 200


def has_prompt(prompt: str, call: Call) -> bool:
    return call.prompt == prompt


@pytest.mark.parametrize("retry_after", [0, None])
async def test_a_few_requests_that_are_refused_several_times_are_soon_done(
    emulator: Emulator, open_session: OpenSession, retry_after: int | None
):
    refused = {"fox 1", "fox 4", "fox 6", "fox 9"}
    for prompt in refused:
        emulator.script(
            Fault("submit", rate_limit(retry_after), times=3, when=partial(has_prompt, prompt))
        )
    async with open_session() as session:
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            for n in range(10):
                group.start_soon(session.submit, PhotaImage(f"fox {n}"))
        assert anyio.current_time() - began < 10
        assert session.statistics().submitted == 10
    assert emulator.counters.answered_429 == 12


async def test_no_request_is_given_up_in_minutes_of_429(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(outputs=2)) as session:
        await session.generate(PhotaImage("a fox"))
        began = anyio.current_time()
        refuse = Fault(
            "submit", rate_limit(0), times=None, when=lambda _: anyio.current_time() < began + 180
        )
        emulator.script(refuse)
        outcomes = await collect(session.map(foxes(8)))
        assert anyio.current_time() - began >= 180
        assert {outcome.status for outcome in outcomes} == {"completed"}


async def test_a_server_that_refuses_for_good_ends_a_map_operation(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", rate_limit(0), times=None))
    async with open_session(retry=Retry(patience=60.0)) as session:
        requests = [PhotaImage(f"fox {number}") for number in range(100)]
        outcomes = [outcome async for outcome in session.map(requests)]
    assert {outcome.status for outcome in outcomes} == {"rejected", "not_submitted"}
    assert all(isinstance(outcome.error, RateLimitError) for outcome in outcomes)
