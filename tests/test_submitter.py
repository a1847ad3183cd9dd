"""The billed POST over a real socket: which submissions are retried, rejected or unknown.

Each row of the table "When may a request be repeated?" is one case. The emulator counts the billed
images.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import pytest

from foxapi_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    FoxAPIError,
    GenerationRequest,
    InsufficientQuotaError,
    InvalidRequestError,
    InvalidResponseError,
    Limits,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    PhotaImage,
    RateLimitError,
    Retry,
    ServerError,
    Session,
    SubmissionUnknownError,
    Timeout,
    UnprocessableEntityError,
)
from foxapi_async.emulator import (
    Answer,
    Deliver,
    Drop,
    Effect,
    Emulator,
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
from foxapi_async.http import transport
from tests.conftest import OpenSession

FOX = PhotaImage("a fox in the snow")

BILLED_AND_LOST: dict[str, Effect | Sequence[Effect]] = {
    "reset after the request was read": Drop(carried_out=True),
    "closed after the request was read": Drop(carried_out=True, reset=False),
    "never answered": Hang(carried_out=True),
    "cut short": Deliver(cut_at=0.5),
    "reset in the middle of the answer": Deliver(cut_at=0.5, reset=True),
    "silent in the middle of the answer": Deliver(stall_at=0.5),
    "200 with HTML": html(200, carried_out=True),
    "200 with truncated JSON": not_json(carried_out=True),
    "200 without an id": Rewrite({}, without=["id"]),
    "200 with an empty id": Rewrite({"id": ""}),
    "200 with an id that is a path": Rewrite({"id": "../tasks"}),
    "200 with an id that is a number": Rewrite({"id": 7}),
    "200 with a list": Answer(200, [1, 2], carried_out=True),
    "204": Answer(204, b"", carried_out=True),
    "500 with the service's envelope": error(500, code="internal_error", carried_out=True),
    "502 with HTML": html(502, carried_out=True),
    "503 with another code than no channel": error(
        503, code="service_unavailable", carried_out=True
    ),
    "503 with HTML": html(503, carried_out=True),
    "504": html(504, carried_out=True),
    "524 of the edge": html(524, carried_out=True),
    "408": error(408, carried_out=True),
    "409": error(409, carried_out=True),
    "429 without the envelope": text(429, "slow down", carried_out=True),
    "429 with another envelope": Answer(429, {"detail": "slow down"}, carried_out=True),
    "429 that names a task": Answer(429, {"error": {}, "id": "task-1"}, carried_out=True),
    "422 that names a task": Answer(422, {"error": {}, "id": "task-1"}, carried_out=True),
    **{
        f"{status} to the same path": Redirect("/v1/images/generations", status, carried_out=True)
        for status in (301, 302, 303, 307, 308)
    },
}


@pytest.mark.parametrize("case", BILLED_AND_LOST)
async def test_an_ambiguous_answer_is_unknown_and_not_retried(
    case: str,
    emulator: Emulator,
    open_session: OpenSession,
    caplog: pytest.LogCaptureFixture,
):
    emulator.script(Fault("submit", BILLED_AND_LOST[case]))
    async with open_session() as session:
        with pytest.raises(SubmissionUnknownError) as caught:
            await session.submit(FOX, key="mine")
        statistics = session.statistics()
        assert (statistics.unknown, statistics.images_unknown) == (1, 1)
        assert statistics.images_in_flight == 0
    assert (emulator.counters.posts, emulator.counters.images_billed) == (1, 1)
    assert caught.value.request == FOX
    assert caught.value.key == "mine"
    assert isinstance(caught.value.__cause__, FoxAPIError)
    assert "may have" in str(caught.value)
    assert any(record.levelno == logging.WARNING for record in caplog.records)


async def test_a_reset_before_the_request_was_processed_is_unknown_too(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Drop()))
    async with open_session() as session:
        with pytest.raises(SubmissionUnknownError):
            await session.generate(FOX)
    assert (emulator.counters.posts, emulator.counters.images_billed) == (1, 0)


REFUSALS: dict[str, tuple[Effect, type[APIStatusError]]] = {
    "400": (error(400), BadRequestError),
    "402": (error(402, code="insufficient_quota"), InsufficientQuotaError),
    "403": (error(403), PermissionDeniedError),
    "403 of the edge": (text(403, "error code: 1010"), PermissionDeniedError),
    "404": (error(404), NotFoundError),
    "413 of the edge": (html(413), PayloadTooLargeError),
    "422": (error(422, code="model_not_found"), UnprocessableEntityError),
    "422 with an unknown code": (error(422, code="new_one"), UnprocessableEntityError),
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_rejection_is_raised_and_bills_nothing(
    status: str, emulator: Emulator, open_session: OpenSession
):
    effect, expected = REFUSALS[status]
    emulator.script(Fault("submit", effect))
    async with open_session(limits=Limits(total_outputs=1)) as session:
        with pytest.raises(expected) as caught:
            await session.submit(FOX)
        assert caught.value.status == int(status[:3])
        assert caught.value.task_id is None
        assert session.statistics().rejected == 1
        assert session.statistics().images_in_flight == 0
        await session.submit(FOX)  # a rejected submission does not count against the budget
    assert (emulator.counters.posts, emulator.counters.images_billed) == (2, 1)


async def test_a_401_that_a_free_request_refutes_is_sent_once_more(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", error(401)))
    async with open_session() as session:
        await session.submit(FOX)
        assert session.statistics().repeated_submissions == 1
    assert (emulator.counters.posts, emulator.counters.images_billed) == (2, 1)


@pytest.mark.parametrize("balance", [error(401), html(404), html(502)], ids=["401", "404", "502"])
@pytest.mark.parametrize("models", [error(401), html(404), Drop()], ids=["401", "404", "drop"])
async def test_a_401_that_no_free_request_refutes_is_raised(
    balance: Effect, models: Effect, emulator: Emulator, open_session: OpenSession
):
    emulator.script(
        Fault("submit", error(401)),
        Fault("credits", balance),
        Fault("models", models, times=None),  # aiohttp repeats a GET whose connection was dropped
    )
    async with open_session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.submit(FOX)
    assert caught.value.ends_run
    assert emulator.counters.posts == 1


@pytest.mark.parametrize(("status", "times"), [(401, 2), (403, 1)])
async def test_a_refusal_by_a_service_that_accepts_the_key_concerns_one_request(
    status: int, times: int, emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", error(status), times=times))
    async with open_session() as session:
        with pytest.raises((AuthenticationError, PermissionDeniedError)) as caught:
            await session.submit(FOX)
        await session.submit(FOX)
    assert not caught.value.ends_run
    assert emulator.counters.posts == times + 1


DECLINED: dict[str, Effect] = {
    "429 with seconds": rate_limit(3),
    "429 with an HTTP date": Answer(
        429,
        {"error": {"message": "slow down", "type": "rate_limit_error"}},
        headers={"Retry-After": format_datetime(datetime.now(UTC) + timedelta(5), usegmt=True)},
    ),
    "429 with an absurd delay": rate_limit("1e99"),
    "429 with nonsense": rate_limit("soon"),
    "429 with nothing": rate_limit(),
    "422 without a channel": error(422, code="no_compatible_channel"),
    "503 without a channel": error(503, code="no_compatible_channel"),
    "422 without an available model": error(422, code="no_available_model"),
}


@pytest.mark.parametrize("answer", DECLINED)
async def test_a_submission_that_certainly_created_nothing_is_retried(
    answer: str, emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", DECLINED[answer], times=2))
    async with open_session() as session:
        task = await session.generate(FOX)
        assert len(task.outputs) == 1
        assert session.statistics().repeated_submissions == 2
    assert (emulator.counters.posts, emulator.counters.images_billed) == (3, 1)


@pytest.mark.parametrize("answer", DECLINED)
async def test_safe_retries_can_be_disabled(
    answer: str, emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", DECLINED[answer]))
    async with open_session(retry=Retry(submissions=False)) as session:
        with pytest.raises(APIStatusError) as caught:
            await session.submit(FOX)
        assert caught.value.status == int(answer[:3])
    assert (emulator.counters.posts, emulator.counters.images_billed) == (1, 0)


async def test_retry_after_is_obeyed_in_full(emulator: Emulator, open_session: OpenSession):
    emulator.script(Fault("submit", rate_limit(100)))
    async with open_session() as session:
        began = anyio.current_time()
        await session.submit(FOX)
        assert anyio.current_time() - began >= 100


async def test_a_submission_that_is_always_rate_limited_is_given_up(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", rate_limit(1), times=None))
    async with open_session(retry=Retry(attempts=3)) as session:
        with pytest.raises(RateLimitError) as caught:
            await session.submit(FOX)
        assert caught.value.retry_after == 1
    assert (emulator.counters.posts, emulator.counters.images_billed) == (3, 0)


async def test_a_submission_that_never_finds_a_channel_is_given_up(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", error(503, code="no_compatible_channel"), times=None))
    async with open_session(retry=Retry(attempts=3)) as session:
        with pytest.raises(ServerError):
            await session.submit(FOX)
    assert emulator.counters.posts == 3


async def test_an_unreachable_server_is_retried_and_nothing_counts_as_sent(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(total_outputs=1)) as session:
        await emulator.stop()
        with pytest.raises(APIConnectionError) as caught:
            await session.submit(FOX)
        assert caught.value.sent is False
        assert session.statistics().not_submitted == 1
        assert session.statistics().repeated_submissions == Retry().attempts - 1
        await emulator.start()
        assert (await session.generate(FOX)).outputs
    assert emulator.counters.images_billed == 1


async def test_a_server_that_starts_in_time_receives_the_submission(
    emulator: Emulator, open_session: OpenSession
):
    await emulator.stop()
    async with (
        open_session(retry=Retry(attempts=10)) as session,
        anyio.create_task_group() as tasks,
    ):

        async def start_late() -> None:
            await anyio.sleep(3)
            await emulator.start()

        tasks.start_soon(start_late)
        await session.submit(FOX)
    assert (emulator.counters.posts, emulator.counters.images_billed) == (1, 1)


async def test_a_connection_that_is_never_accepted_counts_as_not_sent():
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=1) as listener:
        # No connection is accepted, so the TLS handshake gets no answer.
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        session = Session(
            "sk-test",
            base_url=f"https://127.0.0.1:{port}",
            timeout=Timeout(connect=2),
            retry=Retry(attempts=2),
        )
        async with session:
            with pytest.raises(APITimeoutError) as caught:
                await session.submit(FOX)
            assert caught.value.sent is False
            assert session.statistics().unknown == 0
        await anyio.sleep(
            100
        )  # asyncio closes an unfinished TLS handshake only after its own timeout


async def test_a_timeout_while_waiting_for_the_answer_is_unknown(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Hang(carried_out=True)))
    async with open_session(timeout=Timeout(request=5)) as session:
        began = anyio.current_time()
        with pytest.raises(SubmissionUnknownError) as caught:
            await session.submit(FOX)
        assert 5 <= anyio.current_time() - began < 10
        assert isinstance(caught.value.__cause__, APITimeoutError)
        assert caught.value.__cause__.sent is True


async def test_an_answer_with_the_id_of_another_submission_is_unknown(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session() as session:
        first = await session.submit(FOX)
        emulator.script(Fault("submit", Rewrite({"id": first.id})))
        with pytest.raises(SubmissionUnknownError) as caught:
            await session.submit(FOX)
        assert isinstance(caught.value.__cause__, InvalidResponseError)
        assert session.in_flight == (first,)


async def test_an_answer_above_the_size_limit_is_unknown(
    emulator: Emulator, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transport, "MAX_BODY", 8_000_000)
    emulator.script(Fault("submit", Rewrite({"padding": "x" * 9_000_000})))
    async with open_session() as session:
        with pytest.raises(SubmissionUnknownError) as caught:
            await session.submit(FOX)
        assert "larger than" in str(caught.value.__cause__)


async def test_the_body_sent_is_exactly_the_payload(emulator: Emulator, open_session: OpenSession):
    request = GenerationRequest("some-model", {"prompt": "Füchse 🦊", "n": [1, {"a": None}]})
    async with open_session() as session:
        handle = await session.submit(request)
        assert emulator.tasks[handle.id].payload == request.payload()
        assert handle.request == request
    [call] = [call for call in emulator.calls if call.route == "submit"]
    assert call.headers["Authorization"] == "Bearer sk-emulator"
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["User-Agent"].startswith("foxapi-async/")


async def test_an_answer_without_task_info_is_accepted(
    emulator: Emulator, open_session: OpenSession
):
    def without_task_info(answer: object) -> dict[str, object]:
        assert isinstance(answer, dict)
        return {"id": answer["id"], "status": "pending", "usage": {"credits_reserved": 3}}

    emulator.script(Fault("submit", Rewrite(without_task_info)))
    async with open_session() as session:
        assert (await session.generate(FOX)).outputs


async def test_a_task_completed_in_the_submission_answer_is_not_polled(
    emulator: Emulator, open_session: OpenSession
):
    done = {"status": "completed", "results": [{"url": "https://cdn.example/a.png"}]}
    emulator.script(Fault("submit", Rewrite(done)))
    async with open_session() as session:
        task = await session.generate(FOX)
        assert task.outputs[0].url == "https://cdn.example/a.png"
        assert session.statistics().images_in_flight == 0
    assert emulator.counters.polls == 0


async def test_a_request_with_more_outputs_than_the_limit_explains_how_to_split_it(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session(limits=Limits(outputs=4)) as session:
        with pytest.raises(InvalidRequestError, match=r"split\(4\)"):
            await session.submit(PhotaImage("a fox", num_outputs=5))
    assert emulator.counters.posts == 0


async def test_the_budget_is_never_exceeded_and_unknown_submissions_count(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", Drop(carried_out=True)))
    async with open_session(limits=Limits(total_outputs=3)) as session:
        with pytest.raises(SubmissionUnknownError):
            await session.submit(FOX)
        await session.submit(FOX)
        with pytest.raises(BudgetExceededError) as caught:
            await session.submit(PhotaImage("a fox", num_outputs=2))
        assert (caught.value.total, caught.value.used, caught.value.requested) == (3, 2, 2)
        await session.submit(FOX)
    assert emulator.counters.images_billed == 3


async def test_errors_events_and_logs_do_not_contain_the_api_key(
    emulator: Emulator, open_session: OpenSession, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    echoed = {
        "error": {"message": "Incorrect API key provided: sk-emulator.", "code": "sk-emulator"}
    }
    emulator.script(
        Fault("submit", Answer(401, echoed), times=2),
        Fault("submit", Answer(500, json.dumps(echoed).encode())),
        Fault("submit", Rewrite({"model": "sk-emulator"})),
    )
    events: list[object] = []
    async with open_session(on_event=events.append) as session:
        with pytest.raises(AuthenticationError) as refused:
            await session.submit(FOX)
        with pytest.raises(SubmissionUnknownError) as unknown:
            await session.submit(FOX)
        handle = await session.submit(FOX)
        texts = [repr(session), repr(handle), repr(handle.latest), str(handle.latest.raw)]
    texts += [repr(refused.value), str(refused.value), repr(vars(refused.value))]
    texts += [repr(unknown.value), str(unknown.value.__cause__), repr(events), caplog.text]
    assert not [text for text in texts if "sk-emulator" in text]
