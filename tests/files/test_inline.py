"""Results in the answer itself, and links without scheme or host."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from foxapi_async import Session
from foxapi_async.errors import DownloadError, InvalidResponseError
from foxapi_async.http import transport
from foxapi_async.http.outputs import absolute, decoded, inline_text, without_inline
from foxapi_async.models import Output
from foxapi_async.phota import PhotaImage

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40 + b"\0\0\0\0IEND\xaeB`\x82"
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40 + b"\xff\xd9"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>'
TEXT = base64.b64encode(PNG).decode()
URL_SAFE = base64.urlsafe_b64encode(JPEG).decode().rstrip("=")


class Api:
    """Answers to polls with ``task`` and serves files; counts what it is asked."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        self.asked: list[tuple[str, str | None]] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.path, request.headers.get("Authorization")))
        if "/v1/" not in request.path:
            return web.Response(body=PNG)
        task = {"id": request.path.rpartition("/")[2], "status": "completed", "type": "image"}
        if request.method == "POST":
            task["id"] = f"task-posted-{len(self.asked)}"
        return web.Response(
            body=json.dumps(task | self.fields).encode(), content_type="application/json"
        )


@asynccontextmanager
async def session_with(api: Api, **options: Any) -> AsyncIterator[Session]:
    async with RawTestServer(api.answer) as server:
        url = f"http://127.0.0.1:{server.port}"
        api.fields = json.loads(json.dumps(api.fields).replace("{port}", str(server.port)))
        async with Session("sk-s3cret-key", base_url=url + "/proxy", **options) as session:
            yield session


SHAPES = {
    "b64_json": {"results": [{"b64_json": TEXT}]},
    "b64": {"results": [{"b64": TEXT}]},
    "image_base64": {"results": [{"image_base64": TEXT, "seed": 7}]},
    "an unknown field": {"results": [{"picture": TEXT}]},
    "nested": {"results": [{"inlineData": {"mimeType": "image/png", "data": TEXT}}]},
    "in the place of the link": {"results": [{"url": TEXT}]},
    "bare": {"results": [TEXT]},
    "one object": {"results": {"b64_json": TEXT}},
    "lines": {
        "results": [{"b64_json": "\n".join(TEXT[n : n + 76] for n in range(0, len(TEXT), 76))}]
    },
    "data URL": {"results": [{"url": f"data:image/png;base64,{TEXT}"}]},
    "data URL in b64_json": {"results": [{"b64_json": f"data:image/png;base64,{TEXT}"}]},
    "escaped data URL": {"results": [{"url": f"data:image/png;base64,{quote(TEXT, safe='')}"}]},
    "older shape": {"output": {"b64_json": TEXT, "width": 64}},
    "older shape, data URL": {"output": {"url": f"DATA:;base64,{TEXT}"}},
    "older shape, list": {"output": {"urls": [f"data:image/png;base64,{TEXT}"]}},
    "relative": {"results": [{"url": "/files/x.png?sig=1"}]},
    "relative without slash": {"results": [{"url": "files/x.png"}]},
    "only a name": {"results": [{"url": "x.png"}]},
    "without scheme": {"results": [{"url": "//127.0.0.1:{port}/files/x.png"}]},
    "only host and path": {"results": [{"url": "127.0.0.1:{port}/files/x.png"}]},
    "a list": {"results": [{"url": ["/files/x.png"]}]},
    "image_url": {"results": [{"image_url": "/files/x.png"}]},
    "image_url, object": {"results": [{"image_url": {"url": "/files/x.png"}}]},
    "image_url, data URL in an object": {
        "results": [{"image_url": {"url": f"data:image/png;base64,{TEXT}"}}]
    },
    "image_url, list": {"results": [{"image_url": ["/files/x.png"]}]},
    "b64_json, list": {"results": [{"b64_json": [TEXT]}]},
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_shape_becomes_a_file(shape, tmp_path):
    api = Api(**SHAPES[shape])
    async with session_with(api) as session:
        task = await session.attach("task-1").wait()
        assert len(pickle.dumps(task)) < 3000
        assert TEXT[:100] not in repr(task) + repr(task.raw)
        [path] = await session.download(task, tmp_path, name="fox")
        assert path.name == "fox.png"
        assert path.read_bytes() == PNG
        assert await session.read(task.outputs[0]) == PNG  # fetched twice
    assert all(path.startswith("/proxy/v1") for path, key in api.asked if key is not None)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("text", "content", "extension"),
    [
        (f"data:image/jpeg;base64,{URL_SAFE}", JPEG, "jpg"),
        (f"data:image/svg+xml,{quote(SVG.decode())}", SVG, "svg"),
        (f"data:image/svg+xml;charset=utf-8,{quote(SVG.decode())}", SVG, "svg"),
    ],
)
async def test_the_extension_is_that_of_the_content(text, content, extension, tmp_path):
    async with session_with(Api(results=[{"url": text}])) as session:
        [path] = await session.download(await session.retrieve("task-1"), tmp_path)
    assert path.name == f"task-1-0.{extension}"
    assert path.read_bytes() == content


