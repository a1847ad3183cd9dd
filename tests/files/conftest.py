"""An emulator, a transport to it, and tasks whose results can be fetched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from attrs import define, field
from yarl import URL

from foxapi_async.api import Api
from foxapi_async.emulator import Emulator
from foxapi_async.events import Event, EventEmitter
from foxapi_async.files.service import FileService
from foxapi_async.http.codec import decode, read_task
from foxapi_async.http.transport import Transport
from foxapi_async.limits.limiter import Limiter
from foxapi_async.models import Task
from foxapi_async.options import Limits, Retry, Timeout
from foxapi_async.statistics import Counters

KEY = "sk-emulator"


class RecordingApi(Api):
    """Notes which tasks are retrieved."""

    answer: Callable[[str], Awaitable[Task]]
    retrieved: list[str]

    async def retrieve(self, task_id: str) -> Task:
        self.retrieved.append(task_id)
        return await self.answer(task_id)


@define
class Shop:
    """Creates tasks at an emulator and retrieves them."""

    emulator: Emulator
    transport: Transport
    events: list[Event] = field(factory=list)
    retrieved: list[str] = field(factory=list)

    async def task(self, outputs: int = 1, **params: object) -> Task:
        payload = {"model": "phota-image", "prompt": "a fox", "num_outputs": outputs, **params}
        reply = await self.transport.call(
            "POST", "/v1/images/generations", json=json.dumps(payload).encode()
        )
        return await self.get(read_task(decode(reply.body)).id)

    async def get(self, task_id: str) -> Task:
        reply = await self.transport.call("GET", f"/v1/tasks/{task_id}")
        return read_task(decode(reply.body), asked=task_id)

    def files(
        self,
        *,
        attempts: int = 4,
        max_downloads: int = 8,
        transport: Transport | None = None,
        retrieve: Callable[[str], Awaitable[Task]] | None = None,
    ) -> FileService:
        retry, counters = Retry(attempts=attempts), Counters()
        transport = transport or self.transport
        limiter = Limiter(Limits(), EventEmitter(None), counters)
        api = RecordingApi(transport, limiter, retry, counters)
        api.answer, api.retrieved = retrieve or self.get, self.retrieved
        return FileService(
            transport,
            api,
            retry=retry,
            events=EventEmitter(self.events.append),
            max_downloads=max_downloads,
            journal=None,
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
    async with Emulator(duration=0, files_port=0, picture_scale=1 / 4) as emulator:
        transport = await opened(URL(emulator.url))
        yield Shop(emulator, transport)
        await transport.aclose()
