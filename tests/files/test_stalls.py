"""Files that drip, sessions that close: nothing waits longer than `Timeout.stall` allows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import Limits, Session, Timeout
from foxapi_async.errors import DownloadError, SessionClosedError
from foxapi_async.files.pace import MIN_RATE, Pace
from foxapi_async.models import Output
from tests.files.origin import _head

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60_000) + b"\0\0\0\0IEND\xaeB`\x82"
HEAD = b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: %d\r\n\r\n' % len(PNG)
DRIPPING = {
    "a byte a second": (HEAD + PNG[:8], PNG[8:], 1, 1.0),
    "a byte within each stall": (HEAD + PNG[:8], PNG[8:], 1, 19.0),
    "a byte after each stall": (HEAD + PNG[:8], PNG[8:], 1, 21.0),
    "500 bytes a second": (HEAD, PNG, 500, 1.0),
    "headers": (b"", HEAD + PNG, 1, 1.0),
}


@asynccontextmanager
async def server(routes: dict[str, tuple[bytes, bytes, int, float]]) -> AsyncIterator[str]:
    """Serve each path: a beginning at once, and the rest in pieces of a size, with pauses."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            try:
                target = (await _head(stream))[0].split(" ")[1]
                begin, rest, size, pause = next(
                    route for path, route in routes.items() if target.startswith(path)
                )
                await stream.send(begin or rest[:1])
                for start in range(0 if begin else 1, len(rest), size):
                    await anyio.sleep(pause)
                    await stream.send(rest[start : start + size])
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                pass

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        group.cancel_scope.cancel()


def output(url: str) -> Output:
    return Output(0, url, {}, "task-1", "image")


def open_session(url: str, **options: object) -> Session:
    return Session("sk-emulator", base_url=url, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", DRIPPING)
async def test_files_that_drip_do_not_block_others_and_are_given_up(way, tmp_path):
    routes = {"/slow": DRIPPING[way], "/fast": (HEAD + PNG, b"", 1, 0.0)}
    saved: list[float] = []
    failed: list[str] = []
    async with server(routes) as url, open_session(url, limits=Limits(downloads=2)) as session:
        began = anyio.current_time()

        async def fetch(name: str) -> None:
            try:
                await session.download(output(f"{url}/{name}"), tmp_path, name=name)
                saved.append(anyio.current_time() - began)
            except DownloadError as error:
                failed.append(str(error))

        with anyio.fail_after(3000):
            async with anyio.create_task_group() as group:
                for number in range(2):
                    group.start_soon(fetch, f"slow{number}")
                for number in range(6):
                    group.start_soon(fetch, f"fast{number}")
        took = anyio.current_time() - began
    assert len(saved) == 6
    assert max(saved) < 45
    assert len(failed) == 2
    assert "given up after 4 attempts" in failed[0]
    assert took < 400
    assert len(list(tmp_path.iterdir())) == 6


async def test_a_slow_line_is_not_a_stall(tmp_path):
    async with (
        server({"/": (HEAD, PNG, 2400, 0.1)}) as url,
        open_session(url, timeout=Timeout(stall=1)) as session,
    ):
        [path] = await session.download(output(f"{url}/a"), tmp_path)
    assert path.read_bytes() == PNG


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 10**6)), max_size=30))
def test_a_transfer_that_is_fast_enough_in_each_wait_is_never_stalled(waits):
    pace = Pace(20.0)
    assert not any(
        pace.is_stalled(waited, received + int(MIN_RATE * waited) + 1) for waited, received in waits
    )


@given(st.lists(st.floats(0.01, 30), min_size=1, max_size=30))
def test_a_transfer_that_is_slower_in_each_wait_is_stalled_once_the_time_is_over(waits):
    pace = Pace(20.0)
    judged = [pace.is_stalled(waited, int(MIN_RATE * waited * 0.9)) for waited in waits]
    assert any(judged) == (sum(waits) >= 20.0)


@pytest.mark.parametrize("call", ["download", "read", "upload", "retrieve"])
async def test_the_end_of_the_session_ends_what_is_under_way(call, tmp_path):
    ended: list[Exception] = []
    async with server({"/": DRIPPING["a byte a second"]}) as url:
        calls = {
            "download": lambda: session.download(output(f"{url}/a"), tmp_path),
            "read": lambda: session.read(output(f"{url}/a")),
            "upload": lambda: session.upload(bytes(10**7)),
            "retrieve": lambda: session.retrieve("task-1"),
        }

        async def run() -> None:
            try:
                await calls[call]()
            except SessionClosedError as error:
                ended.append(error)

        async with anyio.create_task_group() as group:
            async with open_session(url) as session:
                group.start_soon(run)
                await anyio.sleep(3)
                began = anyio.current_time()
            await anyio.sleep(0.1)
            assert len(ended) == 1
            assert anyio.current_time() - began < 1
    assert ended[0].task_id == (None if call == "upload" else "task-1")
    assert list(tmp_path.iterdir()) == []
