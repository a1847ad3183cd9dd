"""Code as callers write it: checked by mypy and pyright, never run."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, closing
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_type

import aiohttp

from foxapi_async import (
    APIStatusError,
    APITimeoutError,
    Balance,
    BudgetExceededError,
    Credits,
    DownloadError,
    Event,
    FoxAPIError,
    GenerationRequest,
    InvalidRequestError,
    InvalidResponseError,
    Journal,
    Limits,
    Outcome,
    Output,
    PhotaCreateProfile,
    PhotaImage,
    PhotaImageEdit,
    PhotaImageEnhance,
    Polling,
    RateLimitError,
    RawResponse,
    Request,
    Retry,
    Session,
    Statistics,
    SubmissionUnknownError,
    Task,
    TaskError,
    TaskFailedError,
    TaskHandle,
    TaskInfo,
    TaskOutcomeError,
    TaskStatus,
    TaskTimeoutError,
    Timeout,
    UploadedFile,
    sync,
)
from foxapi_async.journal import SessionJournal


def requests() -> None:
    image = PhotaImage("a fox", num_outputs=2, resolution="4K", aspect_ratio="3:4")
    assert_type(image.model, str)
    assert_type(image.prompt, str)
    assert_type(image.num_outputs, int)
    assert_type(image.profile_ids, tuple[str, ...])
    assert_type(image.payload(), dict[str, Any])
    assert_type(image.split(), list[PhotaImage])
    PhotaImage(prompt="a fox")

    edit = PhotaImageEdit("a hat", image_urls=["https://files.example/face.png"])
    assert_type(edit.image_urls, tuple[str, ...])
    assert_type(edit.profile_ids, tuple[str, ...] | None)
    assert_type(edit.split(2), list[PhotaImageEdit])

    enhance = PhotaImageEnhance("https://files.example/face.png", creativity=0.5)
    assert_type(enhance.creativity, float | None)
    assert_type(enhance.num_outputs, int)

    assert_type(PhotaCreateProfile("https://files.example/me.zip").image_archive_url, str)

    other = GenerationRequest("gpt-image-2", {"prompt": "a fox", "quality": "low"})
    assert_type(other.params, Mapping[str, Any])
    assert_type(other.kind, str)
    assert_type(other.path, str)
    assert_type(other.split(outputs_per_task=4), list[GenerationRequest])
    GenerationRequest("veo", params={}, kind="video", path="/v1/videos/generations")

    several: list[Request] = [image, edit, enhance, other]
    assert_type(several[0].split(), list[Request])


def on_event(event: Event) -> None:
    assert_type(event, Event)


async def sessions(http: aiohttp.ClientSession) -> None:
    async with Session() as session:
        assert_type(session, Session)
    async with Session("sk-fox", on_event=print, journal=Journal(Path("fox.journal"))):
        pass
    async with Session(
        api_key=None,
        base_url="http://127.0.0.1:8080",
        limits=Limits(
            outputs=4, total_outputs=10, submissions_per_second=1, polls_per_second=2.5, downloads=1
        ),
        polling=Polling(poll_cost=1, give_up_after=None, sync_upstream=True),
        retry=Retry(submissions=False),
        timeout=Timeout(connect=5, request=30, stall=30),
        journal="fox.journal",
        headers={"X-Trace": "1"},
        http=http,
        on_event=on_event,
    ) as session:
        assert_type(session.in_flight, tuple[TaskHandle, ...])
        assert_type(session.statistics(), Statistics)
        assert_type(session.statistics().images_billed, int)


async def options(session: Session, request: Request) -> None:
    seen: list[RawResponse] = []
    view = session.with_options(
        timeout=Timeout(request=5),
        retry=Retry(attempts=2),
        polling=Polling(),
        on_response=seen.append,
    )
    assert_type(view, Session)
    assert_type(await view.generate(request, extra={"seed": 7}), Task)
    assert_type(await view.submit(request, extra={"seed": 7}), TaskHandle)
    assert_type(seen[0].headers, Mapping[str, str])
    assert_type(seen[0].body, bytes)
    assert_type(sync.Session(user_agent="myapp/1.0").with_options(), sync.Session)


async def cells() -> None:
    session = await Session().open()
    assert_type(session, Session)
    assert_type(await session.aclose(), None)


def without_await(request: Request, task: Task, output: Output) -> None:
    with sync.Session("sk-…", limits=Limits(outputs=4), journal="a.journal") as session:
        assert_type(session, sync.Session)
        assert_type(session.submit(request, key="a"), sync.TaskHandle)
        assert_type(session.generate(request, timeout=60), Task)
        handle = session.attach("task-1", estimated_time=4.5)
        assert_type(handle.wait(timeout=5), Task)
        for update in handle.updates():
            assert_type(update, Task)
        assert_type(session.retrieve("task-1"), Task)
        for outcome in session.map((str(n), PhotaImage(f"fox {n}")) for n in range(3)):
            assert_type(outcome, Outcome)
        with closing(session.fan_out(request, outputs_per_task=2)) as outcomes:
            assert_type(list(outcomes), list[Outcome])
        assert_type(session.download(task, "out"), list[Path])
        assert_type(session.read(output), bytes)
        assert_type(session.upload("a.png"), UploadedFile)
        assert_type(session.balance(), Balance)
        assert_type(session.prices(), dict[str, float])
        assert_type(session.in_flight, tuple[sync.TaskHandle, ...])
        assert_type(session.statistics(), Statistics)
        assert_type(session.journal, SessionJournal | None)
    assert_type(sync.Session().open(), sync.Session)


async def calls(session: Session, request: Request) -> None:
    assert_type(await session.submit(request), TaskHandle)
    assert_type(await session.submit(request, key="k-1"), TaskHandle)
    assert_type(await session.generate(request, key="k-1", timeout=60), Task)
    assert_type(session.attach("task-1", estimated_time=4.5), TaskHandle)
    assert_type(await session.retrieve("task-1"), Task)


async def handles(handle: TaskHandle) -> None:
    assert_type(handle.id, str)
    assert_type(handle.request, Request | None)
    assert_type(handle.latest, Task)
    assert_type(await handle, Task)
    assert_type(await handle.wait(), Task)
    assert_type(await handle.wait(timeout=4.5), Task)
    assert_type(await handle.wait(60), Task)
    async for task in handle.updates():
        assert_type(task, Task)
    async with aclosing(handle.updates()) as updates:
        assert_type(await anext(updates), Task)
        assert_type(await asyncio.wait_for(anext(updates), 5), Task)


async def many(session: Session, request: PhotaImage) -> None:
    async def endless() -> AsyncIterator[PhotaImage]:
        while True:
            yield request

    async def named() -> AsyncIterator[tuple[str, PhotaImage]]:
        yield "k-1", request

    outcomes: AsyncIterator[Outcome] = session.map([request])
    assert_type(await anext(outcomes), Outcome)
    async with aclosing(session.map([request])) as closed_after_use:
        assert_type(await anext(closed_after_use), Outcome)
    async with aclosing(session.fan_out(request, outputs_per_task=2)) as images_one_by_one:
        async for outcome in images_one_by_one:
            assert_type(outcome.result(), Task)
    images: list[PhotaImage] = [request]
    pairs: list[tuple[str, PhotaImage]] = [("k-1", request)]
    session.map(images)
    session.map(pairs, ordered=True)
    session.map(iter(images))
    session.map(PhotaImage(prompt) for prompt in ("a fox", "a hare"))
    session.map(endless())
    session.map(named())
    async for outcome in session.map([request, ("k-2", request)]):
        assert_type(outcome, Outcome)
        assert_type(outcome.request, Request)
        assert_type(outcome.key, str | None)
        assert_type(outcome.index, int)
        assert_type(outcome.task, Task | None)
        assert_type(outcome.error, FoxAPIError | None)
        assert_type(outcome.result(), Task)
        assert_type(
            outcome.status,
            Literal["completed", "failed", "unfinished", "rejected", "unknown", "not_submitted"],
        )


def values_as_json(outcome: Outcome, event: Event, counted: Statistics, error: FoxAPIError) -> None:
    for value in (
        outcome,
        event,
        counted,
        error,
        Output(0),
        UploadedFile("f", "https://f.example"),
    ):
        assert_type(value.to_dict(), dict[str, Any])
    assert_type(Task("task-1").to_dict(), dict[str, Any])
    assert_type(Task.from_dict({"id": "task-1"}), Task)
    assert_type(Output.from_dict({"index": 0}), Output)


async def files(session: Session, task: Task) -> None:
    assert_type(await session.download(task, "out"), list[Path])
    assert_type(await session.download(task.outputs[0], Path("out"), name="fox"), list[Path])
    assert_type(await session.read(task.outputs[0]), bytes)
    balance = await session.balance()
    assert_type(balance, Balance)
    assert_type(balance.key, Credits)
    assert_type(balance.user.remaining, float | None)
    assert_type(balance.raw, Mapping[str, Any])
    assert_type(await session.prices(), dict[str, float])
    assert_type(await session.upload("face.png"), UploadedFile)
    assert_type(await session.upload(Path("face.png"), filename="me.png"), UploadedFile)
    uploaded = await session.upload(b"\x89PNG")
    assert_type(uploaded.url, str)
    PhotaImageEdit("a hat", image_urls=[uploaded.url])


def models(task: Task) -> None:
    assert_type(task.id, str)
    assert_type(task.status, TaskStatus)
    assert_type(task.status.is_terminal, bool)
    assert_type(task.progress, int | None)
    assert_type(task.created, datetime | None)
    assert_type(task.task_info, TaskInfo)
    assert_type(task.task_info.estimated_time, float | None)
    assert_type(task.outputs, tuple[Output, ...])
    assert_type(task.outputs[0].index, int)
    assert_type(task.outputs[0].url, str | None)
    assert_type(task.outputs[0].data["profile_id"], Any)
    assert_type(task.error, TaskError | None)
    assert_type(task.usage, Mapping[str, Any])
    assert_type(task.raw, Mapping[str, Any])
    if task.error is not None:
        assert_type(task.error.code, str | None)


async def errors(session: Session, request: Request) -> None:
    try:
        await session.generate(request)
    except InvalidRequestError as error:
        assert_type(error.field, str | None)
        assert_type(error.value, object)
        value_error: ValueError = error
        raise value_error from None
    except BudgetExceededError as error:
        assert_type((error.total, error.used, error.requested), tuple[int, int, int])
    except RateLimitError as error:
        assert_type(error.retry_after, float | None)
    except APIStatusError as error:
        assert_type(error.status, int)
        assert_type(error.type, str | None)
        assert_type(error.code, str | None)
        assert_type(error.message, str | None)
        assert_type(error.request_id, str | None)


async def more_errors(handle: TaskHandle) -> None:
    try:
        await handle
    except APITimeoutError as error:
        assert_type(error.sent, bool)
    except InvalidResponseError as error:
        assert_type(error.excerpt, str | None)
    except DownloadError as error:
        assert_type(error.paths, tuple[Path, ...])
    except SubmissionUnknownError as error:
        assert_type(error.request, Request | None)
        assert_type(error.key, str | None)
    except TaskFailedError as error:
        assert_type(error.task, Task)
    except TaskTimeoutError as error:
        assert_type(error.task, Task | None)
    except TaskOutcomeError as error:
        assert_type(error.task, Task | None)
    except FoxAPIError as error:
        assert_type(error.task_id, str | None)
        assert_type(error.again(), FoxAPIError)
