"""What arrives on a connection before a request has left is not the answer to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest

from foxapi_async import APITimeoutError, PhotaImage, Session, SubmissionUnknownError, Timeout
from tests.raw_server import Handler, RawRequest, raw_server, response, task_json

FOX = PhotaImage("a fox in the snow")
GHOST = response(task_json(id="task-ghost"))

STALE = {
    "a whole answer": GHOST,
    "half a body": GHOST[:-40],
    "a header only": GHOST[: GHOST.index(b"\r\n\r\n") + 4],
    "half a header": GHOST[:60],
    "half a status line": b"HTTP/1.1 20",
    "one byte": b"H",
    "several answers": GHOST * 3,
}
TIMES = {
    "with the answer": (None, 0.0),
    "right after it": (0.0, 0.0),
    "later": (0.05, 0.2),
}
"""Seconds from the answer to the other bytes, and to the next request."""


class Shop:
    """Creates tasks; after the first POST or upload more bytes arrive than asked for."""

    def __init__(self, stale: bytes, delay: float | None, after: str = "POST") -> None:
        self.stale, self.delay, self.after = stale, delay, after
        self.tasks: dict[str, bytes] = {}
        self.uploads = 0

    async def __call__(self, request: RawRequest) -> bytes:
        if request.path.startswith("/v1/files"):
            self.uploads += 1
            body = json.dumps({"url": f"https://cdn.example/{self.uploads}"}).encode()
        elif request.method == "POST":
            body = task_json(len(self.tasks) + 1)
            self.tasks[json.loads(body)["id"]] = body
        else:
            body = self.tasks.get(request.task_id, b"{}")
        answer, stale = response(body), self.stale
        if request.method != self.after:
            return answer
        self.stale = b""
        if self.delay is None:
            return answer + stale
        request.writer.write(answer)
        await request.writer.drain()
        await anyio.sleep(self.delay)
        return stale


@asynccontextmanager
async def opened(kind: str, handler: Handler) -> AsyncIterator[Session]:
    async with raw_server(handler) as server, aiohttp.ClientSession() as http:
        given = http if kind == "given" else None
        timeout = Timeout(request=4)
        async with Session("sk-emulator", base_url=server.url, http=given, timeout=timeout) as it:
            yield it


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("stale", STALE)
@pytest.mark.parametrize("session_kind", ["own", "given"])
async def test_a_post_is_never_answered_by_what_came_before_it(session_kind, stale, time):
    delay, pause = TIMES[time]
    shop = Shop(STALE[stale], delay)
    async with opened(session_kind, shop) as session:
        began = anyio.current_time()
        first = await session.submit(FOX)
        await anyio.sleep(pause)
        second = await session.submit(FOX)
        assert anyio.current_time() - began < 4
    assert [*shop.tasks] == [first.id, second.id]


@pytest.mark.parametrize("stale", ["a whole answer", "half a body", "half a header"])
@pytest.mark.parametrize("session_kind", ["own", "given"])
async def test_polls_and_uploads_do_not_take_it_either(session_kind, stale):
    shop = Shop(STALE[stale], 0.05)
    async with opened(session_kind, shop) as session:
        handle = await session.submit(FOX)
        await anyio.sleep(0.2)
        assert (await session.retrieve(handle.id)).id == handle.id
    shop = Shop(STALE[stale], 0.05)
    async with opened(session_kind, shop) as session:
        await session.submit(FOX)
        await anyio.sleep(0.2)
        file = await session.upload(b"\x89PNG\r\n\x1a\n" + bytes(100))
        assert file.url == "https://cdn.example/1"


async def test_the_time_limit_ends_the_wait_for_a_body_that_an_earlier_request_has_left():
    # In a given session a GET cannot see it, so the time limit has to.
    shop = Shop(STALE["half a body"], 0.05, after="GET")
    async with opened("given", shop) as session:
        handle = await session.submit(FOX)
        await session.retrieve(handle.id)
        await anyio.sleep(0.2)
        began = anyio.current_time()
        assert (await session.retrieve(handle.id)).id == handle.id
        assert anyio.current_time() - began < 10


async def test_a_silent_server_is_given_up_after_the_time_limit():
    async def silent(_: RawRequest) -> bytes:
        await anyio.sleep(100)
        return b""

    async with opened("own", silent) as session:
        began = anyio.current_time()
        with pytest.raises(SubmissionUnknownError) as caught:
            await session.submit(FOX)
        assert isinstance(caught.value.__cause__, APITimeoutError)
        assert 4 <= anyio.current_time() - began < 6


async def test_bytes_that_are_left_after_the_answer_do_not_cost_its_id():
    async def answer(request: RawRequest) -> bytes:
        if request.method == "GET":
            return response(task)
        return response(task) + b"\r\nxx \x00"

    task = task_json()
    async with opened("own", answer) as session:
        assert (await session.submit(FOX)).id == json.loads(task)["id"]
        assert session.statistics().unknown == 0
