"""Request bodies: JSON objects, and the three formats of an upload."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import cast

from aiohttp import BodyPartReader, web
from attrs import frozen

from foxapi_async.emulator.answers import HTML_TYPE, Reply, error_reply, html_page, text_reply

_DATA_URL = re.compile(r"^data:([\w.+-]+/[\w.+-]+)?(?:;[\w=-]+)*;base64,", re.ASCII)
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"PK\x03\x04", "application/zip"),
)
_CHUNK = 65_536


@frozen
class Incoming:
    """A file to be stored."""

    name: str
    content: bytes
    auto_cleanup: bool = True


class RefusedError(Exception):
    """The request is refused; `reply` is the answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def too_large() -> Reply:
    """Return the answer of the CDN to a body that is too large: HTML, not JSON."""
    return text_reply(413, html_page("413 Request Entity Too Large"), HTML_TYPE)


async def json_object(request: web.BaseRequest, limit: int) -> Mapping[str, object]:
    """Read a JSON object of at most `limit` bytes.

    Raises:
        RefusedError: it is too large, not JSON, or not an object.
    """
    if (request.content_length or 0) > limit:
        raise RefusedError(too_large())
    if request.content_type != "application/json":
        raise RefusedError(error_reply(400, "Content-Type must be application/json"))
    try:
        body = json.loads(await _whole(request, limit))
    except ValueError:
        raise RefusedError(error_reply(400, "the body is not valid JSON")) from None
    if not isinstance(body, dict):
        raise RefusedError(error_reply(400, "the body is not a JSON object"))
    return cast("dict[str, object]", body)


async def _whole(request: web.BaseRequest, limit: int) -> bytes:
    if request.content_length is not None:
        return await request.content.read()
    content = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > limit:
            raise RefusedError(too_large())
    return bytes(content)


async def streamed(request: web.BaseRequest, limit: int) -> Incoming:
    """Read a multipart upload: `file`, `file_name` and `auto_cleanup`."""
    if not request.content_type.startswith("multipart/"):
        raise RefusedError(error_reply(400, "Content-Type must be multipart/form-data"))
    name, content, given_name, cleanup = "upload.bin", None, "", "true"
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "file":
                name, content = part.filename or name, await _bounded(part, limit)
            elif part.name == "file_name":
                given_name = await part.text()
            elif part.name == "auto_cleanup":
                cleanup = await part.text()
    except ValueError:
        raise RefusedError(error_reply(400, "the multipart body is malformed")) from None
    if content is None:
        raise RefusedError(error_reply(400, "the part file is missing"))
    if cleanup not in {"true", "false"}:
        raise RefusedError(error_reply(400, "auto_cleanup must be true or false"))
    return Incoming(given_name or name, content, cleanup == "true")


async def _bounded(part: BodyPartReader, limit: int) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        content += chunk
        if len(content) > limit:
            raise RefusedError(error_reply(413, f"the file is larger than {limit} bytes"))
    return bytes(content)


def encoded(body: Mapping[str, object], limit: int) -> Incoming:
    """Read a base64 upload: plain, or a data URL whose media type gives the extension."""
    data = body.get("file_data")
    if not isinstance(data, str) or not data:
        raise RefusedError(error_reply(400, "file_data is required"))
    name = "upload.bin"
    if match := _DATA_URL.match(data):
        data = data[match.end() :]
        name = f"upload.{_EXTENSIONS.get(match.group(1) or '', 'bin')}"
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(error_reply(400, "file_data is not valid base64")) from None
    if len(content) > limit:
        raise RefusedError(error_reply(413, f"the file is larger than {limit} bytes"))
    return Incoming(_name(body, name), content, cleanup_of(body))


def linked(body: Mapping[str, object]) -> tuple[str, str, bool]:
    """Read an upload by URL: the URL, the file name and `auto_cleanup`."""
    url = body.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise RefusedError(error_reply(400, "url must be an address"))
    last = url.partition("?")[0].rstrip("/").rpartition("/")[2]
    return url, _name(body, last or "upload.bin"), cleanup_of(body)


def cleanup_of(body: Mapping[str, object]) -> bool:
    """Read `auto_cleanup`; the default is true."""
    cleanup = body.get("auto_cleanup", True)
    if not isinstance(cleanup, bool):
        raise RefusedError(error_reply(400, "auto_cleanup must be true or false"))
    return cleanup


def media_type(content: bytes) -> str:
    """Return the media type of a file by its first bytes."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    for signature, name in _SIGNATURES:
        if content.startswith(signature):
            return name
    return "application/octet-stream"


def _name(body: Mapping[str, object], default: str) -> str:
    name = body.get("file_name", default)
    if not isinstance(name, str) or not name:
        raise RefusedError(error_reply(400, "file_name must be a text that is not empty"))
    return name
