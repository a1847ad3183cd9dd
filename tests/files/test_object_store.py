"""Downloads into an object store: whole or not there, verified, and nothing is replaced."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx

from foxapi_async import Journal, ObjectPath, PhotaImage, Session
from foxapi_async.emulator import Answer, Deliver, Fault
from foxapi_async.errors import ConfigurationError, DownloadError, OutputExpiredError
from foxapi_async.events import Downloaded
from foxapi_async.models import Output
from foxapi_async.options import Retry
from tests.files.origin import Origin, Says
from tests.s3 import ACCESS_KEY, SECRET, Bucket, S3Proxy, drops, s3_proxy, says

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.once, pytest.mark.much]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(400_000) + b"\0\0\0\0IEND\xaeB`\x82"
OTHER = PNG[:9] + b"\1" + PNG[10:]


@pytest.fixture
async def files(shop):
    """Return a service whose pauses between attempts are short."""
    service = shop.files()
    service._retry = Retry(first=0.01, longest=0.02)
    return service


@pytest.fixture
async def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Proxy]:
    async with s3_proxy(bucket.server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
async def picture() -> AsyncIterator[Output]:
    async with Origin([Says(body=PNG)]) as origin:
        yield Output(0, origin.url + "/a", {}, "task-1", "image")


async def test_the_files_of_a_task_become_objects(shop, files, bucket):
    task = await shop.task(2)
    paths = await files.save(task, f"{bucket.url}/a folder/ünter/")
    names = [f"{task.id}-{index}.png" for index in range(2)]
    assert [str(path) for path in paths] == [f"{bucket.url}/a folder/ünter/{n}" for n in names]
    assert [path.name for path in paths] == names
    assert [path.key for path in paths] == bucket.objects()
    for index, path in enumerate(paths):
        assert bucket.get(path.key) == await shop.content(task, index)
    events = [event for event in shop.events if isinstance(event, Downloaded)]
    assert sorted(str(event.to_dict()["path"]) for event in events) == [str(p) for p in paths]
    assert await files.save(task, f"{bucket.url}/a folder/ünter") == paths


async def test_the_journal_records_the_urls(shop, bucket, tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    async with Session("sk-emulator", base_url=shop.emulator.url, journal=journal) as session:
        task = await session.generate(PhotaImage("a fox"), key="k")
        [path] = await session.download(task, Path(bucket.url))  # a Path loses a slash
        entry = journal.find(["k"])["k"]
    assert entry.status == "saved"
    [file] = entry.files
    content = bucket.get(path.key)
    assert str(path) == f"{bucket.url}/{task.id}-0.png"
    assert (file.path, file.size, file.index) == (str(path), len(content), 0)
    assert file.sha256 == hashlib.sha256(content).hexdigest()


NAMES = ["a fox", "ü b#%?+&=", "a%2Fb", "../../fox", "fox~2", "狐", "a'b;(c)!", "con", "x" * 300]


async def test_names_with_unusual_characters(files, bucket, picture):
    for number, name in enumerate(NAMES, start=1):
        [path] = await files.save(picture, f"{bucket.url}/in", name=name)
        assert bucket.get(path.key) == PNG
        assert path.parent.key == "in"
        assert len(bucket.objects()) == number


async def test_another_object_is_never_replaced(files, bucket, picture):
    bucket.put("in/fox.png", OTHER)  # as large as the picture
    bucket.put("in/fox~2.png", b"something else")
    bucket.put("in/fox~3.png", PNG)
    [path] = await files.save(picture, f"{bucket.url}/in", name="fox")
    assert path.name == "fox~3.png"  # the same picture, though another program has stored it
    bucket.delete("in/fox~3.png")
    assert await files.save(picture, f"{bucket.url}/in", name="fox") == [path]
    assert bucket.get("in/fox.png") == OTHER
    assert bucket.get("in/fox~2.png") == b"something else"


async def test_an_object_that_is_there_is_not_sent_again(files, bucket, picture, proxy):
    for _ in range(3):
        await files.save(picture, bucket.url)
    assert (proxy.count("HEAD"), proxy.count("PUT"), proxy.count("GET")) == (3, 1, 0)


@pytest.mark.parametrize("contents", [(PNG, PNG), (PNG, OTHER)], ids=["same", "different"])
async def test_two_processes_that_save_under_one_name_at_once(shop, bucket, proxy, contents):
    asked, go = [], asyncio.Event()

    async def wait_for_both(request: web.Request) -> None:
        asked.append(request.path)
        if len(asked) == 2:
            go.set()
        await go.wait()

    proxy.script["PUT"] = [wait_for_both, wait_for_both]
    async with Origin([Says(body=contents[0])]) as one, Origin([Says(body=contents[1])]) as two:
        outputs = [Output(0, origin.url + "/a", {}, "task-1", "image") for origin in (one, two)]
        paths = await asyncio.gather(
            *(shop.files().save(output, bucket.url, name="fox") for output in outputs)
        )
    assert [bucket.get(path.key) for [path] in paths] == list(contents)
    assert len(bucket.objects()) == len(set(contents))


SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"


@pytest.mark.parametrize(
    "case",
    [
        ("HEAD", [says(500), drops, says(503)]),
        ("PUT", [says(500), drops, says(503, SLOW_DOWN)]),
        ("PUT", [says(429), says(400, "<Code>RequestTimeout</Code>")]),
    ],
)
async def test_a_fault_of_the_store_costs_an_attempt(files, bucket, picture, proxy, case):
    method, faults = case
    proxy.script[method] = list(faults)
    [path] = await files.save(picture, bucket.url)
    assert bucket.get(path.key) == PNG
    assert proxy.count(method) == len(faults) + 1


async def test_an_answer_that_is_lost_stores_no_second_object(files, bucket, picture, proxy):
    async def store_and_drop(request: web.Request) -> web.StreamResponse:
        await proxy.passed_on(request)
        request.transport.abort()
        return web.Response()

    proxy.script["PUT"] = [store_and_drop]
    [path] = await files.save(picture, bucket.url, name="fox")
    assert (path.name, bucket.objects()) == ("fox.png", ["fox.png"])


async def test_a_conflict_without_an_object_is_tried_again(files, bucket, picture, proxy):
    proxy.script["PUT"] = [says(409, "<Code>ConditionalRequestConflict</Code>")]
    [path] = await files.save(picture, bucket.url, name="fox")
    assert bucket.get("fox.png") == PNG
    assert path.name == "fox.png"


async def test_a_store_that_does_not_answer_is_given_up(shop, bucket, picture, proxy):
    async def hang(request: web.Request) -> None:
        await anyio.sleep(10)

    service = shop.files()
    service._retry = Retry(first=0.01, longest=0.02, attempts=2)
    store = await service._store(ObjectPath(f"s3://{bucket.name}"))
    object.__setattr__(store, "_timeout", type(store._timeout)(request=0.1))
    proxy.script["HEAD"] = [hang] * 2
    with pytest.raises(DownloadError, match=r"no answer within .* s; given up after 2 attempts"):
        await service.save(picture, bucket.url)


async def test_what_was_stored_is_verified(files, bucket, picture, proxy):
    async def damage(request: web.Request) -> web.StreamResponse:
        bucket.put(request.path.rpartition("/")[2], OTHER)
        return web.Response(headers={"ETag": f'"{hashlib.md5(OTHER).hexdigest()}"'})

    proxy.script["PUT"] = [damage]
    [path] = await files.save(picture, bucket.url, name="fox")
    assert bucket.get("fox.png") == PNG
    assert (path.name, bucket.objects()) == ("fox.png", ["fox.png"])
    proxy.script["PUT"] = [damage] * 4
    with pytest.raises(DownloadError, match="other bytes than were sent; given up after 4"):
        await files.save(picture, bucket.url, name="other")
    assert bucket.objects() == ["fox.png"]


async def test_an_etag_that_is_no_md5_is_not_believed(files, bucket, picture, proxy):
    async def encrypted(request: web.Request) -> web.StreamResponse:
        answer = await proxy.passed_on(request)
        answer.headers["ETag"] = '"0x8D9"'
        return answer

    proxy.script["PUT"] = [encrypted]
    await files.save(picture, bucket.url)
    assert (proxy.count("PUT"), proxy.count("GET")) == (1, 1)


async def test_a_store_that_ignores_conditions_keeps_its_objects(files, bucket, picture, proxy):
    async def ignore(request: web.Request) -> web.StreamResponse:
        bucket.put(request.path.rpartition("/")[2], await request.read())
        return web.Response(headers={"ETag": f'"{hashlib.md5(PNG).hexdigest()}"'})

    proxy.script["PUT"] = [ignore]
    bucket.put("fox.png", OTHER)
    [path] = await files.save(picture, bucket.url, name="fox")
    assert (path.name, bucket.get("fox.png")) == ("fox~2.png", OTHER)


DENIED = (
    f"<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>"
)


@pytest.mark.parametrize(
    "case",
    [
        (
            403,
            DENIED,
            "denied access to the bucket .*HTTP 403 InvalidAccessKeyId.*AWS_ACCESS_KEY_ID",
        ),
        (404, "<Code>NoSuchBucket</Code>", "does not exist .*HTTP 404 NoSuchBucket"),
        (503, "", "the store answered HTTP 503; given up after 4 attempts"),
    ],
)
async def test_a_refusal_says_what_happened(files, bucket, picture, proxy, case):
    status, body, words = case
    proxy.script["PUT"] = [says(status, body)] * 4
    with pytest.raises(DownloadError, match=words) as caught:
        await files.save(picture, f"{bucket.url}/in", name="fox")
    assert caught.value.task_id == "task-1"
    text = str(caught.value)
    assert text.startswith(f"output 0 of task task-1: cannot use {bucket.url}: ")
    assert text.endswith("the task is paid for and can be downloaded again")
    assert ACCESS_KEY not in repr(caught.value.to_dict())
    assert SECRET not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    proxy.script.clear()
    [path] = await files.save(picture, f"{bucket.url}/in", name="fox")
    assert bucket.objects() == [path.key]


async def test_a_missing_bucket(files, bucket, picture):
    with pytest.raises(DownloadError, match="bucket 'not-there' does not exist"):
        await files.save(picture, "s3://not-there/in")


async def test_a_store_that_cannot_be_reached(files, bucket, picture, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"cannot be reached.*given up after 4 attempts"):
        await files.save(picture, bucket.url)


async def test_a_place_that_cannot_be_used_is_refused_before_anything_is_fetched(
    files, picture, monkeypatch
):
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    urls = {
        "http://bucket/a": "begins with http://",
        "az://container/a": "no credentials for az://.*AZURE_STORAGE_ACCOUNT_NAME",
    }
    for url, words in urls.items():
        with pytest.raises(ConfigurationError, match=words) as caught:
            await files.save(picture, url)
        assert caught.value.task_id == "task-1"
    assert files.downloads == 0


async def test_the_extra_is_named_when_it_is_missing(files, picture, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'foxapi-async\[cloud\]'"):
        await files.save(picture, "s3://bucket/a")


async def test_a_broken_download_is_resumed_and_an_expired_link_renewed(shop, files, bucket):
    task = await shop.task()
    shop.emulator.script(Fault("download", Deliver(cut_at=0.6)), Fault("download", Answer(403)))
    [path] = await files.save(task, bucket.url)
    assert bucket.get(path.key) == await shop.content(task)
    assert shop.retrieved == [task.id]
    shop.emulator.script(Fault("download", Answer(403), times=None))
    with pytest.raises(OutputExpiredError):
        await files.save(task, bucket.url, name="again")
    assert bucket.objects() == [path.key]


async def test_what_is_no_picture_is_not_stored(files, bucket):
    async with Origin([Says(body=b"<html>Welcome</html>")]) as origin:
        with pytest.raises(DownloadError, match="HTML"):
            await files.save(Output(0, origin.url + "/a", {}, "task-1", "image"), bucket.url)
    assert bucket.objects() == []


async def test_one_output_that_fails_leaves_the_others_stored(shop, files, bucket, proxy):
    task = await shop.task(2)
    proxy.script["PUT"] = [says(403)]
    with pytest.raises(DownloadError) as caught:
        await files.save(task, bucket.url)
    assert [path.key for path in caught.value.paths] == bucket.objects()
    assert len(bucket.objects()) == 1


async def test_a_cancelled_download_stores_nothing_and_leaves_no_file(shop, bucket, picture, proxy):
    files, stuck = shop.files(), asyncio.Event()

    async def hang(request: web.Request) -> None:
        stuck.set()
        await anyio.sleep(10)

    proxy.script["PUT"] = [hang]
    async with anyio.create_task_group() as group:
        group.start_soon(files.save, picture, bucket.url)
        await stuck.wait()
        spool = files._api.spool.folder()
        assert len(list(spool.iterdir())) == 1
        group.cancel_scope.cancel()
    assert list(spool.iterdir()) == []
    assert bucket.objects() == []
    await files._api.spool.aclose()
    assert not spool.exists()


async def test_the_event_loop_is_never_blocked(shop, files, bucket):
    task = await shop.task()
    with blockbuster_ctx(scanned_modules=["foxapi_async.files"]):
        await files.save(task, bucket.url)


KILLED = """
import asyncio, sys
from foxapi_async import Session
async def main():
    async with Session("sk-emulator", base_url=sys.argv[1]) as session:
        task = await session.retrieve(sys.argv[2])
        await session.download(task, sys.argv[3], name="fox")
