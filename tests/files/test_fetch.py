"""Fetching one file from a server that misbehaves in every way."""

from __future__ import annotations

import logging
import random
import zlib
from itertools import pairwise

import anyio
import pytest
from yarl import URL

from foxapi_async.errors import DownloadError
from foxapi_async.files import fetch as fetching
from foxapi_async.files.fetch import MAX_ATTEMPTS, Fetch, LinkRefusedError
from foxapi_async.files.partfile import MemorySink
from foxapi_async.options import Retry
from tests.files.conftest import KEY, opened
from tests.files.origin import Origin, Says, part

PNG = b"\x89PNG\r\n\x1a\n" + random.Random(7).randbytes(300_000) + b"\0\0\0\0IEND\xaeB`\x82"
JPEG = b"\xff\xd8\xff\xe0" + bytes(5000) + b"\xff\xd9"
TAG = {"ETag": '"fox"'}
QUERY = "?sig=s3cret+a%2Fb"


async def fetch(
    origin,
    *,
    path="/a.png",
    kind="image",
    attempts=4,
    limit=10**9,
    base="http://127.0.0.1",
    link=None,
):
    sink, reports = MemorySink(), []
    transport = await opened(URL(base))
    made = Fetch(
        transport,
        sink,
        anyio.Semaphore(1),
        Retry(attempts=attempts),
        limit,
        kind,
        "output 0",
        lambda received, total: reports.append((received, total)),
        lambda: 1.0,
    )
    try:
        await made.run(link or origin.url + path + QUERY)
    finally:
        await transport.aclose()
    return made, bytes(sink.content), reports


async def test_a_complete_file_and_its_progress_reports():
    content = PNG[:-12] + random.Random(7).randbytes(2_000_000) + PNG[-12:]
    async with Origin([Says(body=content)]) as origin:
        made, got, reports = await fetch(origin)
    assert got == content
    assert (made.extension, made.attempts) == ("png", 1)
    assert [asked.start for asked in origin.asked] == [0]
    assert reports[-1] == (len(content), len(content))
    steps = [there for there, _ in reports]
    assert 3 <= len(steps) <= len(content) // (256 * 1024) + 1
    assert all(later > sooner for sooner, later in pairwise(steps))


async def test_neither_the_key_nor_other_headers_are_sent_and_the_query_is_unchanged():
    async with Origin([Says(body=PNG)]) as origin:
        await fetch(origin)
    asked = origin.asked[0]
    assert asked.target == "/a.png" + QUERY
    assert asked.headers["accept-encoding"] == "identity"
    assert not {"authorization", "x-mine", "cookie", "range"} & set(asked.headers)


@pytest.mark.parametrize(
    "broken",
    [
        Says(429),
        Says(408),
        Says(500),
        Says(503, {"Retry-After": "7"}),
        Says(body=PNG[:150_000], length=len(PNG)),
        Says(body=PNG[:150_000], length=None),
        Says(body=PNG[:150_000], length="true"),
        Says(body=PNG[:150_000], length=len(PNG), silent=True),
        Says(body=b""),
        Says(body=b"<html>Welcome</html>"),
        Says(body=b'{"error": 1}'),
        Says(body=b"\0" * 2000),
        Says(206, body=PNG),
        Says(body=zlib.compress(PNG)[:9000], headers={"Content-Encoding": "deflate"}),
        b"",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\nabc",
        b"SSH-2.0-OpenSSH\r\n",
    ],
    ids=lambda broken: str(broken)[:60],
)
async def test_a_transient_failure_is_retried(broken):
    async with Origin([broken, broken, Says(body=PNG)]) as origin:
        _, got, _ = await fetch(origin)
    assert got == PNG
    assert len(origin.asked) == 3


@pytest.mark.parametrize("broken", [Says(500), Says(body=b"<html>"), b"HTTP/1.1 2x0 OK\r\n\r\n"])
async def test_the_last_failure_is_raised_without_the_query_of_the_link(broken):
    async with Origin([broken]) as origin:
        with pytest.raises(DownloadError, match=r"output 0: .*given up after 3 attempts") as caught:
            await fetch(origin, attempts=3)
    assert len(origin.asked) == 3
    error = caught.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__


async def test_retry_after_is_respected():
    async with Origin([Says(503, {"Retry-After": "120"}), Says(body=PNG)]) as origin:
        began = anyio.current_time()
        await fetch(origin)
        assert 120 <= anyio.current_time() - began < 130


async def test_silence_ends_an_attempt():
    async with Origin([Says(body=PNG[:9], length=len(PNG), silent=True), Says(body=PNG)]) as origin:
        began = anyio.current_time()
        await fetch(origin)
        assert 20 <= anyio.current_time() - began < 25


def honest(content, headers=TAG, each=60_000):
    """Serve at most so many bytes per response, then break the connection."""

    def answer(asked):
        if asked.start and asked.headers.get("if-range") in headers.values():
            said = part(content, asked.start, **headers)
        else:
            said = Says(headers=dict(headers), body=content)
        said.length = len(said.body)
        said.body = said.body[:each]
        said.pieces = 4
        return said

    return answer


