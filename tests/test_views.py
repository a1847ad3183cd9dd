"""`with_options`, `extra`, raw answers and the user agent: what users of other clients look for."""

from __future__ import annotations

import gc
import json
import pickle
from pathlib import Path
from typing import Any

import anyio
import pytest

from foxapi_async import (
    APIConnectionError,
    ConfigurationError,
    GenerationRequest,
    InvalidRequestError,
    Journal,
    Limits,
    PhotaImage,
    PhotaImageEnhance,
    Polling,
    RawResponse,
    Retry,
    ServerError,
    SessionClosedError,
    SubmissionUnknownError,
    TaskTimeoutError,
    Timeout,
)
from foxapi_async.emulator import (
    Answer,
    Call,
    Delay,
    Deliver,
    Drop,
    Emulator,
    Fate,
    Fault,
    Hang,
    error,
)
from foxapi_async.polling.schedule import Schedule
from tests.conftest import OpenSession

FOX = PhotaImage("a fox")


# Views


async def test_a_view_shares_everything_but_its_options(open_session: OpenSession):
    async with open_session(limits=Limits(outputs=1)) as session:
        view = session.with_options(timeout=Timeout(request=5))
        handle = await view.submit(FOX)
        assert session.in_flight == view.in_flight == (handle,)
        with pytest.raises(TaskTimeoutError):
            await handle.wait(0.1)
        async with anyio.create_task_group() as group:  # waits for the slot of the first
            group.start_soon(session.generate, FOX)
        assert view.statistics() == session.statistics()
        assert (view.limits, view.journal) == (session.limits, session.journal)


async def test_the_retries_of_a_view_are_its_own(open_session: OpenSession, emulator: Emulator):
    async with open_session() as session:
        view = session.with_options(retry=Retry(attempts=2))
        assert (view.retry.attempts, session.retry.attempts) == (2, 4)
        emulator.script(Fault("credits", error(500), times=2))
        with pytest.raises(ServerError):
            await view.balance()
        emulator.script(Fault("credits", error(500), times=3))
        await session.balance()
        patient = session.with_options(retry=Retry(submissions=False))
        emulator.script(Fault("submit", error(422, code="no_compatible_channel")))
        with pytest.raises(Exception, match="no_compatible_channel"):
            await patient.submit(FOX)
        emulator.script(Fault("submit", error(422, code="no_compatible_channel")))
        await session.generate(FOX)


async def test_the_timeouts_of_a_view_are_its_own(
    open_session: OpenSession, emulator: Emulator, tmp_path: Path
):
    loop_time = anyio.current_time
    async with open_session(timeout=Timeout(request=100)) as session:
        view = session.with_options(timeout=Timeout(request=3, stall=2), retry=Retry(attempts=1))
        emulator.script(Fault("submit", Hang()))
        began = loop_time()
        with pytest.raises(SubmissionUnknownError, match="no answer within"):
            await view.submit(FOX)
        assert loop_time() - began < 10
        emulator.script(Fault("credits", Hang()))
        with pytest.raises(APIConnectionError):
            await view.balance()
        task = await view.generate(FOX)
        emulator.script(Fault("download", Deliver(stall_at=0.5)))
        began = loop_time()
        with pytest.raises(Exception, match="given up"):
            await view.download(task, tmp_path)
        assert loop_time() - began < 10
        [path] = await view.download(task, tmp_path)
        assert session.statistics().downloads == 1
        assert path.stat().st_size == session.statistics().bytes_downloaded


async def test_the_end_of_a_session_waits_for_the_posts_of_views(
    open_session: OpenSession, emulator: Emulator
):
    arrived = anyio.Event()

    def when(_: Call) -> bool:
        arrived.set()
        return True

    emulator.script(Fault("submit", Delay(50), when=when))
    session = await open_session(timeout=Timeout(request=5)).open()
    view = session.with_options(timeout=Timeout(request=100))
    async with anyio.create_task_group() as group:

        async def submit() -> None:
            with pytest.raises(SessionClosedError):
                await (await view.submit(FOX)).wait()

        group.start_soon(submit)
        await arrived.wait()
        await session.aclose()
    assert session.statistics().submitted == emulator.counters.tasks == 1
    assert session.statistics().unknown == 0


async def test_the_polling_of_a_view_is_its_own(open_session: OpenSession, emulator: Emulator):
    polls: dict[str, int] = {}

    def count(call: Call) -> bool:
        assert call.task is not None
        polls[call.task.id] = polls.get(call.task.id, 0) + 1
        return False

    emulator.script(
        Fault("submit", Fate(duration=30), times=None), Fault("poll", error(500), when=count)
    )
    async with open_session() as session:
        dense = session.with_options(polling=Polling(min_interval=1, max_interval=1))
        rare = session.with_options(polling=Polling(min_interval=25, max_interval=25))
        handles = [await each.submit(FOX) for each in (session, dense, rare)]
        for handle in handles:
            await handle.wait()
        usual, often, seldom = (polls[handle.id] for handle in handles)
        assert often > 20
        assert seldom <= 5
        assert seldom < usual < often
        short = session.with_options(polling=Polling(give_up_after=5))
        with pytest.raises(TaskTimeoutError):
            await short.generate(FOX)


