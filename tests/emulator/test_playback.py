"""Faults on the way of a submission or a look: what the client sees, and what was billed."""

from __future__ import annotations

import aiohttp
import anyio
import pytest

from foxapi_async.emulator import (
    Answer,
    Delay,
    Drop,
    Fate,
    Fault,
    Hang,
    Redirect,
    Rewrite,
    cut,
    error,
    html,
    not_json,
    rate_limit,
    text,
    without,
)
from tests.emulator.client import FOX, IMAGES, emulated


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize(
    ("reset", "seen"),
    [(True, aiohttp.ClientOSError), (False, aiohttp.ServerDisconnectedError)],
)
async def test_a_dropped_submission_is_billed_only_if_it_was_carried_out(carried_out, reset, seen):
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", Drop(carried_out=carried_out, reset=reset)))
        with pytest.raises(seen):
            await client.ask("POST", IMAGES, json=FOX)
        counters = emulator.counters
        assert (counters.posts, counters.tasks, counters.unanswered) == (1, int(carried_out), 1)
        await client.submit()


@pytest.mark.parametrize("carried_out", [False, True])
async def test_a_hanging_submission_is_billed_only_if_it_was_carried_out(carried_out):
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", Hang(carried_out=carried_out)))
        with anyio.move_on_after(1000) as patience:
            await client.ask("POST", IMAGES, json=FOX)
        assert patience.cancelled_caught
        assert emulator.counters.tasks == int(carried_out)


async def test_stopping_breaks_off_at_once_what_hangs(monkeypatch):
    monkeypatch.setattr("foxapi_async.emulator.server._SHUTDOWN", 1000.0)
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", Hang()))
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                with pytest.raises(aiohttp.ClientError):
                    await client.ask("POST", IMAGES, json=FOX)

            group.start_soon(ask)
            await anyio.sleep(1)
            assert emulator.counters.unanswered == 1
            began = anyio.current_time()
            await emulator.stop()
            assert anyio.current_time() - began < 900


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [
        (lambda c: error(500, carried_out=c), 500, "application/json"),
        (
            lambda c: error(503, code="no_compatible_channel", carried_out=c),
            503,
            "application/json",
        ),
        (lambda c: html(502, carried_out=c), 502, "text/html"),
        (lambda c: html(200, "Welcome", carried_out=c), 200, "text/html"),
        (lambda c: text(403, "error code: 1010", carried_out=c), 403, "text/plain"),
        (lambda c: not_json(carried_out=c), 200, "application/json"),
        (lambda c: Answer(200, [], carried_out=c), 200, "application/json"),
        (lambda c: Answer(204, b"", carried_out=c), 204, "application/octet-stream"),
        (lambda c: Answer(522, b"", carried_out=c), 522, "application/octet-stream"),
    ],
)
async def test_another_answer_than_the_truth_hides_what_was_billed(
    fault, status, content_type, carried_out
):
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", fault(carried_out)))
        async with client.http.post(IMAGES, json=FOX) as response:
            assert response.status == status
            assert response.content_type == content_type or status == 204
            await response.read()
        assert emulator.counters.tasks == int(carried_out)


@pytest.mark.parametrize("retry_after", ["3", "Wed, 21 Oct 2026 07:28:00 GMT", "soon", None])
async def test_a_scripted_429_says_what_it_is_told_to(retry_after):
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", rate_limit(retry_after)))
        status, headers, body = await client.ask("POST", IMAGES, json=FOX)
        assert (status, headers.get("Retry-After")) == (429, retry_after)
        assert body["error"]["type"] == "rate_limit_error"
        assert emulator.counters.tasks == 0


async def test_a_429_can_lie():
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", rate_limit(1, carried_out=True)))
        assert (await client.ask("POST", IMAGES, json=FOX))[0] == 429
        assert emulator.counters.images_billed == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("carried_out", [False, True])
