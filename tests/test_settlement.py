"""An unclear answer to a POST is kept, and the task that it names is asked for."""

from __future__ import annotations

import gzip
import json
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import aiohttp
import anyio
import pytest

from foxapi_async import (
    FoxAPIError,
    Journal,
    PhotaImage,
    RateLimitError,
    Retry,
    Session,
    SubmissionUnknownError,
    Timeout,
)
from tests.raw_server import RawRequest, RawServer, raw_server, response, task_json

FOX = PhotaImage("a fox in the snow")
KEY = "sk-Abcdef/0123456789"

Say = Callable[[bytes], bytes | None]


class Shop:
    """Creates a task for each POST, and says something unclear instead of its answer."""

    def __init__(self, say: Say, *, shown: Callable[[bytes], bytes] | None = None) -> None:
        self.say, self.shown = say, shown
        self.tasks: dict[str, bytes] = {}
        self.failures = 0
        self.asked = anyio.Event()

    async def __call__(self, request: RawRequest) -> bytes | None:
        if request.method == "POST":
            task = task_json(len(self.tasks) + 1)
            self.tasks[json.loads(task)["id"]] = task
            said = self.say(task)
            if said is None or (b"Content-Length" in said and not said.endswith(b"-CUT")):
                return said
            request.writer.write(said.removesuffix(b"-CUT"))
            await request.writer.drain()
            return None
        self.asked.set()
        if self.failures:
            self.failures -= 1
            return response(b"<html>busy</html>", "502 Bad Gateway")
        task = self.tasks.get(request.task_id, b"")
        if not task:
            return response(b'{"error": {"message": "unknown"}}', "404 Not Found")
        return response(self.shown(task) if self.shown else task)

    @property
    def only_id(self) -> str:
        [task_id] = self.tasks
        return task_id


def session_at(server: RawServer, **options: object) -> Session:
    return Session(KEY, base_url=server.url, timeout=Timeout(request=6), **options)


def in_turn(*says: Say) -> Say:
    turns = iter(says)

    def say(task: bytes) -> bytes | None:
        return next(turns)(task)

    return say


def wrapped(task: bytes, **fields: object) -> bytes:
    return json.dumps(
        {"code": 200, "message": "x" * 300, "data": json.loads(task), **fields}
    ).encode()


def wrapped_late(task: bytes) -> bytes:
    return json.dumps({"note": "x" * 20_000, "data": json.loads(task)}).encode()


def id_of(task: bytes) -> str:
    return str(json.loads(task)["id"])


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def packed(body: bytes, name: str) -> bytes:
    content = {"gzip": gzip.compress, "deflate": zlib.compress, "br": bytes}[name](body)
    return response(content, headers={"Content-Encoding": name})