async def test_map_uses_the_options_of_its_view(open_session: OpenSession, emulator: Emulator):
    emulator.script(Fault("submit", Fate(duration=300), times=None))
    async with open_session() as session:
        view = session.with_options(polling=Polling(give_up_after=5))
        outcomes = [outcome async for outcome in view.map([FOX] * 3)]
        assert [outcome.status for outcome in outcomes] == ["unfinished"] * 3


async def test_a_view_of_a_view_keeps_what_is_not_given(open_session: OpenSession):
    async with open_session() as session:
        seen: list[RawResponse] = []
        view = session.with_options(retry=Retry(attempts=2), on_response=seen.append)
        inner = view.with_options(timeout=Timeout(request=5))
        assert inner.retry.attempts == 2
        await inner.balance()
        assert len(seen) == 1


async def test_a_view_lives_as_long_as_its_session(open_session: OpenSession):
    session = open_session()
    view = session.with_options(retry=Retry(attempts=2))
    with pytest.raises(ConfigurationError, match="not open"):
        await view.open()
    with pytest.raises(ConfigurationError, match="not open"):
        await view.generate(FOX)
    await session.open()
    async with view:
        await view.generate(FOX)
    await view.aclose()
    await view.generate(FOX)
    del view
    gc.collect()  # nothing warns
    view = session.with_options()
    await session.aclose()
    with pytest.raises(SessionClosedError):
        await view.generate(FOX)


