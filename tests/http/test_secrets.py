"""No error, event or log line leads to the API key, whatever the server sends and however it fails."""

from __future__ import annotations

import gzip
import json
import logging
import pickle
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from foxapi_async import (
    FoxAPIError,
    PhotaImage,
    Polling,
    Retry,
    Session,
    SubmissionUnknownError,
    TaskTimeoutError,
    Timeout,
)
from tests.raw_server import RawRequest, raw_server, response, task_json

FOX = PhotaImage("a fox in the snow")
KEY = "sk-Abcdef/0123456789+xyz"
JSON_ESCAPED = "".join(f"\\u{ord(c):04X}" for c in KEY)
BODY = f'{{"error": {{"message": "wrong key {KEY}", "code": "{JSON_ESCAPED}"}}}}'

SAID: dict[str, bytes | None] = {
    "nothing": None,
    "half an answer": response(BODY.encode())[:-20],
    "a part of the key": response(
        b"wrong key " + KEY[:-3].encode(), headers={"Content-Length": "99"}
    ),
    "the key": response(BODY.encode(), "500 Internal Server Error"),
    "the key, refused": response(BODY.encode(), "401 Unauthorized"),
    "the key in HTML": response(f"<p>{KEY}</p>".encode(), "502 Bad Gateway"),
    "the key in UTF-16": response(BODY.encode("utf-16"), "500 Internal Server Error"),
    "the key in UTF-16 without a mark": response(BODY.encode("utf-16-be"), "403 Forbidden"),
    "the key in gzip": response(
        gzip.compress(BODY.encode()), "500 No", headers={"Content-Encoding": "gzip"}
    ),
    "the key in percent-encoding": response(quote(BODY, safe="").encode(), "409 Conflict"),
    "the key as id": response(json.dumps({"id": KEY}).encode()),
    "the key in headers": response(
        b"{}", "429 Too Many", {"X-Request-Id": KEY, "Retry-After": KEY, "Date": KEY}
    ),
    "the key in an address": response(
        b"", "302 Found", {"Location": f"/?key={quote(KEY, safe='')}"}
    ),
    "the key in a reason": response(b"{}", f"500 {KEY}"),
    "the key in a status line": f"HTTP/1.1 {KEY}\r\n\r\n".encode(),
    "the key without HTTP": f"{KEY}\r\n\r\n".encode(),
    "the key in a malformed header": f"HTTP/1.1 200 OK\r\nA {KEY}\x00: 1\r\n\r\n".encode(),
    "the key in a header and no end": f"HTTP/1.1 200 OK\r\nA: {KEY}\r\n".encode(),
    "the key in a header that is too long": response(b"", headers={"A": KEY * 10_000}),
    "the key in a chunk": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode(),
}


def reachable(value: object, depth: int = 0) -> Iterator[object]:
    """Yield what a reader of an error gets at without looking into frames."""
    yield value
    if depth > 6 or isinstance(value, type):
        return
    inner: list[object] = []
    if isinstance(value, BaseException):
        inner += [value.args, value.__cause__, value.__context__, getattr(value, "__notes__", None)]
    if isinstance(value, dict):
        inner += [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set):
        inner += value
    elif hasattr(value, "__dict__"):
        inner += [vars(value)]
    for each in inner:
        if each is not None and not isinstance(each, PhotaImage):
            yield from reachable(each, depth + 1)


def leaks(error: object) -> list[str]:
    found = list(reachable(error))
    texts = [repr(each) + str(each) for each in found]
    foreign = [
        repr(each) for each in found if type(each).__module__.startswith(("aiohttp", "yarl"))
    ]
    secrets = (KEY, KEY[:-3], json.dumps(KEY)[1:-1], JSON_ESCAPED, quote(KEY, safe=""))
    return foreign + [text for text in texts if any(secret in text for secret in secrets)]