NAMING: dict[str, Say] = {
    "a wrapper": lambda task: response(wrapped(task)),
    "a wrapper with another name": lambda task: response(
        json.dumps({"data": {"task_id": id_of(task)}}).encode()
    ),
    "a wrapper with a list": lambda task: response(
        json.dumps({"data": [{"task_id": id_of(task)}]}).encode()
    ),
    "a wrapper with an id of its own": lambda task: response(
        wrapped(task, id="", request={"id": "req-1"})
    ),
    "500": lambda task: response(task, "500 Internal Server Error"),
    "503 with an error beside it": lambda task: response(
        wrapped(task, error={"code": "server_error"}), "503 Service Unavailable"
    ),
    "429": lambda task: response(wrapped(task, error={}), "429 Too Many Requests"),
    "429 in HTML": lambda task: response(
        f"<p>{id_of(task)} waits</p>".encode(), "429 Too Many Requests"
    ),
    "422": lambda task: response(wrapped(task, error={}), "422 Unprocessable"),
    "HTML": lambda task: response(f"<html>Your task {id_of(task)}</html>".encode()),
    "a late id": lambda task: response(b'"' + b"x" * 15_000 + b"\n" + task),
    "an id behind more than is kept": lambda task: response(wrapped_late(task)),
    "the same, and the rest is missing": lambda task: (
        response(wrapped_late(task)[:-1], headers={"Content-Length": "99999"}) + b"-CUT"
    ),
    "an id behind more than is searched": lambda task: response(
        json.dumps({"note": "x" * 2_000_000, "data": json.loads(task)}).encode()
    ),
    "a raw line break in a text": lambda task: response(task[:-1] + b', "note": "a\nb"}'),
    "two objects": lambda task: response(b"{}\n" + task),
    "a length that is too great": lambda task: (
        response(task, headers={"Content-Length": "9999"}) + b"-CUT"
    ),
    "a broken chunk": lambda task: chunked(task) + b"ZZZ\r\n",
    "a missing last chunk": lambda task: chunked(task[:90], task[90:]),
    "a wrapper in gzip": lambda task: packed(wrapped(task), "gzip"),
    "a wrapper in deflate": lambda task: packed(wrapped(task), "deflate"),
    "gzip that was cut": lambda task: packed(wrapped(task), "gzip")[:-9] + b"-CUT",
    "an encoding that nobody asked for": lambda task: packed(b"\x0b\x80\xff" + task, "br"),
    "too large": lambda task: response(task[:-1] + b', "x": "' + b"x" * 9_000_000 + b'"}'),
    "a redirection": lambda task: response(
        b"", "303 See Other", {"Location": f"/v1/tasks/{id_of(task)}"}
    ),
    "no HTTP at all": lambda task: task + b"\r\n\r\n",
    "a malformed header": lambda task: (
        b"HTTP/1.1 200 OK\r\nX Bad\x00: 1\r\nContent-Length: %d\r\n\r\n" % len(task) + task
    ),
    "a malformed status": lambda task: (
        b"HTTP/1.1 2x0 OK\r\nContent-Length: %d\r\n\r\n" % len(task) + task
    ),
    "a header and the end": lambda task: (
        b"HTTP/1.1 200 OK\r\nX-Task: " + id_of(task).encode() + b"\r\n"
    ),
    "a body and silence": lambda task: response(task, headers={"Content-Length": "9999"}),
}

CLEAR: dict[str, Say] = {
    "gzip": lambda task: packed(task, "gzip"),
    "deflate": lambda task: packed(task, "deflate"),
    "one invalid byte": lambda task: response(task[:-1] + b', "note": "caf\xe9"}'),
    "UTF-16": lambda task: response(task.decode().encode("utf-16")),
    "a header of 9,000 bytes": lambda task: response(task, headers={"X-Long": "x" * 9_000}),
    "300 headers of 200 bytes": lambda task: response(
        task, headers={f"X-{number}": "x" * 190 for number in range(300)}
    ),
    "a header of 64 KiB": lambda task: response(task, headers={"X-Long": "x" * 65_536}),
}


@pytest.mark.parametrize("case", NAMING)
async def test_the_task_that_an_unclear_answer_names_is_accepted(case, tmp_path: Path):
    shop, journal = Shop(NAMING[case]), Journal(tmp_path / "journal")
    async with raw_server(shop) as server, session_at(server, journal=journal) as session:
        handle = await session.submit(FOX, key="k")
        assert handle.id == shop.only_id
        assert session.in_flight == (handle,)
        statistics = session.statistics()
        assert (statistics.submitted, statistics.unknown) == (1, 0)
        assert (statistics.images_in_flight, statistics.images_billed) == (1, 1)
        assert [entry.task_id for entry in journal.unfinished()] == [handle.id]
        assert server.count("POST") == 1


@pytest.mark.parametrize("session_kind", ["own", "given", "given, raw"])
@pytest.mark.parametrize("case", CLEAR)
async def test_a_clear_answer_is_read_in_any_form(case, session_kind):
    shop = Shop(CLEAR[case])
    raw = aiohttp.ClientSession(auto_decompress=session_kind == "given")
    async with raw_server(shop) as server, raw:
        http = None if session_kind == "own" else raw
        async with session_at(server, http=http) as session:
            assert (await session.submit(FOX)).id == shop.only_id
        [post] = server.requests
        assert post.headers["accept-encoding"] == "gzip, deflate"


