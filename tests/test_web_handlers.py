"""Web handlers that return a task: aiohttp, FastAPI and Pydantic, the real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import aiohttp
import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import Body, FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, TypeAdapter, ValidationError

from foxapi_async import FoxAPIError, Output, PhotaImage, RateLimitError, Task
from foxapi_async.http.codec import read_task
from tests.conftest import OpenSession
from tests.http.test_codec import FINISHED, OLDER

TASK = read_task({**FINISHED, "model": "a \ud800 model", "usage": {"share": 0.5}})
"""A text that is no valid Unicode, too: it cannot be encoded as it is."""


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        yield client


def fastapi_app() -> FastAPI:
    app = FastAPI()

    @app.get("/annotated")
    async def annotated() -> Task:
        return TASK

    @app.get("/several")
    async def several() -> list[Output]:
        return list(TASK.outputs)

    @app.get("/dict")
    async def as_dict():
        return TASK.to_dict()

    @app.get("/error")
    async def fails() -> Task:
        raise RateLimitError("slow down", status=429, task_id="task-1")

    @app.post("/back")
    async def back(task: Annotated[Task, Body()]) -> str:
        assert isinstance(task, Task)
        return task.id

    @app.exception_handler(FoxAPIError)
    async def describe(_: object, error: FoxAPIError) -> JSONResponse:
        return JSONResponse(error.to_dict(), 502)

    return app


async def test_a_fastapi_handler_may_return_a_task():
    async with client_of(fastapi_app()) as client:
        for path in ("/annotated", "/dict"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (200, TASK.to_dict())
        answer = await client.get("/several")
        assert answer.json() == [output.to_dict() for output in TASK.outputs]


async def test_a_fastapi_handler_may_describe_an_error():
    async with client_of(fastapi_app()) as client:
        answer = await client.get("/error")
    assert answer.status_code == 502
    assert answer.json()["error"] == "RateLimitError"
    assert answer.json()["task_id"] == "task-1"


async def test_a_fastapi_handler_may_take_a_task():
    async with client_of(fastapi_app()) as client:
        answer = await client.post("/back", json=TASK.to_dict())
        assert (answer.status_code, answer.json()) == (200, TASK.id)
        answer = await client.post("/back", json={"progress": 3})
    assert answer.status_code == 422
    assert "required field missing @ $.id" in answer.text


async def test_fastapi_describes_a_task_in_its_documentation():
    async with client_of(fastapi_app()) as client:
        answer = await client.get("/openapi.json")
    described = answer.json()["paths"]["/annotated"]["get"]["responses"]["200"]["content"]
    assert described["application/json"]["schema"]["type"] == "object"


async def test_an_aiohttp_handler_may_return_a_task_that_it_has_generated(
    open_session: OpenSession,
):
    async with open_session() as session:

        async def fox(_: web.Request) -> web.Response:
            return web.json_response((await session.generate(PhotaImage("a fox"))).to_dict())

        app = web.Application()
        app.router.add_get("/fox", fox)
        async with TestServer(app) as server, aiohttp.ClientSession() as browser:
            answer = await browser.get(server.make_url("/fox"))
            task = Task.from_dict(await answer.json())
        assert task == await session.retrieve(task.id)
        assert task.outputs


class Page(BaseModel):
    title: str
    task: Task
    chosen: Output | None = None


def test_a_pydantic_model_may_contain_tasks_and_outputs():
    page = Page(title="a fox", task=TASK, chosen=TASK.outputs[0])
    assert page.task is TASK
    assert page.model_dump() == page.model_dump(mode="json")
    assert page.model_dump()["task"] == TASK.to_dict()
    plain = Page(title="a fox", task=read_task(OLDER))
    assert Page.model_validate_json(plain.model_dump_json()) == plain
    assert Page.model_validate(plain.model_dump()) == plain


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_pydantic_has_a_json_schema_of_a_task(mode):
    assert TypeAdapter(Task).json_schema(mode=mode)["type"] == "object"


def test_pydantic_reports_what_is_wrong_with_a_task():
    with pytest.raises(ValidationError, match=r"required field missing @ \$\.id"):
        Page.model_validate({"title": "a fox", "task": {}})
    with pytest.raises(ValidationError, match=r"an instance of Task"):
        Page.model_validate({"title": "a fox", "task": "task-1"})
