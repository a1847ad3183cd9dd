"""Sending of replies, correctly or with the transport faults of a script."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus

import anyio
import anyio.lowlevel
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from foxapi_async.emulator.answers import Reply
from foxapi_async.emulator.faults import Deliver

_PIECE = 16_384
_TICKS_PER_SECOND = 20
"""How often per second a throttled body gets its next piece."""


class Spent(web.StreamResponse):
    """Tells the server that nothing is left to send because the connection is closed."""

    async def prepare(
        self,
        request: web.BaseRequest,  # noqa: ARG002  the signature is aiohttp's
    ) -> AbstractStreamWriter | None:
        """End the request as if the client had disconnected."""
        raise ConnectionResetError


def in_good_order(reply: Reply) -> web.Response:
    """Return the ordinary response for a reply."""
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


def break_off(request: web.BaseRequest, *, reset: bool) -> Spent:
    """Close the connection immediately, with a reset or in an orderly way."""
    transport = request.transport
    if transport is not None:
        if reset:
            connection = transport.get_extra_info("socket")
            if connection is not None:
                # A linger time of zero turns the close into a reset.
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        else:
            transport.close()
    return Spent()


async def badly(
    request: web.BaseRequest, reply: Reply, manner: Deliver, stopped: anyio.Event
) -> web.StreamResponse:
    """Send a reply with the faults of `manner`, then close the connection."""
    transport = request.transport
    if not isinstance(transport, asyncio.Transport):
        return Spent()
    transport.write(_head(reply, manner))
    body = reply.body
    cut_at, stall_at = _place(manner.cut_at, len(body)), _place(manner.stall_at, len(body))
    end = min(cut_at, stall_at)
    step = _PIECE
    if manner.bytes_per_second is not None:
        step = max(1, round(manner.bytes_per_second / _TICKS_PER_SECOND))
    for start in range(0, end, step):
        if transport.is_closing():
            return Spent()
        piece = body[start : min(end, start + step)]
        if manner.framing == "chunked":
            piece = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        transport.write(piece)
        if manner.bytes_per_second is not None:
            await anyio.sleep(len(piece) / manner.bytes_per_second)
        else:
            await _drained(transport)
    if manner.stall_at is not None and stall_at <= cut_at:
        await stopped.wait()
        return break_off(request, reset=True)
    if manner.cut_at is not None:
        return await _cut(request, transport, reset=manner.reset)
    if manner.framing == "chunked":
        transport.write(b"0\r\n\r\n")
    return break_off(request, reset=False)


async def _cut(
    request: web.BaseRequest, transport: asyncio.Transport, *, reset: bool
) -> web.StreamResponse:
    if reset:
        # A reset discards what the kernel has not sent yet, so wait until the first part is sent.
        while transport.get_write_buffer_size() and not transport.is_closing():
            await anyio.lowlevel.checkpoint()
    return break_off(request, reset=reset)


async def _drained(transport: asyncio.Transport) -> None:
    # aiohttp does not expose its drain, so poll the size of the buffer.
    while transport.get_write_buffer_size() > 8 * _PIECE and not transport.is_closing():  # noqa: ASYNC110
        await anyio.sleep(0.001)


def _place(at: float | None, length: int) -> int:
    if at is None:
        return length
    return min(length, at if isinstance(at, int) else int(at * length))


def _head(reply: Reply, manner: Deliver) -> bytes:
    headers: dict[str, str] = {**reply.headers, "Connection": "close"}
    if manner.framing == "length":
        headers["Content-Length"] = str(len(reply.body) + manner.length_off_by)
    elif manner.framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    headers = _replaced(headers, manner.headers)
    left_out = {name.lower() for name in manner.without}
    lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in left_out]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _replaced(headers: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    names = {name.lower() for name in new}
    return {**{k: v for k, v in headers.items() if k.lower() not in names}, **new}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
