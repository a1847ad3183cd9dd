"""A local S3 server (moto, a process of its own), and a proxy in front of it whose answers can be scripted."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from itertools import count
from urllib.error import HTTPError
from urllib.parse import quote

import attrs
import pytest
from aiohttp import ClientSession, web
from yarl import URL

_SERVER = "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"
_numbers = count(1)

SECRET = "topsecretvalue"
ACCESS_KEY = "AKIASECRETID"


# The server checks no signature, but wants to be shown one.
_HEADERS = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request",
    "Content-Type": "application/octet-stream",
}


def _request(method: str, url: str, body: bytes | None = None) -> bytes | None:
    request = urllib.request.Request(url, body, _HEADERS, method=method)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            content: bytes = answer.read()
            return content
    except HTTPError as error:
        with error:
            if error.code == 404:
                return None
            raise


@attrs.frozen
class Bucket:
    """A bucket of the server."""

    name: str
    server: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, content: bytes) -> None:
        _request("PUT", f"{self.server}/{self.name}/{quote(key)}", content)

    def get(self, key: str) -> bytes | None:
        return _request("GET", f"{self.server}/{self.name}/{quote(key)}")

    def delete(self, key: str) -> None:
        _request("DELETE", f"{self.server}/{self.name}/{quote(key)}")

    def objects(self) -> list[str]:
        listing = _request("GET", f"{self.server}/{self.name}?list-type=2") or b""
        return sorted(re.findall(r"<Key>(.*?)</Key>", listing.decode()))


@pytest.fixture(scope="session")
def s3_server() -> Generator[str, None, None]:
    """Start the server and return its address."""
    pytest.importorskip("moto")
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(rb"Running on (http://127\.0\.0\.1:\d+)", line):
                    yield found[1].decode()
                    break
            else:
                pytest.fail("the S3 server did not start")
        finally:
            process.kill()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Create an empty bucket, which the environment leads to."""
    name = f"bucket-{next(_numbers)}"
    _request("PUT", f"{s3_server}/{name}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    return Bucket(name, s3_server)


Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Answers a request in place of the server; None to let the server answer."""


@attrs.define
class S3Proxy:
    """What the proxy has received, and how it answers requests of a method, one after the other."""

    url: str = ""
    asked: list[tuple[str, str]] = attrs.field(factory=list)
    script: dict[str, list[Answer | None]] = attrs.field(factory=dict)
    passed_on: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    """What passes a request on."""

    def count(self, method: str) -> int:
        return sum(each == method for each, _ in self.asked)


def says(status: int, body: str = "") -> Answer:
    """Return an answer with a status."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status, text=body)

    return answer


async def drops(request: web.Request) -> web.StreamResponse | None:
    """Cut the connection in the middle of the request."""
    await request.content.read(1000)
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def s3_proxy(server: str) -> AsyncIterator[S3Proxy]:
    """Pass requests on to the server, unless something is scripted."""
    proxy = S3Proxy()

    async def handle(request: web.Request) -> web.StreamResponse:
        proxy.asked.append((request.method, request.path))
        script = proxy.script.get(request.method, [])
        scripted = script.pop(0) if script else None
        answer = None if scripted is None else await scripted(request)
        return answer or await passed_on(request)

    async def passed_on(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {k: v for k, v in request.headers.items() if k.lower() != "content-length"}
        url = URL(f"{server}{request.raw_path}", encoded=True)
        async with client.request(request.method, url, data=body, headers=headers) as said:
            kept = {k: v for k, v in said.headers.items() if k.lower() not in _HOP_BY_HOP}
            # A HEAD tells a length without a body.
            if request.method == "HEAD":
                kept["Content-Length"] = said.headers.get("Content-Length", "0")
            return web.Response(status=said.status, headers=kept, body=await said.read())

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with ClientSession() as client:
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            proxy.passed_on = passed_on
            yield proxy
    finally:
        await runner.cleanup()


_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "date", "server"}
