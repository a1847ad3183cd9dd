"""A real nginx in front of the API: its limits, its pages and its reloads cost nothing twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from foxapi_async import (
    BadRequestError,
    Limits,
    Outcome,
    PayloadTooLargeError,
    PhotaImage,
    Polling,
    Session,
    SubmissionUnknownError,
)
from foxapi_async.emulator import Delay, Emulator, Fault
from tests.proof.nginx import PROGRAM, open_nginx

pytestmark = [
    pytest.mark.once,
    pytest.mark.much,
    pytest.mark.ordinary_loop,
    pytest.mark.skipif(
        PROGRAM is None, reason="there is no nginx here: apt-get install nginx-light"
    ),
]

FAST = Polling(poll_cost=0.01, min_interval=0.05)
FOX = PhotaImage("a fox")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(duration=(0.1, 0.4), picture_scale=1 / 40, seed=1) as emulator:
        yield emulator


def open_session(url: str, **options: Any) -> Session:
    return Session("sk-emulator", base_url=url, polling=FAST, **options)


async def run_map(session: Session, number: int) -> list[Outcome]:
    requests = (PhotaImage(f"fox {each}") for each in range(number))
    return [outcome async for outcome in session.map(requests, ordered=True)]


def check_bills(emulator: Emulator, outcomes: list[Outcome]) -> Counter[str]:
    """Compare what was billed with the outcomes; return how often each status occurs."""
    billed = Counter(task.prompt for task in emulator.tasks.values())
    assert emulator.counters.posts == len(emulator.tasks)
    for outcome in outcomes:
        times = billed[outcome.request.payload()["prompt"]]
        if outcome.status == "completed":
            assert times == 1
        else:
            assert times <= (outcome.status == "unknown")
    return Counter(outcome.status for outcome in outcomes)


async def test_limited_with_503_nothing_is_sent_twice(emulator: Emulator, tmp_path: Path):
    limit = {
        "http": "limit_req_zone $binary_remote_addr zone=posts:1m rate=10r/s;",
        "submit": "limit_req zone=posts burst=2 nodelay;",
    }
    async with (
        open_nginx(emulator.url, tmp_path, **limit) as nginx,
        open_session(nginx.url, limits=Limits(outputs=10)) as session,
    ):
        outcomes = await run_map(session, 10)
    statuses = check_bills(emulator, outcomes)
    # A page without the envelope of the API does not say that no task was created.
    assert set(statuses) == {"completed", "unknown"}
    assert statuses["completed"] >= 3
    unknown = [outcome for outcome in outcomes if outcome.status == "unknown"]
    assert all("503" in str(outcome.error) for outcome in unknown)


async def test_limited_with_429_all_are_completed(emulator: Emulator, tmp_path: Path):
    limit = {
        "http": "limit_req_zone $binary_remote_addr zone=posts:1m rate=10r/s; limit_req_status 429;",
        "submit": "limit_req zone=posts burst=2 nodelay;",
    }
    async with (
        open_nginx(emulator.url, tmp_path, **limit) as nginx,
        open_session(nginx.url, limits=Limits(outputs=12)) as session,
    ):
        outcomes = await run_map(session, 12)
        assert session.statistics().rate_limited > 0
    assert check_bills(emulator, outcomes) == {"completed": 12}


async def test_pages_of_nginx_in_place_of_polls_end_no_wait(emulator: Emulator, tmp_path: Path):
    async with (
        open_nginx(emulator.url, tmp_path) as nginx,
        open_session(nginx.url) as session,
    ):
        handles = [await session.submit(FOX) for _ in range(4)]
        for status in (404, 403, 500):
            nginx.configure(poll=f"return {status};")
            await asyncio.sleep(0.3)
        nginx.configure()
        for handle in handles:
            assert (await handle.wait(20)).outputs
        assert session.statistics().polls_failed > 0
    assert emulator.counters.posts == emulator.counters.images_billed == 4


async def test_reloads_during_a_job_lose_nothing(emulator: Emulator, tmp_path: Path):
    async with (
        open_nginx(emulator.url, tmp_path) as nginx,
        open_session(nginx.url, limits=Limits(outputs=6)) as session,
    ):

        async def reload() -> None:
            while True:
                await asyncio.sleep(0.15)
                nginx.configure()

        reloading = asyncio.ensure_future(reload())
        outcomes = await run_map(session, 40)
        reloading.cancel()
    statuses = check_bills(emulator, outcomes)
    assert set(statuses) <= {"completed", "unknown"}
    assert statuses["completed"] >= 35


async def test_what_is_too_large_is_rejected_and_costs_nothing(emulator: Emulator, tmp_path: Path):
    async with (
        open_nginx(emulator.url, tmp_path, server="client_max_body_size 2k;") as nginx,
        open_session(nginx.url) as session,
        open_session(nginx.url, headers={"X-Team": "x" * 9_000}) as verbose,
    ):
        with pytest.raises(PayloadTooLargeError):
            await session.generate(PhotaImage("fox " * 1_000))
        with pytest.raises(PayloadTooLargeError):
            await session.upload(bytes(5_000))
        with pytest.raises(BadRequestError, match="400"):
            await verbose.generate(FOX)
        assert emulator.counters.requests == 0
        assert (await session.generate(FOX)).outputs
    assert emulator.counters.posts == emulator.counters.images_billed == 1


async def test_an_api_that_is_down_behind_nginx(emulator: Emulator, tmp_path: Path):
    async with (
        open_nginx(emulator.url, tmp_path) as nginx,
        open_session(nginx.url) as session,
    ):
        handles = [await session.submit(PhotaImage(f"fox {each}")) for each in range(3)]
        await emulator.stop()
        with pytest.raises(SubmissionUnknownError, match="502"):
            await session.submit(FOX)
        await emulator.start()
        for handle in handles:
            assert (await handle.wait(20)).outputs
    assert emulator.counters.posts == emulator.counters.images_billed == 3


async def test_an_api_that_is_slower_than_nginx_waits(emulator: Emulator, tmp_path: Path):
    emulator.script(Fault("submit", Delay(2, carried_out=True)))
    async with (
        open_nginx(emulator.url, tmp_path, server="proxy_read_timeout 500ms;") as nginx,
        open_session(nginx.url) as session,
    ):
        with pytest.raises(SubmissionUnknownError, match="504"):
            await session.submit(FOX)
    assert emulator.counters.posts == emulator.counters.images_billed == 1
