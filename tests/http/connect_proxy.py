"""An HTTPS service with a private authority, and a proxy that knows CONNECT, over real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp.connector
import attrs
import trustme

from foxapi_async.emulator import Emulator, Fault, Rewrite

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("*.fox.test", "127.0.0.1", "localhost")

API = "https://api.fox.test"
RESULTS = "https://cdn.fox.test"


def trust_authority() -> None:
    """Let aiohttp trust the authority, as SSL_CERT_FILE does for a new process."""
    context = aiohttp.connector._SSL_CONTEXT_VERIFIED
    AUTHORITY.configure_trust(context)


@attrs.define
class ConnectProxy:
    """A proxy that opens tunnels to one port, or answers as a test has prepared."""

    target: int
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    silent: bool = False
    url: str = ""
    secure_url: str = ""
    asked: list[str] = attrs.field(factory=list)
    heads: list[str] = attrs.field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        self.asked.append(head.partition(" HTTP/")[0])
        if self.silent:
            await reader.read()
            return
        writer.write(self.answer)
        if b" 200 " in self.answer:
            await pump(reader, writer, self.target)
        else:
            await writer.drain()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Pass bytes in both directions until both are at their end."""
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

    async def one_way(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while block := await source.read(65536):
                sink.write(block)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()

    await asyncio.gather(one_way(reader, far_writer), one_way(far_reader, writer))


@asynccontextmanager
async def serving(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    context: ssl.SSLContext | None = None,
) -> AsyncGenerator[int, None]:
    """Serve connections within the block; yield the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # asyncio would print that a connection was cancelled
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def behind_a_proxy(emulator: Emulator) -> AsyncGenerator[ConnectProxy, None]:
    """Make an emulator the service https://api.fox.test, which only the proxy reaches."""
    port = int(emulator.url.rpartition(":")[2])

    def with_public_links(task: object) -> object:
        results = task.get("results") if isinstance(task, dict) else None
        for result in results or ():
            result["url"] = RESULTS + "/" + result["url"].split("/", 3)[3]
        return task

    emulator.script(Fault("poll", Rewrite(with_public_links), times=None))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CERTIFICATE.configure_cert(context)
    async with AsyncExitStack() as stack:
        secure = await stack.enter_async_context(
            serving(lambda reader, writer: pump(reader, writer, port), context)
        )
        proxy = ConnectProxy(secure)
        proxy_port = await stack.enter_async_context(serving(proxy.serve))
        proxy.url = f"http://127.0.0.1:{proxy_port}"
        secure_port = await stack.enter_async_context(serving(proxy.serve, context))
        proxy.secure_url = f"https://127.0.0.1:{secure_port}"
        yield proxy