@pytest.mark.parametrize("said", SAID)
async def test_an_error_of_a_submission_does_not_lead_to_the_key(said, caplog):
    caplog.set_level(logging.DEBUG, "foxapi_async")

    async def handler(_: RawRequest) -> bytes | None:
        return SAID[said]

    events: list[object] = []
    options = {"retry": Retry(attempts=1), "timeout": Timeout(request=3), "on_event": events.append}
    async with (
        raw_server(handler) as server,
        Session(KEY, base_url=server.url, **options) as session,
    ):
        with pytest.raises(FoxAPIError) as caught:
            await session.submit(FOX)
        with pytest.raises(FoxAPIError) as upload:
            await session.upload(b"\x89PNG\r\n\x1a\n")
    assert leaks(caught.value) == leaks(upload.value) == leaks(events) == []
    assert leaks(pickle.loads(pickle.dumps(caught.value))) == []
    assert leaks(caplog.messages) == []
    if isinstance(caught.value, SubmissionUnknownError):
        assert isinstance(caught.value.__cause__, FoxAPIError)
        if said not in {"nothing", "the key in a reason", "the key in a header and no end"}:
            assert "[API key]" in str(caught.value.response) + str(caught.value)


@pytest.mark.parametrize("said", SAID)
async def test_an_error_of_a_poll_does_not_lead_to_the_key(said):
    async def handler(request: RawRequest) -> bytes | None:
        return response(task_json()) if request.method == "POST" else SAID[said]

    async with raw_server(handler) as server:
        options = {"polling": Polling(give_up_after=20.0), "timeout": Timeout(request=3)}
        async with Session(KEY, base_url=server.url, **options) as session:
            handle = await session.submit(FOX)
            with pytest.raises(FoxAPIError) as caught:
                await handle.wait()
    assert leaks(caught.value) == []
    if isinstance(caught.value, TaskTimeoutError):
        assert isinstance(caught.value.__cause__, FoxAPIError)


async def test_a_connection_that_cannot_be_made_does_not_lead_to_the_key(free_tcp_port):
    url = f"http://127.0.0.1:{free_tcp_port}"
    async with Session(KEY, base_url=url, retry=Retry(attempts=1)) as session:
        with pytest.raises(FoxAPIError) as caught:
            await session.submit(FOX)
    assert leaks(caught.value) == []
    assert "no connection was made" in str(caught.value)


async def test_a_task_that_quotes_the_key_has_it_nowhere():
    escaped = JSON_ESCAPED.encode()
    said = task_json(status="completed", model=KEY, results=[{"url": f"https://cdn.example/{KEY}"}])
    said = (
        said[:-1] + b', "n": {"' + escaped + b'": ["' + KEY.replace("/", "\\/").encode() + b'"]}}'
    )

    async def handler(_: RawRequest) -> bytes:
        return response(said)

    async with raw_server(handler) as server, Session(KEY, base_url=server.url) as session:
        task = await session.generate(FOX)
    shown = repr(task) + json.dumps(task.raw) + repr(task.outputs) + str(dict(task.outputs[0].data))
    assert KEY not in shown
    assert task.raw["n"] == {"[API key]": ["[API key]"]}


LINK = "https://cdn.example/a.png?sig=s3cret"
QUOTES_LINK = {
    "an error": response(
        f'{{"error": {{"message": "cannot read {LINK} now"}}}}'.encode(), "400 No"
    ),
    "a text": response(f"cannot read {LINK} now".encode(), "500 No"),
    "a list": response(json.dumps([{"url": LINK}]).encode()),
    "a task without id": response(json.dumps({"results": [{"url": LINK}]}).encode()),
    "no picture": response(task_json(status="completed", results=[{"page": LINK, "id": None}])),
}


@pytest.mark.parametrize("said", QUOTES_LINK)
async def test_the_text_of_an_error_shows_no_signature_of_a_link(said, caplog, tmp_path):
    async def handler(_: RawRequest) -> bytes:
        return QUOTES_LINK[said]

    events: list[object] = []
    options = {"retry": Retry(attempts=1), "on_event": events.append}
    async with (
        raw_server(handler) as server,
        Session(KEY, base_url=server.url, **options) as session,
    ):
        with pytest.raises(FoxAPIError, match=r"cdn\.example/a\.png") as caught:
            await session.download(await session.generate(FOX), tmp_path)
    assert "s3cret" not in repr(caught.value) + caplog.text + repr(events)
    assert "s3cret" not in repr(getattr(caught.value, "__cause__", None))
