"""The public journal: query, forget, export, open and close."""

from __future__ import annotations

import asyncio
import io
import json
import os
import stat
import threading
from pathlib import Path

import anyio
import pytest

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal import Journal, StoredJournal
from foxapi_async.models import TaskStatus
from foxapi_async.phota import PhotaImage
from tests.journals import another


def names(folder: Path) -> list[str]:
    # A cancelled aclose() does not wait for the writer's thread to end.
    for thread in threading.enumerate():
        if thread.name.startswith("foxapi-journal"):
            thread.join()
    return [file.name for file in folder.iterdir()]


def modes_in(folder: Path) -> list[int]:
    return [file.stat().st_mode for file in folder.iterdir()]


async def fill(journal: StoredJournal, number: int, *, prefix: str = "k") -> None:
    request = PhotaImage("a cat")

    async def one(index: int) -> None:
        claim = await journal.claim(f"{prefix}{index}", request)
        await claim.sending()
        await claim.accepted(f"{prefix}-task-{index}", 9.0)

    async with anyio.create_task_group() as group:
        for index in range(number):
            group.start_soon(one, index)


def test_creating_a_journal_object_opens_nothing(file_journal: Journal, path: Path):
    assert not path.exists()
    assert file_journal.unfinished() == file_journal.entries() == file_journal.forget("k") == []
    assert file_journal.find(["k"]) == {}
    assert not path.exists()
    assert repr(file_journal) == f"Journal({str(path)!r})"


