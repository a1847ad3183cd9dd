"""A server that answers with bytes, for answers that no HTTP library would send."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs


@attrs.define
class RawRequest:
    """One request, with the writer of its connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    connection: int

    @property
    def task_id(self) -> str:
        """Return the id of the task that the path names."""
        return self.path.partition("?")[0].rpartition("/")[2]


Handler = Callable[[RawRequest], Awaitable[bytes | None]]


@attrs.define
class RawServer:
    """Where it listens, and the requests that it has got."""

    url: str
    requests: list[RawRequest]

    def count(self, method: str) -> int:
        """Return how many requests of a method came."""
        return sum(request.method == method for request in self.requests)


def task_json(number: int = 1, **fields: object) -> bytes:
    """Return a task that was created now, as the API describes it."""
    now = int(time.time())
    task = {
        "id": f"task-unified-{now}-aaaa{number:04d}",
        "object": "image.generation.task",
        "type": "image",
        "model": "phota-image",
        "status": "pending",
        "created": now,
        **fields,
    }
    return json.dumps(task).encode()


def response(body: bytes, status: str = "200 OK", headers: dict[str, str] | None = None) -> bytes:
    """Return a whole HTTP response."""
    lines = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body


@asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[RawServer]:
    """Serve; the handler returns what to write, or None to close the connection."""
    requests: list[RawRequest] = []
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                start, *lines = head.strip().split("\r\n")
                method, path, _ = start.split(" ")
                headers = {k.lower(): v.strip() for k, _, v in (s.partition(":") for s in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                requests.append(RawRequest(method, path, headers, body, writer, mine))
                said = await handler(requests[-1])
                if said is None:
                    return
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield RawServer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests)
    finally:
        server.close()
