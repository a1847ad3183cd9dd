"""Edges that answer for the API: only the envelope is the API's word, and a free request confirms it."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from foxapi_async import (
    AuthenticationError,
    InsufficientQuotaError,
    Limits,
    NotFoundError,
    PhotaImage,
)
from foxapi_async.api import KeyCheck
from foxapi_async.bulk import Job, run_job
from foxapi_async.emulator import Call, Effect, Emulator, Fate, Fault, error, html
from tests.conftest import OpenSession

PROMPTS = [f"fox {number}" for number in range(40)]


def poison(call: Call) -> bool:
    return call.prompt == "fox 4"


@pytest.mark.parametrize("effect", [html(403), html(401), html(402), error(403), error(401)])
async def test_a_refusal_of_one_request_does_not_end_a_map_operation(
    effect: Effect, emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", effect, when=poison, times=None))
    async with open_session(limits=Limits(outputs=2)) as session:
        requests = map(PhotaImage, PROMPTS[:9])
        statuses = [outcome.status async for outcome in session.map(requests)]
    assert sorted(set(statuses)) == ["completed", "rejected"]
    assert statuses.count("rejected") == 1


async def test_twenty_five_refusals_in_a_row_end_a_map_operation(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", html(403), times=None, nth=11))
    async with open_session(limits=Limits(outputs=1)) as session:
        outcomes = [outcome async for outcome in session.map(map(PhotaImage, PROMPTS))]
    statuses = [outcome.status for outcome in outcomes]
    assert [statuses.count(name) for name in ("completed", "rejected", "not_submitted")] == [
        10,
        25,
        5,
    ]
    assert "25 consecutive" in str(outcomes[-1].error)


async def test_402_of_the_api_ends_a_map_operation_at_once(
    emulator: Emulator, open_session: OpenSession
):
    emulator.script(Fault("submit", error(402), times=None, nth=11))
    async with open_session(limits=Limits(outputs=1)) as session:
        outcomes = [outcome async for outcome in session.map(map(PhotaImage, PROMPTS))]
    assert [outcome.status for outcome in outcomes].count("rejected") == 1
    assert isinstance(outcomes[-1].error, InsufficientQuotaError)


@pytest.mark.parametrize("effect", [error(401), html(401), html(403), error(403), html(404)])
async def test_a_poll_that_an_edge_refuses_ends_no_wait(
    effect: Effect, emulator: Emulator, open_session: OpenSession
):
    emulator.script(
        Fault("poll", effect, times=8),
        Fault("submit", Fate(duration=30.0, estimate=30.0)),
    )
    async with open_session() as session:
        assert (await session.generate(PhotaImage("a fox"))).outputs


async def test_a_404_page_for_thirty_seconds_ends_no_wait(
    emulator: Emulator, open_session: OpenSession
):
    is_broken = True
    emulator.script(Fault("poll", html(404), times=None, when=lambda _: is_broken))
    async with open_session() as session:
        handle = await session.submit(PhotaImage("a fox"))
        with anyio.move_on_after(30):
            await handle.wait()
        assert session.in_flight
        is_broken = False
        assert (await handle).outputs


async def test_a_404_of_the_api_still_ends_the_wait(emulator: Emulator, open_session: OpenSession):
    emulator.script(Fault("poll", error(404), times=None))
    async with open_session() as session:
        with pytest.raises(NotFoundError):
            await session.generate(PhotaImage("a fox"))


async def test_a_revoked_key_ends_the_waits(emulator: Emulator, open_session: OpenSession):
    emulator.script(
        *(Fault(route, error(401), times=None) for route in ("poll", "credits", "models"))
    )
    async with open_session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.generate(PhotaImage("a fox"))
    assert caught.value.ends_run


def job_file(path: Path) -> Path:
    lines = [json.dumps({"key": prompt, "prompt": prompt}) for prompt in PROMPTS[:9]]
    path.write_text("\n".join(lines))
    return path


async def test_formerly_rejected_lines_are_submitted_last(
    emulator: Emulator, open_session: OpenSession, tmp_path: Path
):
    emulator.script(Fault("submit", html(403), when=poison, times=None))
    job = Job.read(job_file(tmp_path / "jobs.jsonl"))
    options = {"journal": tmp_path / "journal.sqlite", "limits": Limits(outputs=1)}
    async with (
        open_session(**options) as session,
        run_job(session, job, tmp_path / "out", sheet=False) as run,
    ):
        async for result in run:
            if result.status == "rejected":
                break
    earlier = len(emulator.calls)
    async with (
        open_session(**options) as session,
        run_job(session, job, tmp_path / "out", sheet=False) as run,
    ):
        statuses = [result.status async for result in run]
    assert statuses.count("completed") == 8
    prompts = [call.prompt for call in emulator.calls[earlier:] if call.route == "submit"]
    assert prompts[-1] == "fox 4"


async def test_after_a_run_that_ended_with_402_the_next_sends_one_post_first(
    emulator: Emulator, open_session: OpenSession, tmp_path: Path
):
    is_empty = True
    emulator.script(Fault("submit", error(402), times=None, when=lambda _: is_empty))
    job = Job.read(job_file(tmp_path / "jobs.jsonl"))
    posts = []
    for _ in range(2):
        before = emulator.counters.posts
        async with (
            open_session(journal=tmp_path / "journal.sqlite") as session,
            run_job(session, job, tmp_path / "out", sheet=False) as run,
        ):
            async for _ in run:
                pass
        posts.append(emulator.counters.posts - before)
    assert posts[1] == 1
    is_empty = False
    async with (
        open_session(journal=tmp_path / "journal.sqlite") as session,
        run_job(session, job, tmp_path / "out", sheet=False) as run,
    ):
        assert [r.status async for r in run] == ["completed"] * 9


async def test_checks_of_the_key_at_once_share_their_requests(
    emulator: Emulator, open_session: OpenSession
):
    async with open_session() as session:
        assert session._engine is not None
        checks: list[KeyCheck] = []

        async def check() -> None:
            checks.append(await session._engine.api.check_key())

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(check)
    assert checks == [KeyCheck.WORKS] * 20
    assert [call.route for call in emulator.calls] == ["credits"]