def test_a_path_is_relative_to_where_the_journal_was_created(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file_journal = Journal("jobs.db")
    monkeypatch.chdir("/")
    assert file_journal.path == tmp_path / "jobs.db"


async def test_queries_return_plain_lists_and_numbers(journal):
    async with journal:
        await fill(journal, 2)
        assert journal.unfinished() == journal.entries()
        assert [entry.key for entry in journal.entries("accepted")] == ["k0", "k1"]
        assert journal.export(io.StringIO()) == 2
        forgotten = journal.forget("k0")
        assert type(forgotten) is list
        assert forgotten[0].key == "k0"
        assert len(journal.entries()) == 1


async def test_a_query_sees_what_was_recorded_before_it(journal, request_):
    async with journal:
        await fill(journal, 2)
        journal.ended("k-task-1", TaskStatus.COMPLETED)
        assert [entry.key for entry in journal.unfinished()] == ["k0"]
        claim = await journal.claim(None, request_)
        assert len(journal.entries("planned")) == 1
        await claim.not_sent("enough")
        assert journal.entries("planned") == []


async def test_a_status_that_does_not_exist_is_refused(journal):
    with pytest.raises(ValueError, match="finished"):
        journal.entries("finished")


@pytest.mark.much
async def test_stream_reads_page_by_page(journal):
    async with journal:
        await fill(journal, 1203)
        stream = journal.stream("accepted")
        assert next(stream).key == "k0"
        assert len(list(stream)) == 1202
        assert [entry.key for entry in journal.entries()] == [f"k{n}" for n in range(1203)]
        found = journal.find(f"k{n}" for n in range(600, 2000))
        assert set(found) == {f"k{n}" for n in range(600, 1203)}
        assert journal.count() == {"accepted": 1203}


async def test_the_export_is_one_json_object_per_entry(file_journal, tmp_path: Path):
    async with file_journal:
        await fill(file_journal, 3)
        target = tmp_path / "out.jsonl"
        assert file_journal.export(target) == 3
        lines = [json.loads(line) for line in target.read_text().splitlines()]
        assert [line["key"] for line in lines] == ["k0", "k1", "k2"]
        assert lines[0]["payload"]["prompt"] == "a cat"
        assert lines[0]["status"] == "accepted"
        assert lines[0]["submitted"].endswith("+00:00")
        file = io.StringIO()
        file_journal.export(file)
        assert file.getvalue() == target.read_text()


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
async def test_the_files_are_for_their_owner_only(file_journal, path: Path, tmp_path: Path):
    before = os.umask(0)
    try:
        async with file_journal:
            await fill(file_journal, 1)
            file_journal.export(tmp_path / "out.jsonl")
            modes = [stat.S_IMODE(mode) for mode in modes_in(tmp_path)]
    finally:
        os.umask(before)
    assert len(modes) == 5
    assert set(modes) == {0o600}


async def test_opening_is_counted(file_journal, path: Path, tmp_path: Path, request_):
    await file_journal.open()
    await file_journal.open()
    await file_journal.aclose()
    await fill(file_journal, 1)
    await file_journal.aclose()
    await file_journal.aclose()
    with pytest.raises(ConfigurationError, match="not open"):
        await file_journal.claim("k", request_)
    assert names(tmp_path) == [path.name]


async def test_concurrent_opens_share_the_file(journal):
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(journal.open)
    await fill(journal, 1)
    for _ in range(5):
        await journal.aclose()


def test_one_journal_serves_several_event_loops_one_after_the_other(journal):
    async def run(prefix: str) -> None:
        async with journal:
            await fill(journal, 2, prefix=prefix)

    for prefix in "ab":
        asyncio.run(run(prefix))
    assert len(journal.unfinished()) == 4


def test_a_journal_left_open_in_a_closed_event_loop_can_be_opened_again(
    file_journal, tmp_path: Path
):
    async def run(prefix: str) -> None:
        await file_journal.open()
        await fill(file_journal, 2, prefix=prefix)
        file_journal.ended(f"{prefix}-task-0", TaskStatus.COMPLETED)

    asyncio.run(run("a"))
    asyncio.run(run("b"))

    async def close() -> None:
        await file_journal.open()
        await file_journal.aclose()

    asyncio.run(close())
    assert len(file_journal.entries()) == 4
    assert len(list(tmp_path.iterdir())) == 1


async def test_two_event_loops_at_once_are_refused(journal, request_):
    async with journal:

        async def use() -> None:
            with pytest.raises(ConfigurationError, match="another event loop"):
                await journal.open()
            with pytest.raises(ConfigurationError, match="another event loop"):
                await journal.claim("k", request_)

        await anyio.to_thread.run_sync(lambda: asyncio.run(use()))


async def test_another_thread_may_query(journal):
    async with journal:
        await fill(journal, 2)
        assert len(await anyio.to_thread.run_sync(journal.unfinished)) == 2


async def test_closing_writes_what_is_queued(journal):
    async with journal:
        await fill(journal, 2)
        journal.ended("k-task-0", TaskStatus.COMPLETED)
        journal.remember("durations", {"phota-image": [1, 2]})
    assert [entry.status for entry in journal.entries()] == ["completed", "accepted"]
    async with journal:
        assert await journal.recall("durations") == {"phota-image": [1, 2]}


async def test_a_queued_write_is_made_soon(journal):
    async with journal:
        await fill(journal, 1)
        journal.ended("k-task-0", TaskStatus.COMPLETED)
        assert [entry.status for entry in another(journal).entries()] == ["accepted"]
        await anyio.sleep(1)
        await anyio.sleep(0.1)
        assert [entry.status for entry in another(journal).entries()] == ["completed"]


async def test_recall_returns_the_last_value(journal):
    async with journal:
        assert await journal.recall("x") is None
        journal.remember("x", 1)
        journal.remember("x", [None, "\ud800"])
        assert await journal.recall("x") == [None, "\ud800"]
        journal.remember("x", None)
        assert await journal.recall("x") is None
        with pytest.raises(TypeError):
            journal.remember("x", object())


async def test_a_cancelled_aclose_still_closes(file_journal, tmp_path: Path, request_):
    await file_journal.open()
    claim = await file_journal.claim(None, request_)
    sending = asyncio.create_task(claim.sending())
    await asyncio.sleep(0)
    closing = asyncio.create_task(file_journal.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing, sending])
    await file_journal.open()
    await file_journal.aclose()
    assert names(tmp_path) == [file_journal.path.name]
    assert [entry.status for entry in file_journal.entries()] == ["unknown"]


async def test_a_cancelled_open_leaves_nothing_open(file_journal, tmp_path: Path):
    for steps in range(4):
        opening = asyncio.create_task(file_journal.open())
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
    async with file_journal:
        await fill(file_journal, 1)
    assert len(file_journal.entries()) == 1
