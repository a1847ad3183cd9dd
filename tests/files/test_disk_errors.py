"""What a real file system refuses leaves a public call as an error of the package."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from foxapi_async import DownloadError, InvalidRequestError, Journal, PhotaImage, Session
from foxapi_async.emulator import Emulator
from foxapi_async.events import Downloaded, DownloadProgress

NOBODY = 65534


@contextmanager
def without_privileges():
    """Act as a user whom permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def largest_file(size):
    """Let no file of this process grow beyond a size; the nearest to a full disk without a mount."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def check(error, task):
    assert error.task_id == task.id
    assert task.id in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x" * 300, "File name too long"),
        ("x/" * 3000, "File name too long"),
        ("loop/folder", "Too many levels of symbolic links"),
        ("nul\0", "embedded null byte"),
        ("surrogate \ud800", "surrogates not allowed"),
        ("file/folder", "it is not a folder|Not a directory"),
    ],
    ids=["name", "path", "loop", "nul", "surrogate", "file"],
)
async def test_a_folder_that_no_file_system_takes(shop, tmp_path, name, words):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    task = await shop.task(2)
    with pytest.raises(
        DownloadError, match=f"cannot write to .*(?:{words}).*can be downloaded"
    ) as e:
        await shop.files().save(task, tmp_path / name)
    check(e.value, task)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "loop"]


async def test_a_folder_without_permission(shop, tmp_path):
    task = await shop.task()
    tmp_path.chmod(0o500)
    try:
        with (
            without_privileges(),
            pytest.raises(DownloadError, match="Permission denied") as caught,
        ):
            await shop.files().save(task, tmp_path)
    finally:
        tmp_path.chmod(0o700)
    check(caught.value, task)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1000])
async def test_a_disk_that_takes_no_more(shop, tmp_path, size):
    task = await shop.task()
    with largest_file(size), pytest.raises(DownloadError, match="File too large") as caught:
        await shop.files().save(task, tmp_path)
    check(caught.value, task)
    assert list(tmp_path.iterdir()) == []
    assert len(await shop.files().save(task, tmp_path)) == 1


def remove_folder(folder):
    shutil.rmtree(folder)


def remove_part(folder):
    for part in folder.iterdir():
        part.unlink()


@pytest.mark.parametrize("damage", [remove_folder, remove_part])
async def test_a_part_that_is_removed_while_it_is_written(tmp_path, monkeypatch, damage):
    folder = tmp_path / "out"
    monkeypatch.setattr("foxapi_async.files.fetch.BLOCK", 10_000)

    def on_event(event):
        if isinstance(event, DownloadProgress) and event.received == event.total:
            while not list(folder.glob(".*.part")):  # a worker thread creates it
                time.sleep(0.001)
            damage(folder)

    async with (
        # The file is larger than one read, so that the first part of it is written before the end.
        Emulator(duration=0, files_port=0) as emulator,
        Session("sk-emulator", base_url=emulator.url, on_event=on_event) as session,
    ):
        task = await session.generate(PhotaImage("a fox"))
        with pytest.raises(DownloadError, match=r"cannot write to .*: No such file") as caught:
            await session.download(task, folder)
    check(caught.value, task)
    assert not folder.exists() or list(folder.iterdir()) == []


def move(path):
    path.rename(path.with_name("moved.png"))


def become_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.ordinary_loop
@pytest.mark.parametrize(
    ("change", "words"), [(move, "No such file"), (become_a_folder, "Is a directory")]
)
async def test_a_file_that_is_gone_before_the_journal_records_it(shop, tmp_path, change, words):
    def on_event(event):
        if isinstance(event, Downloaded) and event.path == lost:
            change(event.path)

    journal = Journal(tmp_path / "journal")
    async with Session(
        "sk-emulator", base_url=shop.emulator.url, journal=journal, on_event=on_event
    ) as session:
        task = await session.generate(PhotaImage("a fox", num_outputs=2), key="k")
        lost = tmp_path / "out" / f"{task.id}-1.png"
        with pytest.raises(
            DownloadError, match=f"-1.png was saved, but .*journal: {words}"
        ) as caught:
            await session.download(task, tmp_path / "out")
        check(caught.value, task)
        assert caught.value.paths == (tmp_path / "out" / f"{task.id}-0.png",)
        assert isinstance(caught.value.__cause__, OSError)
        assert [entry.files for entry in journal.entries()] == [()]
        paths = await session.download(task, tmp_path / "again")
    [entry] = journal.entries("saved")
    assert [Path(file.path) for file in entry.files] == paths


async def test_an_input_file_without_permission(shop, tmp_path):
    path = tmp_path / "face.png"
    path.write_bytes(b"GIF89a")
    path.chmod(0)
    with without_privileges(), pytest.raises(InvalidRequestError, match="Permission denied"):
        await shop.files().upload(path)
    assert shop.emulator.counters.requests == 0


@pytest.mark.parametrize("name", ["x" * 300, "surrogate \ud800"], ids=["name", "surrogate"])
async def test_an_input_file_whose_name_no_file_system_takes(shop, tmp_path, name):
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        await shop.files().upload(tmp_path / name)
