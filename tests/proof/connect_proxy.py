"""A CONNECT proxy that resolves names itself, and a relay that adds TLS in front of a server."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import attrs


@attrs.define
class ConnectProxy:
    """Relays ``CONNECT host:port`` to the port that it knows for the host; it has a password."""

    ports: Mapping[str, int]
    targets: list[str] = attrs.field(factory=list)
    """What it was asked for, with the right password."""
    strangers: int = 0
    """Requests without the right password, or other than CONNECT."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://fox:s3cret-word@127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split(" ", 2)
            password = base64.b64encode(b"fox:s3cret-word").decode()
            if method != "CONNECT" or f"Proxy-Authorization: Basic {password}" not in head:
                self.strangers += 1
                writer.write(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
                )
                return
            self.targets.append(target)
            port = self.ports.get(target.partition(":")[0])
            if port is None:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _relay(reader, writer, port)
        finally:
            writer.close()


@asynccontextmanager
async def open_proxy(**ports: int) -> AsyncIterator[ConnectProxy]:
    """Run a proxy that leads each host (with "_" for ".") to a port of this machine."""
    proxy = ConnectProxy({name.replace("_", "."): port for name, port in ports.items()})
    async with _served(proxy.serve) as proxy.port:
        yield proxy


@asynccontextmanager
async def open_tls(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Add TLS in front of a port; yield the port with TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _relay(reader, writer, port)

    async with _served(serve, context) as tls_port:
        yield tls_port


@asynccontextmanager
async def _served(serve: object, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    running: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        running.add(task)
        task.add_done_callback(running.discard)
        with suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Copy bytes in both directions until one side ends."""
    there, back = await asyncio.open_connection("127.0.0.1", port)
    copies = [
        asyncio.ensure_future(_copy(reader, back)),
        asyncio.ensure_future(_copy(there, writer)),
    ]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        back.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()
