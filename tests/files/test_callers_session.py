"""Downloads use the aiohttp session of the caller, and none of its secrets."""

from __future__ import annotations

from typing import Self

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from yarl import URL

from foxapi_async import Session
from foxapi_async.models import Output

PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000) + b"\0\0\0\0IEND\xaeB`\x82"
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed")
"""Of aiohttp 4: the ways to authenticate that sessions of users still have."""

SECRETS = {
    "Authorization": "Bearer s3cret",
    "Cookie": "session=s3cret",
    "X-Api-Key": "s3cret",
    "Proxy-Authorization": "Basic s3cret",
    "Host": "s3cret.internal",
    "Range": "bytes=7-",
    "Accept-Encoding": "gzip",
    "Accept": "application/json",
    "User-Agent": "s3cret",
}


class Recorder:
    """Answers each request with a picture and a cookie, and keeps its headers."""

    def __init__(self, content: bytes = PNG) -> None:
        self.content = content
        self.requests: list[web.BaseRequest] = []
        self.server = RawTestServer(self._answer)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        if request.path.startswith("/moved"):
            return web.Response(status=302, headers={"Location": "/a.png", "Set-Cookie": "hop=1"})
        if request.path.startswith("/v1"):
            task = {"id": "task-1", "status": "completed", "results": [{"url": "https://x/a"}]}
            return web.json_response(task)
        return web.Response(body=self.content, headers={"Set-Cookie": "cdn=1; Path=/"})

    async def __aenter__(self) -> Self:
        await self.server.start_server()
        self.port = self.server.port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


async def read(http: aiohttp.ClientSession, url: str, base_url: str) -> bytes:
    async with Session("sk-s3cret-key", base_url=base_url, http=http) as session:
        return await session.read(Output(0, url, {}, None, "image"))


@pytest.mark.parametrize("path", ["/a.png", "/moved.png"])
@pytest.mark.parametrize("auth", [False, True])
async def test_no_secret_of_the_session_reaches_the_host_of_a_file(path, auth):
    headers = {name: value for name, value in SECRETS.items() if not auth or name[0] != "A"}
    options = {"auth": aiohttp.BasicAuth("fox", "s3cret")} if auth else {}
    async with Recorder() as cdn:
        jar = aiohttp.CookieJar(unsafe=True)
        jar.update_cookies({"token": "s3cret"}, URL(cdn.url))
        async with aiohttp.ClientSession(headers=headers, cookie_jar=jar, **options) as http:
            assert await read(http, cdn.url + path, cdn.url) == PNG
            assert {cookie.key for cookie in jar} == {"token"}
    for request in cdn.requests:
        assert "s3cret" not in str(request.headers)
        assert set(request.headers) == {"Host", "Accept", "Accept-Encoding", "User-Agent"}
        assert request.headers["Host"] == cdn.url.removeprefix("http://")
        assert request.headers["Accept-Encoding"] == "identity"


async def test_a_middleware_of_the_session_adds_no_secret():
    async def adding(request, handler):
        request.headers["X-Token"] = "s3cret"
        return await handler(request)

    async with Recorder() as cdn, aiohttp.ClientSession(middlewares=(adding,)) as http:
        assert await read(http, cdn.url + "/a.png", cdn.url) == PNG
    assert "X-Token" not in cdn.requests[-1].headers


@pytest.mark.parametrize("password", [None, "s3cret"])
async def test_downloads_go_through_the_proxy_of_the_session(password):
    auth = None if password is None else aiohttp.BasicAuth("fox", password)
    async with (
        Recorder() as proxy,
        Recorder(b"not asked") as cdn,
        aiohttp.ClientSession(
            proxy=proxy.url, proxy_auth=auth, headers={"X-Api-Key": "s3cret"}
        ) as http,
    ):
        assert await read(http, cdn.url + "/a.png", cdn.url) == PNG
    [request] = proxy.requests
    assert cdn.requests == []
    assert str(request.raw_path) == cdn.url + "/a.png"
    assert ("Proxy-Authorization" in request.headers) == (password is not None)
    assert "X-Api-Key" not in request.headers


async def test_downloads_are_traced_and_obey_the_limits_of_the_session():
    seen = []
    trace = aiohttp.TraceConfig()

    async def on_end(_session, _context, end):
        seen.append(end.url.path)

    trace.on_request_end.append(on_end)
    async with (
        Recorder() as cdn,
        aiohttp.ClientSession(trace_configs=[trace], auto_decompress=False) as http,
    ):
        await read(http, cdn.url + "/a.png", cdn.url)
    assert seen == ["/a.png"]


async def test_a_session_of_a_subclass_makes_the_requests_itself():
    calls = []

    async def request(self, *given, **options):
        calls.append(given)
        return await aiohttp.ClientSession._request(self, *given, **options)

    with pytest.warns(DeprecationWarning, match="discouraged"):
        mine = type("Mine", (aiohttp.ClientSession,), {"_request": request})
    async with Recorder() as cdn, mine() as http:
        await read(http, cdn.url + "/a.png", cdn.url)
    assert len(calls) == 1


async def test_the_api_still_gets_the_headers_of_the_session_and_the_key():
    async with (
        Recorder() as api,
        aiohttp.ClientSession(headers={"X-Route": "eu"}) as http,
        Session("sk-s3cret-key", base_url=api.url, http=http) as session,
    ):
        await session.retrieve("task-1")
    assert api.requests[0].headers["X-Route"] == "eu"
    assert api.requests[0].headers["Authorization"] == "Bearer sk-s3cret-key"
