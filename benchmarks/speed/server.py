"""``python -m benchmarks.speed.server``: a minimal server, so that the client dominates the measurement.

It serves HTTP/1.1 with a plain asyncio protocol on loopback. The first line on stdout is its
address. In addition to the dialects it serves ``/file/<bytes>.png`` and accepts ``POST /bench/plan``
and ``GET /bench/report``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import IO

from benchmarks.speed import dialects
from benchmarks.speed.orders import Orders

_REASONS = {200: "OK", 201: "Created", 404: "Not Found"}
_HEAD = b"\x89PNG\r\n\x1a\n"
_TAIL = b"\0\0\0\0IEND\xaeB`\x82"


class Files:
    """Files with the header of an image, each created once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, size: int) -> IO[bytes]:
        path = self._folder / str(size)
        if not path.exists():
            filler = bytes(range(256)) * ((size - len(_HEAD) - len(_TAIL)) // 256 + 1)
            path.write_bytes(_HEAD + filler[: size - len(_HEAD) - len(_TAIL)] + _TAIL)
        return path.open("rb")


class Connection(asyncio.Protocol):
    """One connection: reads requests in order and answers each immediately."""

    def __init__(self, orders: Orders, files: Files) -> None:
        self._orders = orders
        self._files = files
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        host, port = transport.get_extra_info("sockname")
        self._base = f"http://{host}:{port}"

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head = self._pending[:end].decode("latin-1")
            start = end + 4
            size = _content_length(head)
            if len(self._pending) < start + size:
                return
            body, self._pending = self._pending[start : start + size], self._pending[start + size :]
            method, target, _ = head.split(" ", 2)
            self._answer(method, target.partition("?")[0], body)

    def _answer(self, method: str, path: str, body: bytes) -> None:
        if path.startswith("/bench/"):
            self._control(path, body)
        elif path.startswith("/file/"):
            self._send_file(int(path.removeprefix("/file/").removesuffix(".png")))
        elif method == "POST":
            self._submit(path)
        elif (answer := dialects.poll(self._orders, path, self._base)) is not None:
            self._reply(200, dialects.encode(answer))
        else:
            self._reply(404, b"{}")

    def _submit(self, path: str) -> None:
        created = dialects.submit(self._orders, path, self._base)
        if created is None:
            self._reply(404, b"{}")
        elif self._orders.lose:
            self._transport.abort()
        else:
            status, answer, seconds = created
            self._reply(status, dialects.encode(answer), f"X-Seconds: {seconds:.6f}\r\n")

    def _control(self, path: str, body: bytes) -> None:
        if path == "/bench/plan":
            self._orders.plan(**json.loads(body))
            self._reply(200, b"{}")
        else:
            ages = path == "/bench/report-with-ages"
            self._reply(200, json.dumps(self._orders.report(ages=ages)).encode())

    def _reply(self, status: int, body: bytes, extra: str = "") -> None:
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{extra}\r\n"
        )
        self._transport.write(head.encode() + body)

    def _send_file(self, size: int) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {size}\r\n\r\n"
        self._transport.write(head.encode())
        loop = asyncio.get_running_loop()
        self._sending = loop.create_task(self._stream(self._files.open(size)))

    async def _stream(self, file: IO[bytes]) -> None:
        with file:
            try:
                await asyncio.get_running_loop().sendfile(self._transport, file)
            except (ConnectionError, RuntimeError):
                self._transport.abort()


def _content_length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


async def _serve(port: int) -> None:
    orders = Orders()
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder))
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(orders, files), "127.0.0.1", port, backlog=4096
        )
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        async with server:
            await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="The server of the speed benchmarks.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