def changed(**fields: object) -> Callable[[bytes], bytes]:
    return lambda task: json.dumps({**json.loads(task), **fields}).encode()


NOT_OURS = {
    "created before the POST": changed(created=int(time.time()) - 3600),
    "created later": changed(created=int(time.time()) + 3600),
    "created at an unknown time": changed(created=None),
    "of another model": changed(model="gpt-image-2"),
    "with another id": changed(id="task-unified-1760000000-somebody"),
    "not readable": lambda _: b"<html>",
}


@pytest.mark.parametrize("case", NOT_OURS)
async def test_a_task_that_may_be_somebody_elses_is_not_taken(case, tmp_path: Path):
    shop = Shop(lambda task: response(wrapped(task)), shown=NOT_OURS[case])
    journal = Journal(tmp_path / "journal")
    async with raw_server(shop) as server, session_at(server, journal=journal) as session:
        with pytest.raises(SubmissionUnknownError) as caught:
            await session.submit(FOX, key="k")
        assert json.loads(caught.value.response) == json.loads(wrapped(shop.tasks[shop.only_id]))
        assert isinstance(caught.value.__cause__, FoxAPIError)
        assert session.in_flight == ()
        assert session.statistics().images_in_flight == 0
        assert server.count("POST") == 1
        [entry] = journal.entries("unknown")
        assert entry.response == caught.value.response
        assert len(entry.error) < 1000
        with pytest.raises(SubmissionUnknownError) as again:
            await session.submit(FOX, key="k")
        assert again.value.response == entry.response


async def test_a_task_that_this_session_knows_is_not_taken_again():
    shop = Shop(in_turn(response, lambda _: response(wrapped(first))))
    async with raw_server(shop) as server, session_at(server) as session:
        handle = await session.submit(FOX)
        first = shop.tasks[handle.id]
        shop.shown = changed(status="completed", results=[{"url": "https://cdn.example/a.png"}])
        await handle.wait()
        gets = server.count("GET")
        with pytest.raises(SubmissionUnknownError):
            await session.submit(FOX)
        assert server.count("GET") == gets


async def test_the_answer_to_a_post_cannot_be_a_task_that_has_ended():
    shop = Shop(in_turn(response, lambda _: response(first)))
    async with raw_server(shop) as server, session_at(server) as session:
        handle = await session.submit(FOX)
        first = shop.tasks[handle.id]
        shop.shown = changed(status="completed", results=[{"url": "https://cdn.example/a.png"}])
        await handle.wait()
        with pytest.raises(SubmissionUnknownError, match="belongs to another submission"):
            await session.submit(FOX)


async def test_an_id_behind_more_than_is_kept_is_told():
    shop = Shop(lambda task: response(wrapped_late(task)), shown=lambda _: b"<html>")
    async with raw_server(shop) as server, session_at(server) as session:
        with pytest.raises(SubmissionUnknownError) as caught:
            await session.submit(FOX)
    assert caught.value.response is not None
    assert shop.only_id in caught.value.response
    assert len(caught.value.response) <= 16 * 1024


async def test_a_task_that_the_journal_knows_is_not_taken_again(tmp_path: Path):
    shop = Shop(in_turn(response, lambda _: response(wrapped(first))))
    async with raw_server(shop) as server:
        async with session_at(server, journal=tmp_path / "journal") as session:
            first = shop.tasks[(await session.submit(FOX)).id]
        async with session_at(server, journal=tmp_path / "journal") as session:
            with pytest.raises(SubmissionUnknownError):
                await session.submit(FOX)
        assert server.count("GET") == 0


async def test_two_candidates_that_both_fit_leave_it_unknown():
    shop = Shop(lambda task: response(wrapped(task, task_id=other)))
    other = "task-unified-1760000000-somebody"
    shop.tasks[other] = task_json(id=other)
    async with raw_server(shop) as server, session_at(server) as session:
        with pytest.raises(SubmissionUnknownError):
            await session.submit(FOX)


