"""A file server over a real socket that sends exactly the responses that a test prepared."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType
from typing import Self

import anyio
import anyio.abc
from anyio.abc import SocketStream
from attrs import define, field


@define
class Asked:
    """A request as received."""

    target: str
    headers: dict[str, str]

    @property
    def start(self) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(match[1]) if match else 0


@define
class Says:
    """A response as sent: status, headers, body, and then the end of the connection or silence."""

    status: int = 200
    headers: dict[str, str] = field(factory=dict)
    body: bytes = b""
    length: int | str | None = "true"
    silent: bool = False
    pieces: int = 1

    def head(self) -> bytes:
        headers = {"Connection": "close", **self.headers}
        length = len(self.body) if self.length == "true" else self.length
        if length is not None:
            headers["Content-Length"] = str(length)
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{k}: {v}" for k, v in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def part(content: bytes, start: int, end: int | None = None, **headers: str) -> Says:
    """Return a correct 206 response."""
    end = len(content) if end is None else end
    span = f"bytes {start}-{end - 1}/{len(content)}"
    return Says(206, {"Content-Range": span, **headers}, content[start:end])


Answerer = Callable[[Asked], Says | bytes]


class Origin:
    """Sends one prepared response after the other, and the last one for all further requests."""

    def __init__(self, answers: list[Answerer | Says | bytes]) -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self._listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = self._listener.extra(anyio.abc.SocketAttribute.local_port)
        self.url = f"http://127.0.0.1:{port}"
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._listener.serve, self._serve)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)
        await self._listener.aclose()

    async def _serve(self, stream: SocketStream) -> None:
        async with stream:
            try:
                answer = self._answer_to(await _head(stream))
                await _send(answer, stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                pass

    def _answer_to(self, head: list[str]) -> Says | bytes:
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        asked = Asked(
            head[0].split(" ")[1], {name.lower(): value for name, value in headers.items()}
        )
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(asked)
        return answer(asked) if callable(answer) else answer


async def _head(stream: SocketStream) -> list[str]:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await stream.receive()
    return head.decode("latin-1").split("\r\n")


async def _send(answer: Says | bytes, stream: SocketStream) -> None:
    if isinstance(answer, bytes):
        await stream.send(answer)
        return
    await stream.send(answer.head())
    size = max(len(answer.body) // answer.pieces, 1)
    for start in range(0, len(answer.body), size):
        await stream.send(answer.body[start : start + size])
        await anyio.sleep(0.01)
    if answer.silent:
        await anyio.sleep(10_000)
