"""An emulator, a transport to it, and tasks whose results can be fetched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from attrs import define, field
from yarl import URL

from foxapi_async.emulator import Emulator
from foxapi_async.events import Event, EventEmitter
from foxapi_async.files.download import Downloads
from foxapi_async.http.codec import decode, read_task
from foxapi_async.http.transport import Transport
from foxapi_async.models import Task
from foxapi_async.options import Retry, Timeout

KEY = "sk-emulator"


@define
class Shop:
    """What a test works with: it orders pictures and fetches them."""

    emulator: Emulator
    transport: Transport
    events: list[Event] = field(factory=list)
    refreshed: list[str] = field(factory=list)

    async def task(self, outputs: int = 1, **params: object) -> Task:
        payload = {"model": "phota-image", "prompt": "a fox", "num_outputs": outputs, **params}
        reply = await self.transport.call(
            "POST", "/v1/images/generations", json=json.dumps(payload).encode()
        )
        return await self.look(read_task(decode(reply.body)).id)

    async def look(self, task_id: str) -> Task:
        reply = await self.transport.call("GET", f"/v1/tasks/{task_id}")
        return read_task(decode(reply.body), asked=task_id)

    async def refresh(self, task_id: str) -> Task:
        self.refreshed.append(task_id)
        return await self.look(task_id)

    def downloads(self, *, attempts: int = 4, at_once: int = 8) -> Downloads:
        return Downloads(
            self.transport,
            retry=Retry(attempts=attempts),
            announce=EventEmitter(self.events.append),
            at_once=at_once,
            refresh=self.refresh,
            dice=lambda: 1.0,
        )

    async def content(self, task: Task, index: int = 0) -> bytes:
        url = task.outputs[index].url
        assert url is not None
        async with self.transport.stream(URL(url, encoded=True), {}) as response:
            return await response.read()


async def opened(base_url: URL, http: aiohttp.ClientSession | None = None) -> Transport:
    transport = Transport(base_url, KEY, timeout=Timeout(), headers={"X-Mine": "yes"}, http=http)
    await transport.open()
    return transport


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Emulator(duration=0, files_port=0) as emulator:
        transport = await opened(URL(emulator.url))
        yield Shop(emulator, transport)
        await transport.aclose()