async def test_a_redirect_leads_anywhere(status, carried_out):
    async with emulated() as (emulator, client):
        emulator.script(
            Fault("submit", Redirect("http://example.org/x", status, carried_out=carried_out)),
            Fault("submit", Redirect(lambda call: f"/elsewhere{call.target}", status)),
        )
        answered, headers, _ = await client.ask("POST", IMAGES, json=FOX)
        assert (answered, headers["Location"]) == (status, "http://example.org/x")
        _, headers, _ = await client.ask("POST", IMAGES, json=FOX)
        assert headers["Location"] == f"/elsewhere{IMAGES}"
        assert emulator.counters.tasks == int(carried_out)


@pytest.mark.parametrize(
    ("rewrite", "seen"),
    [
        (without("id"), lambda body: "id" not in body and body["status"] == "pending"),
        (Rewrite({"id": 5}), lambda body: body["id"] == 5),
        (Rewrite({"id": "../x"}, without=["status"]), lambda body: "status" not in body),
        (Rewrite(lambda body: [body]), lambda body: isinstance(body, list)),
        (Rewrite(lambda _: "words"), lambda body: body == "words"),
    ],
)
async def test_the_true_answer_can_be_rewritten(rewrite, seen):
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", rewrite))
        status, _, body = await client.ask("POST", IMAGES, json=FOX)
        assert status == 200
        assert seen(body)
        assert emulator.counters.tasks == 1


async def test_a_true_answer_can_have_another_status():
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", Rewrite({"error": {"message": "late"}}, status=500)))
        status, _, body = await client.ask("POST", IMAGES, json=FOX)
        assert (status, body["id"]) == (500, next(iter(emulator.tasks)))


async def test_an_answer_can_be_cut_in_the_middle():
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", cut()), Fault("submit", cut(10, reset=True)))
        for _ in range(2):
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
                await client.ask("POST", IMAGES, json=FOX)
        assert emulator.counters.tasks == 2


async def test_a_delay_passes_before_the_effect_or_after_it():
    async with emulated() as (emulator, client):
        emulator.script(
            Fault("submit", Delay(5)),
            Fault("submit", Delay(5, carried_out=True)),
            Fault("submit", (Delay(5), error(500))),
        )
        began = anyio.current_time()
        for _ in range(2):
            await client.submit()
        assert (await client.ask("POST", IMAGES, json=FOX))[0] == 500
        early, late = (task.created_at - began for task in emulator.tasks.values())
        assert 5 <= early < 6
        assert early <= late < 7
        assert 15 <= anyio.current_time() - began < 17


async def test_a_fate_and_a_fault_of_the_way_go_together():
    async with emulated() as (emulator, client):
        emulator.script(
            Fault("submit", (Fate(ends_as="failed", duration=0), Drop(carried_out=True)))
        )
        with pytest.raises(aiohttp.ClientError):
            await client.submit()
        (task,) = emulator.tasks.values()
        assert task.status == "failed"


async def test_a_look_can_be_answered_with_another_task():
    async with emulated() as (emulator, client):
        one, other = await client.submit(), await client.submit()
        emulator.script(
            Fault(
                "poll",
                Rewrite({"id": other["id"]}),
                nth=2,
                when=lambda call: call.prompt == "a fox",
            )
        )
        assert (await client.poll(one["id"]))["id"] == one["id"]
        assert (await client.poll(one["id"]))["id"] == other["id"]


async def test_faults_of_polls_bill_nothing_and_still_count():
    async with emulated() as (emulator, client):
        task = await client.submit()
        emulator.script(
            Fault("poll", error(500)),
            Fault("poll", html(503)),
            Fault("poll", rate_limit("absurd"), when=lambda call: call.task is not None),
            Fault("poll", Drop()),
        )
        path = f"/v1/tasks/{task['id']}"
        assert [(await client.ask("GET", path))[0] for _ in range(3)] == [500, 503, 429]
        # aiohttp asks once more by itself when a GET on a used connection is dropped
        await client.ask("GET", path)
        counters = emulator.counters
        assert (counters.tasks, counters.polls, counters.unanswered) == (1, 5, 1)
        assert counters.polls_per_task == {task["id"]: 1}
        assert emulator.faults.waiting == ()
