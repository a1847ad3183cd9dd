"""A bare HTTP client for the emulator's tests: aiohttp and nothing of ours in between."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from foxapi_async.emulator import Emulator

KEY = "sk-emulator"
IMAGES = "/v1/images/generations"
FOX = {"model": "phota-image", "prompt": "a fox"}


def form(content: bytes | None, **fields: str) -> aiohttp.FormData:
    """Make a multipart form with a file, if there is one, and other fields."""
    made = aiohttp.FormData(fields, default_to_multipart=True)
    if content is not None:
        made.add_field("file", io.BytesIO(content), filename="face.png")
    return made


class Client:
    """Sends requests and hands back what came, read to its end."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        """Return status, headers and body (JSON where it is JSON, else bytes)."""
        async with self.http.request(method, path, allow_redirects=False, **options) as response:
            body = await response.read()
            is_json = response.headers.get("Content-Type", "").startswith("application/json")
            return response.status, response.headers, await response.json() if is_json else body

    async def submit(self, **fields: Any) -> Any:
        """Return the JSON of an accepted submission."""
        status, _, body = await self.ask("POST", IMAGES, json=FOX | fields)
        assert status == 200, body
        return body

    async def poll(self, task_id: str, **query: str) -> Any:
        """Return the JSON of one look at a task."""
        status, _, body = await self.ask("GET", f"/v1/tasks/{task_id}", params=query)
        assert status == 200, body
        return body

    async def finished(self, **fields: Any) -> Any:
        """Return the JSON of a task that has ended at once."""
        return await self.poll((await self.submit(**fields))["id"])

    async def picture_url(self) -> str:
        """Return the link to the picture of a finished task."""
        url = (await self.finished())["results"][0]["url"]
        assert isinstance(url, str)
        return url


@asynccontextmanager
async def emulated(**options: Any) -> AsyncIterator[tuple[Emulator, Client]]:
    """Start an emulator with tiny pictures, and a client that has its key."""
    async with (
        Emulator(**{"picture_scale": 1 / 16, "duration": 10.0, **options}) as emulator,
        aiohttp.ClientSession(
            emulator.url,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=aiohttp.ClientTimeout(total=None),
        ) as http,
    ):
        yield emulator, Client(http)