@pytest.mark.parametrize(
    "headers", [TAG, {"Last-Modified": "Sun, 22 Nov 2026 12:00:00 GMT"}], ids=["etag", "date"]
)
async def test_a_broken_download_is_resumed(headers):
    async with Origin([honest(PNG, headers)]) as origin:
        made, got, _ = await fetch(origin, attempts=2)
    assert got == PNG
    starts = [asked.start for asked in origin.asked]
    assert starts == sorted(set(starts))
    assert len(starts) == made.attempts >= 5
    assert origin.asked[1].headers["if-range"] in headers.values()


async def test_progress_resets_the_attempts_but_their_total_is_limited():
    content = PNG[:-12] + bytes(MAX_ATTEMPTS * 60_000) + PNG[-12:]
    async with Origin([honest(content, each=30_000)]) as origin:
        with pytest.raises(DownloadError, match=f"given up after {MAX_ATTEMPTS} attempts"):
            await fetch(origin, attempts=2)


async def test_without_a_strong_validator_it_starts_over():
    broken = Says(headers={"ETag": 'W/"fox"'}, body=PNG[:150_000], length=len(PNG), pieces=3)
    async with Origin([broken, Says(body=PNG)]) as origin:
        _, got, _ = await fetch(origin)
    assert got == PNG
    assert "range" not in origin.asked[1].headers


BROKEN = Says(headers=TAG, body=PNG[:150_000], length=len(PNG), pieces=3)
OTHER = PNG[:8] + random.Random(8).randbytes(200_000) + PNG[-12:]


@pytest.mark.parametrize(
    ("second", "attempts"),
    [
        (lambda _: Says(body=OTHER), 2),
        (lambda asked: part(OTHER, asked.start, ETag='"new"'), 3),
        (lambda asked: part(OTHER, asked.start), 3),
        (lambda asked: part(PNG, asked.start - 1), 3),
        (lambda asked: Says(206, {}, PNG[asked.start :]), 3),
        (lambda asked: part(PNG + b"?", asked.start), 3),
        (lambda _: Says(416, {"Content-Range": f"bytes */{len(PNG)}"}), 3),
        (
            lambda asked: Says(
                206, {**part(PNG, asked.start).headers, "Content-Encoding": "deflate"}
            ),
            3,
        ),
    ],
)
async def test_a_part_that_does_not_continue_the_file_is_rejected(second, attempts):
    async with Origin([BROKEN, second, Says(body=OTHER)]) as origin:
        made, got, _ = await fetch(origin)
    assert origin.asked[1].start > 0
    assert got == OTHER
    assert made.attempts == attempts


@pytest.mark.parametrize(("path", "resumes"), [("/a.png?fresh", True), ("/b.png", False)])
async def test_a_new_link_to_the_same_file_resumes_and_one_to_another_starts_over(path, resumes):
    sink = MemorySink()
    async with Origin([BROKEN, Says(403), honest(PNG, each=10**6)]) as origin:
        transport = await opened(URL(origin.url))
        made = Fetch(
            transport, sink, anyio.Semaphore(1), Retry(), 10**9, "image", "it", lambda *_: None
        )
        with pytest.raises(LinkRefusedError):
            await made.run(origin.url + "/a.png" + QUERY)
        await made.run(origin.url + path)
        await transport.aclose()
    assert sink.content == PNG
    assert (origin.asked[-1].start > 0) == resumes


async def test_a_server_may_send_less_than_was_asked_for():
    def answer(asked):
        return part(PNG, asked.start, min(asked.start + 100_000, len(PNG)), **TAG)

    async with Origin([BROKEN, answer]) as origin:
        _, got, _ = await fetch(origin, attempts=2)
    assert got == PNG
    starts = [asked.start for asked in origin.asked]
    assert starts == sorted(set(starts))
    assert len(starts) >= 3


async def test_more_bytes_than_announced_are_rejected():
    said = b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-%d/%d\r\nConnection: close\r\n\r\n"

    def answer(asked):
        return said % (asked.start, len(PNG) - 1, len(PNG)) + PNG[asked.start :] + b"?"

    async with Origin([BROKEN, answer, Says(body=PNG)]) as origin:
        made, got, _ = await fetch(origin)
    assert got == PNG
    assert made.attempts == 3


@pytest.mark.parametrize("length", ["true", None])
async def test_a_picture_without_its_end_is_rejected(length):
    async with Origin([Says(body=PNG[:-20], length=length)]) as origin:
        with pytest.raises(DownloadError, match=r"end|cut short"):
            await fetch(origin)
    assert len(origin.asked) == 4


async def test_an_unwanted_compression_is_decoded():
    packed = zlib.compress(PNG)
    async with Origin(
        [Says(body=packed, headers={"Content-Encoding": "deflate", **TAG})]
    ) as origin:
        _, got, _ = await fetch(origin)
    assert got == PNG


