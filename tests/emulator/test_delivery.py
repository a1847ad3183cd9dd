"""Files that arrive badly, down to the bytes on the wire."""

from __future__ import annotations

import re

import aiohttp
import anyio
import pytest
from yarl import URL

from foxapi_async.emulator import Answer, Deliver, Drop, Fault, Redirect, cut, error, html
from tests.emulator.client import emulated, form


async def _raw(url: str, *headers: str) -> tuple[bytes, bytes]:
    """Send a GET over a bare socket; return head and body as they came, up to the end."""
    address = URL(url)
    assert address.host is not None
    assert address.port is not None
    lines = [f"GET {address.raw_path_qs} HTTP/1.1", f"Host: {address.host}", *headers]
    stream = await anyio.connect_tcp(address.host, address.port)
    async with stream:
        await stream.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        received = b""
        try:
            async for chunk in stream:
                received += chunk
        except anyio.BrokenResourceError:
            received += b"<reset>"
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def _length(head: bytes) -> int:
    match = re.search(rb"Content-Length: (\d+)", head)
    assert match is not None
    return int(match.group(1))


@pytest.mark.parametrize(("reset", "ending"), [(False, b""), (True, b"<reset>")])
async def test_a_picture_may_be_cut_short(reset, ending):
    async with emulated(duration=0) as (emulator, client):
        url = await client.picture_url()
        emulator.script(Fault("download", cut(100, reset=reset)), Fault("download", cut(0.5)))
        head, body = await _raw(url)
        assert _length(head) > 100
        assert len(body.removesuffix(ending)) == 100
        assert body.endswith(ending)
        head, body = await _raw(url)
        assert len(body) == _length(head) // 2


@pytest.mark.parametrize("off_by", [-3, 7])
async def test_the_length_may_be_wrong(off_by):
    async with emulated(duration=0) as (emulator, client):
        url = await client.picture_url()
        emulator.script(Fault("download", Deliver(length_off_by=off_by)))
        head, body = await _raw(url)
        assert _length(head) == len(body) + off_by


async def test_a_picture_may_come_without_a_length():
    async with emulated(duration=0) as (emulator, client):
        url = await client.picture_url()
        _, _, picture = await client.ask("GET", url)
        emulator.script(
            Fault("download", Deliver(framing="close")),
            Fault("download", Deliver(framing="chunked")),
            Fault("download", Deliver(framing="chunked", cut_at=50)),
        )
        head, body = await _raw(url)
        assert b"Content-Length" not in head
        assert body == picture
        _, headers, body = await client.ask("GET", url)
        assert headers["Transfer-Encoding"] == "chunked"
        assert body == picture
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.ask("GET", url)


async def test_headers_may_be_missing_or_others():
    async with emulated(duration=0) as (emulator, client):
        url = await client.picture_url()
        emulator.script(
            Fault("download", Deliver(without=["content-type", "ETag"], headers={"X-A": "1"})),
            Fault("download", Deliver(headers={"content-type": "text/plain"})),
        )
        head, _ = await _raw(url)
        assert b"content-type" not in head.lower()
        assert b"ETag" not in head
        assert b"X-A: 1" in head
        head, _ = await _raw(url)
        assert head.lower().count(b"content-type") == 1


async def test_a_picture_may_trickle():
    async with emulated(duration=0) as (emulator, client):
        url = await client.picture_url()
        emulator.script(Fault("download", Deliver(bytes_per_second=100)))
        began = anyio.current_time()
        _, _, picture = await client.ask("GET", url)
        took = anyio.current_time() - began
        assert 0.9 < took / (len(picture) / 100) < 2  # a busy machine adds to each piece


async def test_whoever_hangs_up_on_a_trickle_stops_it():
    async with emulated(duration=0) as (emulator, client):
        url = await client.picture_url()
        emulator.script(Fault("download", Deliver(bytes_per_second=1)))
        with anyio.move_on_after(3):
            await client.ask("GET", url)
        with anyio.fail_after(60):
            await emulator.stop()


async def test_a_picture_may_stall():
    async with emulated(duration=0) as (emulator, client):
        url = await client.picture_url()
        emulator.script(Fault("download", Deliver(stall_at=0.3)))
        async with client.http.get(url) as response:
            with anyio.move_on_after(500) as patience:
                await response.read()
        assert patience.cancelled_caught


async def test_a_large_file_is_not_buffered_whole():
    async with emulated() as (emulator, client):
        content = bytes(8 * 2**20)
        _, _, stored = await client.ask("POST", "/v1/files/upload/stream", data=form(content))
        emulator.script(Fault("download", Deliver(framing="chunked")))
        assert (await client.ask("GET", stored["url"]))[2] == content


async def test_a_cut_download_resumes_where_it_ended():
    async with emulated(duration=0) as (_, client):
        url = await client.picture_url()
        _, headers, picture = await client.ask("GET", url)
        again = {"Range": "bytes=40-", "If-Range": headers["ETag"]}
        status, headers, rest = await client.ask("GET", url, headers=again)
        assert (status, rest) == (206, picture[40:])
        assert headers["Content-Range"] == f"bytes 40-{len(picture) - 1}/{len(picture)}"
        assert (await client.ask("GET", url, headers={"Range": "bytes=1-3"}))[2] == picture[1:4]
        assert (await client.ask("GET", url, headers={"Range": "bytes=-5"}))[2] == picture[-5:]


async def test_what_cannot_be_resumed_comes_whole():
    async with emulated(duration=0) as (emulator, client):
        url = await client.picture_url()
        _, _, picture = await client.ask("GET", url)
        emulator.script(Fault("download", Deliver(ignore_range=True)))
        for headers in (
            {"Range": "bytes=40-"},
            {"Range": "bytes=40-", "If-Range": '"another"'},
            {"Range": "lines=4-"},
            {"Range": "bytes=-"},
        ):
            status, _, body = await client.ask("GET", url, headers=headers)
            assert (status, body) == (200, picture)
        beyond = {"Range": f"bytes={len(picture)}-"}
        status, headers, _ = await client.ask("GET", url, headers=beyond)
        assert (status, headers["Content-Range"]) == (416, f"bytes */{len(picture)}")


async def test_a_file_may_be_something_else_or_somewhere_else():
    async with emulated(duration=0, files_port=0) as (emulator, client):
        url = await client.picture_url()
        assert url.startswith(emulator.files_url)
        assert emulator.files_url != emulator.url
        emulator.script(
            Fault("download", html(200, "Welcome")),
            Fault("download", Answer(200, b"", content_type="image/png")),
            Fault("download", error(410)),
            Fault("download", Redirect(lambda call: emulator.url + call.target, 302)),
            Fault("download", Drop()),
        )
        assert (await client.ask("GET", url))[1]["Content-Type"].startswith("text/html")
        assert (await client.ask("GET", url))[2] == b""
        assert (await client.ask("GET", url))[0] == 410
        status, headers, _ = await client.ask("GET", url)
        assert status == 302
        _, body = await _raw(url)
        assert body == b""
        assert (await client.ask("GET", headers["Location"]))[0] == 200