asyncio.run(main())
"""


async def test_a_process_that_is_killed_in_the_middle_of_an_upload(shop, files, bucket, proxy):
    task, begun = await shop.task(), asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await request.content.read(1000)
        begun.set()
        await anyio.sleep(100)
        return web.Response()

    proxy.script["PUT"] = [hang]
    command = [sys.executable, "-c", KILLED, shop.emulator.url, task.id, bucket.url]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    await begun.wait()
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert bucket.objects() == []
    [path] = await files.save(task, bucket.url, name="fox")
    assert bucket.objects() == ["fox.png"]
    assert bucket.get("fox.png") == await shop.content(task)
    assert str(path) == f"{bucket.url}/fox.png"


async def test_a_large_file_takes_no_memory_of_its_own(files, bucket, proxy, caplog):
    content = PNG[:-12] + bytes(9_000_000) + PNG[-12:]

    async def accept(request: web.Request) -> web.StreamResponse:
        size, digest = 0, hashlib.md5()
        async for chunk in request.content.iter_chunked(1 << 20):
            size += len(chunk)
            digest.update(chunk)
        assert size == len(content)
        return web.Response(headers={"ETag": f'"{digest.hexdigest()}"'})

    proxy.script["PUT"] = [accept]
    async with Origin([Says(body=content)]) as origin:
        with caplog.at_level(logging.INFO, logger="foxapi_async.files"):
            await files.save(Output(0, origin.url + "/a", {}, "task-1", "image"), bucket.url)
    assert f"{len(content)} bytes" in caplog.text