@pytest.mark.parametrize("length", ["true", None])
async def test_a_file_above_the_limit_is_rejected(length):
    async with Origin([Says(body=PNG, length=length)]) as origin:
        with pytest.raises(DownloadError, match="larger than the limit"):
            await fetch(origin, limit=200_000)
    assert len(origin.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 416, 204, 304, 300])
async def test_any_other_status_is_not_retried(status):
    async with Origin([Says(status, length=None)]) as origin:
        with pytest.raises(
            DownloadError, match=f"HTTP {status} from http://127.0.0.1:[0-9]*/a.png$"
        ):
            await fetch(origin)
    assert len(origin.asked) == 1


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_refused_link_raises_its_own_error(status):
    async with Origin([Says(status)]) as origin:
        with pytest.raises(LinkRefusedError, match=str(status)):
            await fetch(origin)
    assert len(origin.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_without_encoding_them_again(status):
    async with Origin([Says(body=PNG)]) as other, Origin([]) as origin:
        origin.answers += [
            Says(status, {"Location": "/b%2Fc?x=%7e+"}),
            Says(status, {"Location": other.url + "/d?" + QUERY}),
        ]
        _, got, _ = await fetch(origin)
    assert got == PNG
    assert origin.asked[1].target == "/b%2Fc?x=%7e+"
    assert "authorization" not in other.asked[0].headers


async def test_the_number_of_redirects_is_limited():
    async with Origin([Says(302, {"Location": "/again"})]) as origin:
        with pytest.raises(DownloadError, match="more than 5 redirects"):
            await fetch(origin)
    assert len(origin.asked) == 6


@pytest.mark.parametrize(
    "location", ["http://cdn.example/a", "ftp://127.0.0.1/a", "//u:p@127.0.0.1/", "http://[::1"]
)
async def test_unsafe_redirects_are_not_followed(location):
    async with Origin([Says(302, {"Location": location + QUERY})]) as origin:
        with pytest.raises(DownloadError, match="redirect") as caught:
            await fetch(origin)
    assert "sig=" not in str(caught.value)
    assert len(origin.asked) == 1


@pytest.mark.parametrize(
    "location", ["/{key}", "http://{key}.example/a", "{key}:a", "https://{key}/"]
)
async def test_a_redirect_with_the_key_in_its_address_does_not_spread_it(location, caplog):
    caplog.set_level(logging.DEBUG, "foxapi_async")
    answers = [Says(302, {"Location": location.format(key=KEY)}), Says(410)]
    async with Origin(answers) as origin:
        with pytest.raises((DownloadError, LinkRefusedError)) as caught:
            await fetch(origin, attempts=1)
    assert KEY not in str(caught.value) + caplog.text + str(
        [asked.target for asked in origin.asked]
    )


async def test_a_remote_api_cannot_make_the_client_ask_loopback():
    async with Origin([Says(body=PNG)]) as origin:
        with pytest.raises(DownloadError, match="not https"):
            await fetch(origin, base="https://api.example")
    assert origin.asked == []


async def test_files_of_other_kinds_are_named_by_type_and_path():
    async with Origin([Says(body=b"WEBVTT\n", headers={"Content-Type": "text/vtt"})]) as origin:
        made, _, _ = await fetch(origin, kind="audio")
        assert made.extension == "vtt"
    async with Origin([Says(body=b"v 1 2 3")]) as origin:
        made, _, _ = await fetch(origin, kind=None, path="/fox.obj")
        assert made.extension == "obj"


async def test_an_error_page_in_place_of_a_film_is_not_read_to_its_end():
    page = Says(body=b"<html>" + bytes(5000), length=10**6, silent=True)
    async with Origin([page]) as origin:
        began = anyio.current_time()
        with pytest.raises(DownloadError, match="page of HTML"):
            await fetch(origin, kind="video", attempts=1)
        assert anyio.current_time() - began < 30


async def test_a_jpeg_may_have_bytes_behind_its_end():
    async with Origin([Says(body=JPEG + b"more\0\0", length=None)]) as origin:
        made, got, _ = await fetch(origin)
    assert (made.extension, got) == ("jpg", JPEG + b"more\0\0")


async def test_small_chunks_are_collected_into_blocks(monkeypatch):
    blocks, keep = [], MemorySink.write

    async def write(sink, block):
        blocks.append(len(block))
        await keep(sink, block)

    monkeypatch.setattr(fetching, "BLOCK", 40_000)
    monkeypatch.setattr(MemorySink, "write", write)
    async with Origin([Says(body=PNG, pieces=200)]) as origin:
        _, got, _ = await fetch(origin)
    assert got == PNG
    assert min(blocks[:-1]) >= 40_000
    assert len(blocks) > 2


def test_blocks_are_large_enough_to_be_worth_a_thread():
    assert fetching.BLOCK >= 8 * 64 * 1024