async def test_the_question_is_repeated_while_the_server_is_in_trouble():
    shop = Shop(lambda task: response(wrapped(task), "502 Bad Gateway"))
    shop.failures = 3
    async with raw_server(shop) as server, session_at(server) as session:
        assert (await session.submit(FOX)).id == shop.only_id


async def test_a_caller_who_is_cancelled_meanwhile_does_not_lose_the_task():
    shop = Shop(lambda task: response(wrapped(task), "502 Bad Gateway"))
    shop.failures = 3
    async with raw_server(shop) as server, session_at(server) as session:
        with anyio.move_on_after(0.3):
            await session.submit(FOX)
        [handle] = session.in_flight
        assert handle.id == shop.only_id


async def test_a_session_that_ends_meanwhile_keeps_the_answer(tmp_path: Path):
    shop = Shop(lambda task: response(wrapped(task), "502 Bad Gateway"))
    shop.failures = 1000
    journal = Journal(tmp_path / "journal")
    async with (
        raw_server(shop) as server,
        anyio.create_task_group() as group,
        session_at(server, journal=journal) as session,
    ):

        async def submit() -> None:
            with pytest.raises(SubmissionUnknownError):
                await session.submit(FOX, key="k")

        group.start_soon(submit)
        await anyio.sleep(0.2)
    [entry] = journal.entries("unknown")
    assert shop.only_id in entry.response


async def test_a_crash_meanwhile_does_not_lose_what_the_server_said(tmp_path: Path):
    shop = Shop(lambda task: response(wrapped(task), "502 Bad Gateway"))
    shop.failures = 1000
    async with raw_server(shop) as server:
        program = (
            "import asyncio, sys\n"
            "from foxapi_async import PhotaImage, Session\n"
            "async def main():\n"
            "    async with Session(sys.argv[1], base_url=sys.argv[2], journal=sys.argv[3]) as session:\n"
            "        await session.submit(PhotaImage('a fox'), key='k')\n"
            "asyncio.run(main())\n"
        )
        path = tmp_path / "journal"
        command = [sys.executable, "-c", program, KEY, server.url, str(path)]
        process = await anyio.open_process(command, stdout=None, stderr=None)
        try:
            await shop.asked.wait()
        finally:
            process.kill()
            await process.wait()
    journal = Journal(path)
    with pytest.raises(SubmissionUnknownError, match="may have been billed") as raised:
        async with Session(KEY, base_url=server.url, journal=journal) as session:
            await session.submit(PhotaImage("a fox"), key="k")
    assert shop.only_id in raised.value.response


@pytest.mark.parametrize("body", [b"", b"<html>slow down</html>", b'{"detail": "slow down"}'])
async def test_a_429_without_the_envelope_is_repeated(body):
    answers = [response(body, "429 Too Many Requests")] * 2
    shop = Shop(lambda task: answers.pop() if answers else response(task))
    async with raw_server(shop) as server, session_at(server) as session:
        await session.submit(FOX)
        assert session.statistics().unknown == 0
        assert server.count("POST") == 3


async def test_a_429_without_the_envelope_is_a_refusal_when_repeats_are_off():
    shop = Shop(lambda _: response(b"", "429 Too Many Requests"))
    once = Retry(submissions=False)
    async with raw_server(shop) as server, session_at(server, retry=once) as session:
        with pytest.raises(RateLimitError):
            await session.submit(FOX)


async def test_a_429_because_of_the_quota_stops_a_map_and_slows_nothing():
    body = b'{"error": {"code": "insufficient_user_quota", "message": "no"}}'
    shop = Shop(lambda _: response(body, "429 Too Many Requests"))
    async with raw_server(shop) as server, session_at(server) as session:
        outcomes = [outcome.status async for outcome in session.map([FOX] * 200)]
        assert set(outcomes) <= {"rejected", "not_submitted"}
        assert outcomes.count("not_submitted") >= 100
        assert session.statistics().rate_limited == 0
