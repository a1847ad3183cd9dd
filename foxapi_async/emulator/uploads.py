"""The three upload routes: read a file, store it, and return its URL."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from foxapi_async.emulator import inputs
from foxapi_async.emulator.answers import Reply, error_reply, json_reply
from foxapi_async.emulator.files import StorageFullError
from foxapi_async.emulator.inputs import Incoming
from foxapi_async.emulator.pictures import Picture
from foxapi_async.emulator.service import Service

_STAND_IN = (256, 256)
"""Pixels of the placeholder for a foreign file, which is not fetched."""


async def store(
    request: web.BaseRequest, way: str, service: Service, *, file_limit: int, body_limit: int
) -> Reply:
    """Store an upload in one of three formats: "stream", "base64" or "url".

    Raises:
        RefusedError: the upload is invalid.
    """
    if way == "stream":
        incoming = await inputs.streamed(request, file_limit)
    else:
        body = await inputs.json_object(request, body_limit)
        if way == "base64":
            incoming = inputs.encoded(body, file_limit)
        else:
            incoming = await _from_address(*inputs.linked(body), service)
    return _stored(incoming, service)


def _stored(incoming: Incoming, service: Service) -> Reply:
    try:
        stored = service.uploads.add(
            incoming.name,
            incoming.content,
            inputs.media_type(incoming.content),
            now=service.wall(),
            auto_cleanup=incoming.auto_cleanup,
        )
    except StorageFullError:
        return error_reply(403, "the storage is full")
    service.ledger.counted.uploads += 1
    return json_reply(
        {
            "id": stored.id,
            "filename": stored.name,
            "url": service.files_url + stored.path,
            "size": len(stored.content),
            "created": int(stored.stored),
        }
    )


async def _from_address(url: str, name: str, auto_cleanup: bool, service: Service) -> Incoming:  # noqa: FBT001
    parts = urlsplit(url)
    if not url.startswith(service.files_url + "/"):
        stand_in = Picture(url, "upload", "", 0, 1, _STAND_IN)
        return Incoming(name, await service.gallery.picture(stand_in), auto_cleanup)
    reply = await service.file(parts.path, parts.query, {})
    if reply.status != web.HTTPOk.status_code:
        raise inputs.RefusedError(error_reply(400, "the file cannot be fetched"))
    return Incoming(name, reply.body, auto_cleanup)
