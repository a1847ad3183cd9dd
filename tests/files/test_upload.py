"""Uploads: complete files from disk or memory; unusable files are refused before a request."""

from __future__ import annotations

import os
import re

import anyio
import pytest
from yarl import URL

from foxapi_async.emulator import Answer, Deliver, Drop, Fault, Hang, error, html
from foxapi_async.errors import (
    APITimeoutError,
    InvalidRequestError,
    PayloadTooLargeError,
    PermissionDeniedError,
    ServerError,
)
from tests.files.conftest import opened

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def attempts(shop):
    return sum(call.route == "upload" for call in shop.emulator.calls)


async def stored(shop, file):
    async with shop.transport.stream(URL(file.url, encoded=True), {}) as response:
        return await response.read()


async def test_a_file_is_streamed_from_disk(shop, tmp_path):
    content = os.urandom(3_500_000)
    path = tmp_path / "face.bin"
    path.write_bytes(content)
    file = await shop.files().upload(path)
    assert (file.filename, file.size) == ("face.bin", len(content))
    assert await stored(shop, file) == content


async def test_bytes_are_named_by_their_format(shop):
    file = await shop.files().upload(PNG)
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
    assert (await shop.files().upload(PNG, filename=given)).filename == sent


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
async def test_a_transient_failure_is_retried_with_a_new_body(shop, tmp_path, fault):
    path = tmp_path / "face.png"
    path.write_bytes(PNG * 20_000)
    shop.emulator.script(Fault("upload", fault, times=3))
    files = shop.files()
    file = await files.upload(path)
    assert file.size == len(PNG) * 20_000
    assert attempts(shop) == 4


async def test_the_number_of_attempts_is_limited(shop):
    shop.emulator.script(Fault("upload", error(500), times=None))
    files = shop.files(attempts=3)
    with pytest.raises(ServerError):
        await files.upload(PNG)
    assert attempts(shop) == 3


@pytest.mark.parametrize(
    "fault", [error(413, error_type="file_too_large_error"), html(413, "413 Too Large")], ids=str
)
async def test_too_large_is_not_retried(shop, fault):
    shop.emulator.script(Fault("upload", fault))
    files = shop.files()
    with pytest.raises(PayloadTooLargeError, match=r"upload\.png.*\(108 bytes\).*too large"):
        await files.upload(PNG)
    assert attempts(shop) == 1


async def test_a_full_storage_is_not_retried(shop):
    shop.emulator.script(Fault("upload", error(403, "the storage is full")))
    files = shop.files()
    with pytest.raises(PermissionDeniedError, match="storage is full"):
        await files.upload(PNG, auto_cleanup=False)
    assert attempts(shop) == 1


@pytest.mark.parametrize("what", ["missing", "empty", "folder", "pipe", "secret", "nul\0", ""])
async def test_an_unreadable_file_is_refused_before_a_request(shop, tmp_path, what):
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
    files = shop.files()
    with pytest.raises(InvalidRequestError, match="upload: "):
        await files.upload(b"" if not what else path)
    assert attempts(shop) == 0
    assert shop.emulator.counters.requests == 0


def vanish(path):
    path.unlink()


def shrink(path):
    os.truncate(path, 1000)


def become_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (vanish, "face.png could not be read to its end: No such file"),
        (shrink, "face.png became shorter while it was being sent"),
        (become_a_folder, "face.png could not be read to its end: Is a directory"),
    ],
)
async def test_a_file_that_changes_between_two_attempts_is_not_retried(
    shop, tmp_path, change, words
):
    def when(_call):
        change(path)
        return True

    path = tmp_path / "face.png"
    path.write_bytes(PNG * 20_000)
    shop.emulator.script(Fault("upload", error(500), when=when))
    with pytest.raises(InvalidRequestError, match=f"upload: .*{words}") as caught:
        await shop.files().upload(path)
    assert caught.value.field == "path_or_bytes"
    assert attempts(shop) <= 2


async def test_an_upload_that_makes_progress_may_exceed_the_request_timeout(shop, tmp_path):
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
            file = await shop.files(attempts=1, transport=transport).upload(path)
            assert anyio.current_time() - began > 120
            assert file.url == "https://files.example/x"
        finally:
            await transport.aclose()
            group.cancel_scope.cancel()


async def test_an_upload_without_progress_times_out(shop):
    shop.emulator.script(Fault("upload", Hang()))
    began = anyio.current_time()
    with pytest.raises(APITimeoutError):
        await shop.files(attempts=1).upload(PNG)
    assert 59 < anyio.current_time() - began < 130