async def test_a_list_of_links_is_several_outputs(tmp_path):
    urls = ["/a.png", "/b.png", f"data:image/png;base64,{TEXT}", "/a.png"]
    async with session_with(Api(results=[{"url": urls, "seed": 1}])) as session:
        task = await session.retrieve("task-1")
        paths = await session.download(task, tmp_path)
    assert [output.index for output in task.outputs] == [0, 1, 2]
    assert [output.data["seed"] for output in task.outputs] == [1, 1, 1]
    assert len(paths) == 3


async def test_a_preview_is_replaced_by_the_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spool"))
    (tmp_path / "spool").mkdir()
    api = Api(status="processing", results=[{"b64_json": base64.b64encode(JPEG).decode()}])
    async with session_with(api) as session:
        preview = await session.retrieve("task-1")
        api.fields = {"status": "completed", "results": [{"b64_json": TEXT}]}
        task = await session.retrieve("task-1")
        [path] = await session.download(task, tmp_path)
        assert path.read_bytes() == PNG
        assert list((tmp_path / "spool").rglob("[0-9]")) == []
    assert preview.outputs[0].url == task.outputs[0].url


async def test_inline_data_in_the_answer_to_the_post(tmp_path):
    async with session_with(Api(results=[{"b64_json": TEXT}])) as session:
        task = await session.generate(PhotaImage("a fox"))
        [path] = await session.download(task, tmp_path)
    assert path.read_bytes() == PNG


async def test_an_output_of_another_session_is_asked_for_again(tmp_path):
    api = Api(results=[{"b64_json": TEXT}])
    async with session_with(api) as session:
        task = pickle.loads(pickle.dumps(await session.retrieve("task-1")))
    async with session_with(api) as session:
        [path] = await session.download(task, tmp_path)
    assert path.read_bytes() == PNG


@pytest.mark.parametrize("output", [{"url": f"data:,{SVG.decode()}"}, {"data": {"b64": TEXT}}])
async def test_an_output_that_was_built_by_hand(output):
    async with session_with(Api()) as session:
        assert await session.read(Output(0, **output)) in {PNG, SVG}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"b64_json": base64.b64encode(b"<html>sorry").decode()}, "a page of HTML"),
        ({"b64_json": TEXT[:4000]}, "cut short"),
        ({"b64_json": "?!"}, "cannot be decoded"),
        ({"url": "data:image/png;base64"}, "cannot be decoded"),
        ({"url": "file:///etc/passwd"}, "only https"),
        ({"url": "ftp://x/y.png"}, "only https"),
    ],
)
async def test_what_is_no_picture_is_refused(given, words, tmp_path):
    async with session_with(Api(results=[given])) as session:
        with pytest.raises(DownloadError, match=words) as caught:
            await session.download(await session.retrieve("task-1"), tmp_path)
    assert caught.value.task_id == "task-1"
    assert list(tmp_path.iterdir()) == []


async def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spool"))
    (tmp_path / "spool").mkdir()
    async with session_with(Api(results=[{"b64_json": TEXT}] * 3)) as session:
        task = await session.retrieve("task-1")
        await session.read(task.outputs[0])
        assert len(list((tmp_path / "spool").rglob("[0-9]"))) == 2
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.much
@pytest.mark.parametrize("kind", ["GET", "POST"])
async def test_large_answers_are_read_one_after_the_other(kind, tmp_path, monkeypatch):
    most = 0
    monkeypatch.setattr(transport, "_SMALL_BODY", 4096)
    read = transport.Transport._exchange

    async def reading(self, *given):
        nonlocal most
        result = await read(self, *given)
        most = max(most, self.memory._total - self.memory._free)
        return result

    monkeypatch.setattr(transport.Transport, "_exchange", reading)
    monkeypatch.setattr(transport, "_MEMORY", 100_000)
    async with session_with(Api(results=[{"b64_json": TEXT}])) as session:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(_save, session, kind, f"task-{number}", tmp_path)
        assert session._transport.memory._free == 100_000
    assert 0 < most <= 100_000


