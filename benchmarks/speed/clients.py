"""The clients that are compared: ours, hand-written loops, and clients of other services.

Each is a context manager that yields a coroutine function. The function runs a number of tasks and
returns how many completed. A call with one task is the warm-up.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import attrs

RunTasks = Callable[[int], Awaitable[int]]
One = Callable[[int], Awaitable[object]]


@attrs.frozen
class Setting:
    """Parameters of a client.

    ``interval`` is the pause between polls in seconds, None for the client's default. ``ages`` are
    the polls to repeat: one list of task ages in seconds per task.
    """

    url: str
    interval: float | None = None
    ages: list[list[float]] = attrs.field(factory=list[list[float]])


Client = Callable[[Setting], AbstractAsyncContextManager[RunTasks]]


def _gather(one: One) -> RunTasks:
    async def run_tasks(n: int) -> int:
        results = await asyncio.gather(*(one(i) for i in range(n)), return_exceptions=True)
        return sum(not isinstance(each, BaseException) for each in results)

    return run_tasks


@asynccontextmanager
async def ours(setting: Setting) -> AsyncIterator[RunTasks]:
    """foxapi_async, with all tasks in flight at once."""
    from foxapi_async import Limits, PhotaImage, Session  # noqa: PLC0415

    async with Session(
        "sk-bench", base_url=setting.url, limits=Limits(outputs=1_000_000)
    ) as session:

        async def run_tasks(n: int) -> int:
            outcomes = session.map(PhotaImage(f"p{i}") for i in range(n))
            return sum([outcome.status == "completed" async for outcome in outcomes])

        yield run_tasks


@asynccontextmanager
async def floor(setting: Setting) -> AsyncIterator[RunTasks]:
    """An aiohttp loop that knows when each task ends, and polls once then."""
    async with _http(setting) as http:

        async def one(i: int) -> None:
            id_, seconds = await _post(http, i)
            await asyncio.sleep(seconds)
            while not await _is_done(http, id_):  # noqa: ASYNC110
                await asyncio.sleep(0.001)

        yield _gather(one)


@asynccontextmanager
async def same_requests(setting: Setting) -> AsyncIterator[RunTasks]:
    """An aiohttp loop that repeats the polls recorded from another client."""
    async with _http(setting) as http:

        async def one(i: int) -> None:
            id_, seconds = await _post(http, i)
            began = asyncio.get_running_loop().time()
            is_warm_up = id_.startswith("warm-up") or not setting.ages
            ages = [seconds] if is_warm_up else setting.ages[i % len(setting.ages)]
            for age in (*ages[:-1], max(ages[-1], seconds)):
                await asyncio.sleep(began + age - asyncio.get_running_loop().time())
                done = await _is_done(http, id_)
            while not done:
                await asyncio.sleep(0.001)
                done = await _is_done(http, id_)

        yield _gather(one)


@asynccontextmanager
async def plain(setting: Setting) -> AsyncIterator[RunTasks]:
    """An aiohttp loop that polls once a second."""
    async with _http(setting) as http:

        async def one(i: int) -> None:
            id_, _ = await _post(http, i)
            while not await _is_done(http, id_):  # noqa: ASYNC110
                await asyncio.sleep(setting.interval or 1.0)

        yield _gather(one)


@asynccontextmanager
async def fal(setting: Setting) -> AsyncIterator[RunTasks]:
    """fal-client."""
    import fal_client  # noqa: PLC0415
    from fal_client import client as module  # noqa: PLC0415

    module.QUEUE_URL_FORMAT = setting.url + "/"
    client = fal_client.AsyncClient(key="id:secret", default_timeout=30.0)
    options = {} if setting.interval is None else {"interval": setting.interval}

    async def one(i: int) -> object:
        return await client.subscribe("fal-ai/fast-sdxl", {"prompt": f"p{i}"}, **options)

    yield _gather(one)


@asynccontextmanager
async def replicate(setting: Setting) -> AsyncIterator[RunTasks]:
    """replicate; with its default transport, more than about 300 tasks raise PoolTimeout."""
    import httpx  # noqa: PLC0415
    import replicate as package  # noqa: PLC0415

    client = package.Client(
        api_token="t",
        base_url=setting.url,
        transport=httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1000)),
        timeout=httpx.Timeout(60, pool=120),
    )
    if setting.interval is not None:
        client.poll_interval = setting.interval

    async def one(i: int) -> None:
        prediction = await client.predictions.async_create(version="v1", input={"prompt": f"p{i}"})
        await prediction.async_wait()

    yield _gather(one)


@asynccontextmanager
async def runwayml(setting: Setting) -> AsyncIterator[RunTasks]:
    """runwayml with its aiohttp backend, which is much faster than the default."""
    import runwayml as package  # noqa: PLC0415
    from runwayml.lib import polling  # noqa: PLC0415

    if setting.interval is not None:
        polling.POLL_TIME, polling.POLL_JITTER = setting.interval, 0
    async with package.AsyncRunwayML(
        api_key="k",
        base_url=setting.url,
        timeout=30,
        http_client=package.DefaultAioHttpClient(),
    ) as client:

        async def one(i: int) -> object:
            task = await client.text_to_image.create(
                model="gen4_image", prompt_text=f"p{i}", ratio="1024:1024"
            )
            return await task.wait_for_task_output(timeout=600)

        yield _gather(one)


@asynccontextmanager
async def openai(setting: Setting) -> AsyncIterator[RunTasks]:
    """openai (videos)."""
    from openai import AsyncOpenAI  # noqa: PLC0415

    warnings.simplefilter("ignore", DeprecationWarning)
    options: dict[str, Any] = {}
    if setting.interval is not None:
        options["poll_interval_ms"] = round(1000 * setting.interval)
    async with AsyncOpenAI(api_key="k", base_url=f"{setting.url}/v1", timeout=30) as client:

        async def one(i: int) -> object:
            return await client.videos.create_and_poll(model="sora-2", prompt=f"p{i}", **options)

        yield _gather(one)


CLIENTS: dict[str, Client] = {
    "ours": ours,
    "floor": floor,
    "same-requests": same_requests,
    "plain": plain,
    "fal-client": fal,
    "replicate": replicate,
    "runwayml": runwayml,
    "openai": openai,
}


@asynccontextmanager
async def _http(setting: Setting) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        setting.url, headers={"Authorization": "Bearer sk-bench"}
    ) as http:
        yield http


async def _post(http: aiohttp.ClientSession, i: int) -> tuple[str, float]:
    body = {"model": "phota-image", "prompt": f"p{i}", "num_outputs": 1}
    async with http.post("/v1/images/generations", json=body) as reply:
        reply.raise_for_status()
        task = await reply.json()
        return task["id"], float(reply.headers["X-Seconds"])


async def _is_done(http: aiohttp.ClientSession, id_: str) -> bool:
    async with http.get(f"/v1/tasks/{id_}") as reply:
        reply.raise_for_status()
        task = await reply.json()
        return bool(task["status"] == "completed")
