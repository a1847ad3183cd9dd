"""Input files reach the service whole, from disk or memory, and nothing is sent that cannot be."""

from __future__ import annotations

import os
import re

import anyio
import pytest
from yarl import URL

from foxapi_async.api import Calls
from foxapi_async.emulator import Answer, Deliver, Drop, Fault, Hang, error, html
from foxapi_async.errors import (
    APITimeoutError,
    InvalidRequestError,
    PayloadTooLargeError,
    PermissionDeniedError,
    ServerError,
)
from foxapi_async.events import EventEmitter
from foxapi_async.files.upload import Uploads
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import RateScheduler
from foxapi_async.options import Retry
from foxapi_async.statistics import Counters
from tests.files.conftest import opened

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def uploads(shop, *, attempts=4, transport=None):
    tally = Counters()
    calls = Calls(
        Limiter(RateScheduler(), EventEmitter(None), tally), Retry(attempts=attempts), tally
    )
    return Uploads(transport or shop.transport, calls)


def tries(shop):
    return sum(call.route == "upload" for call in shop.emulator.calls)


async def stored(shop, file):
    async with shop.transport.stream(URL(file.url, encoded=True), {}) as response:
        return await response.read()


async def test_a_file_is_streamed_from_disk(shop, tmp_path):
    content = os.urandom(3_500_000)
    path = tmp_path / "face.bin"
    path.write_bytes(content)
    file = await uploads(shop).upload(path)
    assert (file.filename, file.size) == ("face.bin", len(content))
    assert await stored(shop, file) == content


async def test_bytes_are_named_after_what_they_are(shop):
    file = await uploads(shop).upload(PNG)
    assert file.filename == "upload.png"
    assert await stored(shop, file) == PNG


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("../../etc/passwd", "_._.._etc_passwd"),
        ('a"b\r\nX-Evil: 1.png', "a_b__X-Evil_ 1.png"),
        ("Füchsin 🦊.png", "Füchsin 🦊.png"),
        ("nul.png", "_nul.png"),
    ],
)
async def test_a_name_cannot_break_the_header_or_leave_a_folder(shop, given, sent):
    assert (await uploads(shop).upload(PNG, filename=given)).filename == sent


@pytest.mark.parametrize(
    "fault",
    [
        Drop(),
        Drop(carried_out=True),
        Hang(),
        error(500),
        error(503),
        error(429, headers={"Retry-After": "2"}),
        html(502),
        Answer(408),
        Deliver(cut_at=0.5),
        Answer(200, "{}"),
        Answer(200, b"<html>", content_type="text/html"),
    ],
    ids=str,
)
async def test_what_may_pass_is_sent_again_with_a_fresh_body(shop, tmp_path, fault):
    path = tmp_path / "face.png"
    path.write_bytes(PNG * 20_000)
    shop.emulator.script(Fault("upload", fault, times=3))
    sender = uploads(shop)
    file = await sender.upload(path)
    assert file.size == len(PNG) * 20_000
    assert tries(shop) == 4


async def test_it_is_not_sent_more_often_than_allowed(shop):
    shop.emulator.script(Fault("upload", error(500), times=None))
    sender = uploads(shop, attempts=3)
    with pytest.raises(ServerError):
        await sender.upload(PNG)
    assert tries(shop) == 3


@pytest.mark.parametrize(
    "fault", [error(413, error_type="file_too_large_error"), html(413, "413 Too Large")], ids=str
)
async def test_too_large_is_said_once_and_clearly(shop, fault):
    shop.emulator.script(Fault("upload", fault))
    sender = uploads(shop)
    with pytest.raises(PayloadTooLargeError, match=r"upload\.png.*\(108 bytes\).*too large"):
        await sender.upload(PNG)
    assert tries(shop) == 1


async def test_a_full_storage_is_no_reason_to_send_it_again(shop):
    shop.emulator.script(Fault("upload", error(403, "the storage is full")))
    sender = uploads(shop)
    with pytest.raises(PermissionDeniedError, match="storage is full"):
        await sender.upload(PNG, auto_cleanup=False)
    assert tries(shop) == 1


@pytest.mark.parametrize("what", ["missing", "empty", "folder", "pipe", "secret", "nul\0", ""])
async def test_what_cannot_be_read_is_refused_before_anything_is_sent(shop, tmp_path, what):
    path = tmp_path / what
    if what == "empty":
        path.touch()
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "secret":
        path.write_bytes(PNG)
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    sender = uploads(shop)
    with pytest.raises(InvalidRequestError, match="upload: "):
        await sender.upload(b"" if not what else path)
    assert tries(shop) == 0
    assert shop.emulator.counters.requests == 0


async def test_an_upload_may_take_longer_than_a_request_as_long_as_it_moves(shop, tmp_path):
    async def serve(stream):
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await stream.receive(1)
            left = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
            nap = 0
            while left:
                got = len(await stream.receive(min(left, 1_000_000)))
                left, nap = left - got, nap + got
                if nap > 1_000_000:
                    nap = 0
                    await anyio.sleep(5)
            body = b'{"url": "https://files.example/x"}'
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    path = tmp_path / "big.bin"
    path.write_bytes(bytes(30_000_000))
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        transport = await opened(URL(f"http://127.0.0.1:{port}"))
        try:
            began = anyio.current_time()
            file = await uploads(shop, attempts=1, transport=transport).upload(path)
            assert anyio.current_time() - began > 120
            assert file.url == "https://files.example/x"
        finally:
            await transport.aclose()
            group.cancel_scope.cancel()


async def test_an_upload_that_does_not_move_is_given_up(shop):
    shop.emulator.script(Fault("upload", Hang()))
    began = anyio.current_time()
    with pytest.raises(APITimeoutError):
        await uploads(shop, attempts=1).upload(PNG)
    assert 59 < anyio.current_time() - began < 130
