"""Downloads: complete files under their own names, whatever the server, disk or caller does."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pickle
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import attrs
import pytest
from blockbuster import blockbuster_ctx

from foxapi_async.emulator import Answer, Delay, Deliver, Drop, Fault, Hang, Redirect, cut, error
from foxapi_async.errors import (
    APIConnectionError,
    DownloadError,
    NotFoundError,
    OutputExpiredError,
    SessionClosedError,
)
from foxapi_async.events import Downloaded, DownloadProgress
from foxapi_async.files import fetch as fetching
from foxapi_async.files import service
from foxapi_async.files.partfile import PartFile
from foxapi_async.models import Output, Task, TaskStatus
from tests.files.origin import Origin, Says

PNG = b"\x89PNG\r\n\x1a\n" + bytes(400_000) + b"\0\0\0\0IEND\xaeB`\x82"


def left(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


async def test_the_files_of_a_task_are_saved_in_order(shop, tmp_path):
    task = await shop.task(3)
    paths = await shop.files().save(task, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [f"{task.id}-{index}.png" for index in range(3)]
    assert [path.read_bytes() for path in paths] == [await shop.content(task, n) for n in range(3)]
    assert left(tmp_path / "new" / "folder") == sorted(path.name for path in paths)


@pytest.mark.parametrize("given", ["png", "jpeg", "webp"])
async def test_the_extension_is_that_of_the_bytes(shop, tmp_path, given):
    task = await shop.task(model="gpt-image-2", output_format=given)
    [path] = await shop.files().save(task.outputs[0], str(tmp_path), name="fox.gif")
    assert path.name == {"png": "fox.png", "jpeg": "fox.jpg", "webp": "fox.webp"}[given]


async def test_a_name_gets_the_index_only_if_there_are_several(shop, tmp_path):
    files = shop.files()
    one, two = await shop.task(1), await shop.task(2)
    paths = [
        *await files.save(one, tmp_path, name="one"),
        *await files.save(two, tmp_path, name="two"),
        *await files.save(two.outputs[1], tmp_path, name="three"),
    ]
    assert [path.name for path in paths] == ["one.png", "two-0.png", "two-1.png", "three.png"]


async def test_a_name_cannot_leave_the_folder(shop, tmp_path):
    folder = tmp_path / "here"
    [path] = await shop.files().save(await shop.task(), folder, name="../../fox")
    assert path.parent == folder
    assert left(tmp_path) == ["here"]


async def test_a_repeated_download_changes_nothing_and_another_file_is_never_overwritten(
    shop, tmp_path
):
    files = shop.files()
    one, other = await shop.task(), await shop.task()
    [first] = await files.save(one, tmp_path, name="fox")
    assert await files.save(one, tmp_path, name="fox") == [first]
    [second] = await files.save(other, tmp_path, name="fox")
    assert second.name == "fox~2.png"
    assert first.read_bytes() == await shop.content(one)
    assert left(tmp_path) == ["fox.png", "fox~2.png"]


async def test_reading_gives_the_same_bytes(shop):
    task = await shop.task(2)
    assert await shop.files().read(task.outputs[1]) == await shop.content(task, 1)


@pytest.mark.parametrize(
    "fault",
    [
        Drop(),
        Drop(reset=False),
        Hang(),
        error(500),
        error(503),
        error(429, headers={"Retry-After": "3"}),
        cut(0.5),
        cut(0.5, reset=True),
        Deliver(cut_at=0.5, framing="chunked"),
        Deliver(cut_at=0.5, framing="close"),
        Deliver(stall_at=0.5),
        Deliver(length_off_by=50),
        Deliver(length_off_by=-50),
        Deliver(without=["Content-Type", "ETag"], cut_at=0.7),
        Deliver(ignore_range=True, cut_at=0.5),
        Delay(30),
        Answer(200, b"<html>Welcome</html>", content_type="text/html"),
        Answer(200, b""),
    ],
    ids=lambda fault: str(fault)[:80],
)
async def test_a_fault_costs_an_attempt_but_not_the_file(shop, tmp_path, fault):
    task = await shop.task(2)
    shop.emulator.script(Fault("download", fault, times=4))
    paths = await shop.files().save(task, tmp_path)
    assert [path.read_bytes() for path in paths] == [await shop.content(task, n) for n in range(2)]
    assert left(tmp_path) == [path.name for path in paths]
    assert shop.emulator.counters.keys_leaked == 0


async def test_a_broken_download_is_resumed(shop, tmp_path):
    task = await shop.task()
    size = len(await shop.content(task))
    shop.emulator.script(Fault("download", Deliver(cut_at=0.6, bytes_per_second=size)))
    files = shop.files()
    [path] = await files.save(task, tmp_path)
    assert path.read_bytes() == await shop.content(task)
    asked = shop.emulator.calls[-2].headers
    assert asked["Range"] == f"bytes={int(size * 0.6)}-"
    assert asked["If-Range"].startswith('"')
    assert len([call for call in shop.emulator.calls if call.route == "download"]) == 4
    assert (files.downloads, files.bytes_downloaded) == (1, size)


async def test_a_redirect_is_followed_without_the_key(shop, tmp_path):
    task = await shop.task()
    url = task.outputs[0].url
    shop.emulator.script(Fault("download", Redirect(url), times=2))
    await shop.files().save(task, tmp_path)
    assert shop.emulator.counters.keys_leaked == 0
    assert all("X-Mine" not in call.headers for call in shop.emulator.calls[-3:])


async def test_the_events_of_a_download(shop, tmp_path):
    task = await shop.task()
    [path] = await shop.files().save(task, tmp_path)
    size = path.stat().st_size
    output = task.outputs[0]
    assert shop.events[-1] == Downloaded(output, path, size)
    assert shop.events[-2] == DownloadProgress(output, size, size)
    assert len(shop.events) <= size // (256 * 1024) + 2


async def test_an_expired_link_is_renewed_once_for_all_outputs(shop, tmp_path):
    task = await shop.task(3)
    fresh = await shop.get(task.id)
    shop.emulator.script(Fault("download", Answer(403), times=3))
    files = shop.files()
    paths = await files.save(task, tmp_path)
    assert [path.read_bytes() for path in paths] == [await shop.content(fresh, n) for n in range(3)]
    assert shop.retrieved == [task.id]


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_link_that_stays_expired_raises(shop, tmp_path, status):
    task = await shop.task()
    shop.emulator.script(Fault("download", Answer(status), times=None))
    with pytest.raises(OutputExpiredError, match=f"HTTP {status}.*day") as caught:
        await shop.files().save(task, tmp_path)
    assert caught.value.task_id == task.id
    assert task.id in str(caught.value)
    assert len(shop.emulator.calls) == 2 + 1 + 2
    assert left(tmp_path) == []


async def test_an_output_of_an_unknown_task_cannot_be_renewed(shop, tmp_path):
    [output] = (await shop.task()).outputs
    shop.emulator.script(Fault("download", Answer(403)))
    with pytest.raises(OutputExpiredError, match="task is not known"):
        await shop.files().save(Output(0, output.url), tmp_path)
    assert shop.retrieved == []


@pytest.mark.parametrize(
    ("trouble", "expected", "words"),
    [
        (NotFoundError("gone", status=404), OutputExpiredError, "no such task"),
        (APIConnectionError("no way"), DownloadError, r"no way.*try again later"),
        (SessionClosedError("closed"), SessionClosedError, "closed"),
        (Task("task-1"), OutputExpiredError, "has no other"),
    ],
    ids=["gone", "unreachable", "closed", "empty"],
)
async def test_a_task_that_cannot_be_retrieved(shop, tmp_path, trouble, expected, words):
    async def retrieve(_task_id):
        if isinstance(trouble, Task):
            return trouble
        raise trouble

    [output] = (await shop.task()).outputs
    shop.emulator.script(Fault("download", Answer(403)))
    files = shop.files(retrieve=retrieve)
    with pytest.raises(expected, match=words) as caught:
        await files.save(output, tmp_path)
    assert type(caught.value) is expected
    assert left(tmp_path) == []


async def test_one_failure_leaves_the_others_on_disk(shop, tmp_path):
    task = await shop.task(4)
    shop.emulator.script(
        Fault("download", error(400), times=None, when=lambda call: "/1." in call.target),
        Fault("download", error(402), times=None, when=lambda call: "/2." in call.target),
    )
    with pytest.raises(DownloadError, match=r"output 1 of task .*HTTP 400") as caught:
        await shop.files().save(task, tmp_path)
    error_ = pickle.loads(pickle.dumps(caught.value))
    assert [path.name for path in error_.paths] == [f"{task.id}-0.png", f"{task.id}-3.png"]
    assert "HTTP 402" in error_.__notes__[0]
    assert left(tmp_path) == sorted(path.name for path in error_.paths)


async def test_no_text_and_no_log_shows_the_query_of_a_link(shop, tmp_path, caplog):
    caplog.set_level(logging.DEBUG, "foxapi_async")
    task = await shop.task()
    secret = task.outputs[0].url.partition("?")[2]
    for fault in (Drop(), error(500), error(400), Answer(403)):
        shop.emulator.faults.clear()
        shop.emulator.script(Fault("download", fault, times=None))
        with pytest.raises(DownloadError) as caught:
            await shop.files(attempts=1).save(task, tmp_path)
        assert secret not in repr(caught.value) + repr(caught.value.__cause__)
    assert secret not in caplog.text
    assert "/files/" in caplog.text


async def test_an_output_that_is_no_file_raises(shop, tmp_path):
    files = shop.files()
    profile = Output(0, None, {"profile_id": "pf_7"}, "task-1", "image")
    for nothing in (profile, Task("task-1", TaskStatus.COMPLETED, outputs=(profile,))):
        with pytest.raises(DownloadError, match=r"not a file.*profile_id='pf_7'") as caught:
            await files.save(nothing, tmp_path)
        assert caught.value.task_id == "task-1"
    with pytest.raises(DownloadError, match="not a file"):
        await files.read(profile)
    with pytest.raises(DownloadError, match="task-1 is pending and has no outputs"):
        await files.save(Task("task-1"), tmp_path)


async def test_outputs_that_are_no_files_are_skipped(shop, tmp_path):
    task = await shop.task(2)
    with_profile = attrs.evolve(task, outputs=(Output(0, None, {"profile_id": "x"}), *task.outputs))
    assert len(await shop.files().save(with_profile, tmp_path)) == 2


async def test_no_more_files_at_once_than_the_session_allows(shop, tmp_path):
    at_once, most = 0, 0

    class Counting:
        def __getattr__(self, name):
            return getattr(shop.transport, name)

        def stream(self, url, headers):
            return counted(shop.transport.stream(url, headers))

    class counted:  # noqa: N801
        def __init__(self, inner):
            self.inner = inner

        async def __aenter__(self):
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            return await self.inner.__aenter__()

        async def __aexit__(self, *given):
            nonlocal at_once
            at_once -= 1
            return await self.inner.__aexit__(*given)

    tasks = [await shop.task(4) for _ in range(3)]
    shop.emulator.script(Fault("download", Delay(1), times=None))
    files = shop.files(max_downloads=3, transport=Counting())
    async with anyio.create_task_group() as group:
        for task in tasks:
            group.start_soon(files.save, task, tmp_path)
    assert most == 3
    assert len(left(tmp_path)) == 12


async def test_the_next_file_is_fetched_while_one_is_synced_but_the_files_that_wait_for_the_disk_are_limited(
    shop, tmp_path, monkeypatch
):
    disk, waiting, publish = threading.Event(), threading.Semaphore(0), PartFile.publish

    def slow(part, name):
        waiting.release()
        assert disk.wait(60)
        return publish(part, name)

    monkeypatch.setattr(PartFile, "publish", slow)
    task = await shop.task(6)
    files = shop.files(max_downloads=2)
    async with anyio.create_task_group() as group:
        group.start_soon(files.save, task, tmp_path)
        for _ in range(2):
            await anyio.to_thread.run_sync(waiting.acquire)
        while shop.emulator.counters.downloads < 4:  # noqa: ASYNC110 - counters have no event
            await anyio.sleep(0.01)
        await anyio.sleep(0.2)  # in real time, as threads wait for the disk
        assert (files.downloads, shop.emulator.counters.downloads) == (2, 4)
        disk.set()
    assert len(left(tmp_path)) == files.downloads == 6


@pytest.mark.parametrize("failing", ["open", "write", "fsync", "ftruncate"])
async def test_a_failing_disk_is_reported_and_no_file_is_left(shop, tmp_path, monkeypatch, failing):
    true = getattr(os, failing)

    def fail(target, *given):
        concerns = failing != "open" or str(target).endswith(".part")
        if concerns:
            raise OSError(errno.ENOSPC, "No space left on device")
        return true(target, *given)

    async with Origin([]) as origin:
        origin.answers += [
            Says(body=PNG + bytes(2_000_000), length=10**7, pieces=4)
            if failing == "ftruncate"
            else Says(body=PNG)
        ]
        monkeypatch.setattr(os, failing, fail)
        with pytest.raises(
            DownloadError, match=r"output 0 of task task-1: cannot write to .*: No space left"
        ) as caught:
            await shop.files().save(
                Output(0, origin.url + "/a", {}, "task-1", "image"), tmp_path / "there"
            )
        monkeypatch.undo()
    assert str(tmp_path / "there") in str(caught.value)
    assert caught.value.task_id == "task-1"
    assert isinstance(caught.value.__cause__, OSError)
    assert left(tmp_path / "there") == []
    assert len(origin.asked) <= 2


async def test_a_file_in_place_of_the_folder_is_reported(shop, tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(DownloadError, match=r"cannot write to .*taken: it is not a folder"):
        await shop.files().save(await shop.task(), tmp_path / "taken")


@pytest.mark.parametrize(("name", "limit"), [("save", "MAX_FILE"), ("read", "MAX_IN_MEMORY")])
async def test_a_file_above_the_limit_is_refused_before_it_is_read(
    shop, tmp_path, monkeypatch, name, limit
):
    monkeypatch.setattr(service, limit, 10_000)
    [output] = (await shop.task()).outputs
    given = [output, tmp_path] if name == "save" else [output]
    with pytest.raises(DownloadError, match="larger than the limit"):
        await getattr(shop.files(), name)(*given)
    assert left(tmp_path) == []


@pytest.mark.parametrize("way", ["task", "scope"])
async def test_a_cancellation_at_any_moment_leaves_only_complete_files(
    shop, tmp_path, monkeypatch, way
):
    monkeypatch.setattr(fetching, "BLOCK", 16_384)
    body = PNG[:80_000] + PNG[-12:]
    async with Origin([Says(body=body, pieces=20)]) as origin:
        output = Output(0, origin.url + "/a", {}, "task-1", "image")
        files = shop.files()
        finished, steps = False, 0
        while not finished:
            folder = tmp_path / str(steps)
            finished = await cancelled_after(steps, way, partial(files.save, output, folder))
            assert left(folder) in ([], ["task-1-0.png"])
            steps += 1 + steps // 10
        assert steps > 40
        assert (folder / "task-1-0.png").read_bytes() == body


async def cancelled_after(steps, way, work):
    """Run it, cancel it after so many turns of the loop, and return whether it was done before."""
    scope, done = anyio.CancelScope(), []

    async def run():
        with scope:
            done.append(await work())

    task = asyncio.ensure_future(run())
    for turn in range(steps):
        # Turns in which everything waits are all alike: each fourth one lets time pass.
        await anyio.sleep(0 if turn % 4 else 0.001)
    if way == "scope":
        scope.cancel()
    else:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return bool(done)


@pytest.mark.ordinary_loop
async def test_the_event_loop_is_never_blocked_by_a_file(shop, tmp_path):
    task = await shop.task(2)
    with blockbuster_ctx(scanned_modules=["foxapi_async.files", "foxapi_async.http.transport"]):
        await shop.files().save(task, tmp_path / "new")
        await shop.files().save(task, tmp_path / "new")
        await shop.files().read(task.outputs[0])