def test_the_options_of_a_view_are_checked(open_session_free: OpenSession):
    session = open_session_free()
    for wrong in ({"timeout": 5}, {"retry": 3}, {"polling": "often"}, {"on_response": "print"}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            session.with_options(**wrong)

    async def listen(_: RawResponse) -> None:
        """Would never be awaited."""

    with pytest.raises(ConfigurationError, match="plain function"):
        session.with_options(on_response=listen)


@pytest.fixture
def open_session_free() -> OpenSession:
    from foxapi_async import Session  # noqa: PLC0415

    return lambda **options: Session("sk-emulator", base_url="http://127.0.0.1:9", **options)


def test_a_schedule_of_other_costs_plans_by_what_is_learned():
    usual = Schedule()
    other = usual.sharing(0.01, 0.1, 60.0)
    before = other.next_poll("group", None, 0.0)
    for _ in range(40):
        usual.observe("group", None, 29.0, 31.0)
    assert other.next_poll("group", None, 0.0) != before
    assert 22 < other.next_poll("group", None, 20.0) < 35


# Further fields

NEW = GenerationRequest("flux-2", {"prompt": "a fox"})
"""Of a model whose fields the emulator does not check."""


async def test_further_fields_are_sent(open_session: OpenSession, emulator: Emulator):
    payloads: list[Any] = []
    emulator.script(
        Fault("submit", error(500), when=lambda call: bool(payloads.append(call.payload)))
    )
    async with open_session() as session:
        handle = await session.submit(
            NEW, extra={"seed": 7, "style": {"name": "ink"}, "gone": None}
        )
        await session.generate(NEW, extra={})
    assert payloads[0] == {**NEW.payload(), "seed": 7, "style": {"name": "ink"}}
    assert payloads[1] == NEW.payload()
    assert handle.request is not None
    assert handle.request.payload() == payloads[0]
    assert (handle.request.model, handle.request.num_outputs) == (NEW.model, 1)
    assert pickle.loads(pickle.dumps(handle.request)) == handle.request


@pytest.mark.parametrize(
    "extra",
    [
        {"prompt": "a wolf"},
        {"model": "another"},
        {"num_outputs": 9},
        {"seed": float("nan")},
        {"seed": {7}},
        {7: "seven"},
        {"text": "\ud800"},
        ["seed"],
        "seed",
    ],
    ids=repr,
)
async def test_further_fields_that_clash_or_are_no_json_are_refused_before_anything_is_sent(
    extra: Any, open_session: OpenSession, emulator: Emulator
):
    async with open_session() as session:
        for request in (FOX, NEW, GenerationRequest("phota-image", {"prompt": "a"})):
            with pytest.raises(InvalidRequestError, match=r"extra"):
                await session.submit(request, extra=extra)
    assert emulator.counters.posts == 0


async def test_the_number_of_outputs_cannot_be_smuggled_past_the_limits(open_session: OpenSession):
    enhance = PhotaImageEnhance("https://files.example/a.png")
    async with open_session() as session:
        with pytest.raises(InvalidRequestError, match="billed and bounded"):
            await session.submit(enhance, extra={"num_outputs": 100})


async def test_further_fields_belong_to_what_a_key_stands_for(
    open_session: OpenSession, emulator: Emulator, tmp_path: Path
):
    journal = tmp_path / "journal.db"
    async with open_session(journal=journal) as session:
        handle = await session.submit(NEW, key="fox", extra={"seed": 7})
        assert await session.submit(NEW, key="fox", extra={"seed": 7}) == handle
        for other in ({"seed": 8}, None):
            with pytest.raises(InvalidRequestError, match="seed"):
                await session.submit(NEW, key="fox", extra=other)
    assert emulator.counters.tasks == 1
    assert Journal(journal).unfinished()[0].payload["seed"] == 7


async def test_the_error_of_an_unknown_submission_holds_the_further_fields(
    open_session: OpenSession, emulator: Emulator
):
    emulator.script(Fault("submit", Drop(carried_out=True)))
    async with open_session() as session:
        with pytest.raises(SubmissionUnknownError) as caught:
            await session.submit(NEW, extra={"seed": 7})
        assert caught.value.request is not None
        again = await session.submit(caught.value.request)
        assert again.request is not None
        assert again.request.payload()["seed"] == 7


async def test_a_request_with_further_fields_can_be_split(open_session: OpenSession):
    async with open_session() as session:
        handle = await session.submit(
            GenerationRequest("flux-2", {"prompt": "foxes", "num_outputs": 3}), extra={"seed": 7}
        )
        assert handle.request is not None
        parts = handle.request.split(2)
    assert [part.num_outputs for part in parts] == [2, 1]
    assert [part.payload()["seed"] for part in parts] == [7, 7]


# Raw answers


async def test_answers_are_shown_to_who_asks(open_session: OpenSession, emulator: Emulator):
    emulator.script(
        Fault(
            "submit",
            Deliver(headers={"X-Request-Id": "req-7", "Set-Cookie": "a=b", "X-Quota": "9"}),
        )
    )
    seen: list[RawResponse] = []
    async with open_session() as session:
        view = session.with_options(on_response=seen.append)
        task = await view.generate(FOX)
        await view.balance()
        await session.balance()
    post, *polls, balance = seen
    assert (post.method, post.path, post.status) == ("POST", "/v1/images/generations", 200)
    assert post.request_id == post.headers["x-request-id"] == "req-7"
    assert post.headers["x-quota"] == "9"
    assert "set-cookie" not in post.headers
    assert post.json()["id"] == task.id
    assert post.size == len(post.body)
    assert {poll.path for poll in polls} == {f"/v1/tasks/{task.id}"}
    assert json.loads(balance.text()) == balance.json()


async def test_refusals_are_shown_without_the_key(open_session: OpenSession, emulator: Emulator):
    said = {"error": {"message": "your key sk-emulator"}}
    emulator.script(
        Fault("submit", Answer(400, said, headers={"X-Echo": "sk-emulator", "X-Long": "x" * 9000}))
    )
    seen: list[RawResponse] = []
    async with open_session() as session:
        with pytest.raises(Exception, match="400"):
            await session.with_options(on_response=seen.append).submit(FOX)
    [refusal] = seen
    assert refusal.status == 400
    assert "sk-emulator" not in refusal.text() + str(dict(refusal.headers)) + repr(refusal)
    assert len(refusal.headers["x-long"]) == 4096
    with pytest.raises(TypeError):
        refusal.headers["a"] = "b"  # type: ignore[index]


async def test_long_answers_are_cut(open_session: OpenSession, emulator: Emulator):
    emulator.script(Fault("credits", Answer(200, {"data": {"x": "y" * 200_000}})))
    seen: list[RawResponse] = []
    async with open_session() as session:
        await session.with_options(on_response=seen.append).balance()
    assert len(seen[0].body) == 64 * 1024
    assert seen[0].size > 200_000
    with pytest.raises(ValueError, match="Unterminated"):
        seen[0].json()


async def test_what_a_listener_raises_costs_nothing(
    open_session: OpenSession, emulator: Emulator, caplog: pytest.LogCaptureFixture
):
    def listen(_: RawResponse) -> None:
        raise SystemExit

    async with open_session() as session:
        await session.with_options(on_response=listen).generate(FOX)
    assert "on_response raised" in caplog.text
    assert emulator.counters.tasks == 1


# The user agent


async def test_the_name_of_an_app_is_appended_to_the_user_agent(
    open_session: OpenSession, emulator: Emulator, tmp_path: Path
):
    agents: list[str] = []

    def note(call: Call) -> bool:
        agents.append(call.headers["User-Agent"])
        return False

    emulator.script(*(Fault(on, error(500), when=note) for on in ("submit", "download")))
    async with open_session(user_agent="myapp/1.0 (night)") as session:
        await session.download(await session.generate(FOX), tmp_path)
    api, files = agents
    assert api.startswith("foxapi-async/")
    assert api.endswith(" myapp/1.0 (night)")
    assert "myapp" not in files


@pytest.mark.parametrize("wrong", ["", " ", "a\nb", "\u00fc", "a ", 7])
def test_a_user_agent_that_cannot_be_sent_is_refused(wrong: Any, open_session_free: OpenSession):
    with pytest.raises(ConfigurationError, match="user_agent"):
        open_session_free(user_agent=wrong)
    with pytest.raises(ConfigurationError, match="one of them"):
        open_session_free(user_agent="a", headers={"user-agent": "b"})