async def _save(session, kind, task_id, folder):
    request = PhotaImage("a fox")
    wait = session.attach(task_id).wait() if kind == "GET" else session.generate(request)
    await session.download(await wait, folder)


@pytest.mark.much
async def test_an_answer_of_many_megabytes(tmp_path):
    content = PNG[:-12] + bytes(9_000_000) + PNG[-12:]
    text = base64.b64encode(content).decode()
    async with session_with(Api(results=[{"b64_json": text}])) as session:
        task = await session.generate(PhotaImage("a fox"))
        assert len(repr(task)) < 1000
        [path] = await session.download(task, tmp_path)
        assert path.read_bytes() == content
        task = await session.retrieve("task-1")
        assert await session.read(task.outputs[0]) == content


async def test_an_answer_above_the_bound_is_refused(monkeypatch):
    monkeypatch.setattr(transport, "MAX_BODY", 5000)
    monkeypatch.setattr(transport, "_SMALL_BODY", 4000)
    async with session_with(Api(results=[{"b64_json": TEXT}])) as session:
        with pytest.raises(InvalidResponseError, match="larger than 5000 bytes"):
            await session.retrieve("task-1")
        assert session._transport.memory._free == session._transport.memory._total


@given(st.binary(max_size=300), st.booleans(), st.integers(1, 9))
def test_what_is_encoded_is_decoded(content, is_safe, width):
    text = (base64.urlsafe_b64encode if is_safe else base64.b64encode)(content).decode()
    lines = "\r\n".join(text[at : at + width] for at in range(0, len(text), width))
    assert b"".join(decoded(lines)) == content
    assert b"".join(decoded(text.rstrip("="))) == content
    assert b"".join(decoded("data:x/y,%41" + quote(content))) == b"A" + content


@pytest.mark.parametrize("text", ["a", "ab=c", "äöü", "data:;base64,?", "abc*"])
def test_what_is_not_base64_raises(text):
    with pytest.raises(ValueError, match=r".+"):
        list(decoded(text))


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://a/b", "https://a/b"),
        ("http://a/b", "http://a/b"),
        ("/a?b=1", "https://api.example:8443/a?b=1"),
        ("a/b.png", "https://api.example:8443/a/b.png"),
        ("x.png", "https://api.example:8443/x.png"),
        ("film.mov?sig=1", "https://api.example:8443/film.mov?sig=1"),
        ("./a/b.png", "https://api.example:8443/a/b.png"),
        ("../a/.b.png", "https://api.example:8443/a/.b.png"),
        ("//cdn.example?a", "https://cdn.example?a"),
        ("//cdn.example/a", "https://cdn.example/a"),
        ("//cdn/a", "https://cdn/a"),
        ("cdn.example/a.png", "https://cdn.example/a.png"),
        ("cdn.example:444/a.png", "https://cdn.example:444/a.png"),
        ("ftp://a/b", "ftp://a/b"),
        ("blob:x", "blob:x"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("//localhost/a", "https://localhost/a"),
        ("inline:task-2/0", "https://api.example:8443/inline:task-2/0"),
    ],
)
def test_links_are_made_absolute(link, expected):
    assert absolute(link, URL("https://api.example:8443/v9")) == expected
    assert absolute(expected, URL("https://api.example:8443/v9")) == expected


def test_short_words_and_links_are_not_content():
    data = {"seed": 1, "text": "a fox", "note": "x" * 500, "words": ["/9j/"], "b64": ""}
    assert inline_text(Output(0, None, data)) is None
    assert without_inline(data) == data
    assert inline_text(Output(0, "https://cdn/x", {"b64_json": TEXT})) is None
    assert TEXT not in repr(without_inline({"a": [{"b64_json": [TEXT]}, TEXT]}))
