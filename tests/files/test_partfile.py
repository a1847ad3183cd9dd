"""A file gets its name only once it is complete, and never overwrites another."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from contextlib import suppress

import pytest

from foxapi_async.files.partfile import PartFile, remove_stale_parts


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def publish(folder, content, name="fox.png"):
    part = PartFile(folder, name)
    part.write(content)
    return part.publish(name)


@pytest.fixture(params=["hard links", "no hard links"])
def folder(request, tmp_path, monkeypatch):
    if request.param == "no hard links":

        def link(*_):
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
    return tmp_path


def test_a_published_file_is_complete_and_the_only_one(folder):
    part = PartFile(folder / "new" / "place", "fox.png")
    part.write(b"one ")
    part.write(bytearray(b"two"))
    assert [name[0] for name in names(folder / "new" / "place")] == ["."]
    path = part.publish("fox.png")
    assert path == folder / "new" / "place" / "fox.png"
    assert path.read_bytes() == b"one two"
    assert names(path.parent) == ["fox.png"]


@pytest.mark.parametrize("most", [1, 3, 4, 5])
def test_short_writes_are_continued(folder, monkeypatch, most):
    write = os.write

    def short(file, data):
        return write(file, data[:most])

    monkeypatch.setattr(os, "write", short)
    part = PartFile(folder, "fox.png")
    part.write(b"quickbrownfox")
    part.write(b"")
    part.write(b"jumps")
    assert part.publish("fox.png").read_bytes() == b"quickbrownfoxjumps"


def test_the_mode_is_that_of_any_new_file(folder):
    (folder / "other").touch()
    assert publish(folder, b"x").stat().st_mode == (folder / "other").stat().st_mode


def test_the_same_bytes_are_not_saved_twice(folder):
    first = publish(folder, b"fox")
    before = first.stat().st_ino
    assert publish(folder, b"fox") == first
    assert first.stat().st_ino == before
    assert names(folder) == ["fox.png"]


def test_other_bytes_get_the_next_free_name(folder):
    paths = [publish(folder, content) for content in (b"fox", b"vix", b"cub", b"vix", b"foxes")]
    assert [path.name for path in paths] == [
        "fox.png",
        "fox~2.png",
        "fox~3.png",
        "fox~2.png",
        "fox~4.png",
    ]
    assert (folder / "fox.png").read_bytes() == b"fox"
    assert len(names(folder)) == 4


def test_folders_links_and_pipes_are_not_replaced(folder):
    (folder / "fox.png").mkdir()
    (folder / "fox~2.png").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "fox~3.png")
    assert publish(folder, b"fox").name == "fox~4.png"
    assert not (folder / "nowhere").exists()
    assert stat.S_ISFIFO((folder / "fox~3.png").stat().st_mode)


def test_concurrent_files_never_overwrite_each_other(folder):
    contents = [b"fox %d" % (n % 5) for n in range(20)]
    paths = [None] * 20

    def one(n):
        paths[n] = publish(folder, contents[n])

    threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in paths] == contents


def test_a_restart_removes_what_was_written(folder):
    part = PartFile(folder, "fox.png")
    part.restart()
    part.write(b"page of html")
    part.restart()
    part.write(b"fox")
    assert part.publish("fox.png").read_bytes() == b"fox"


def test_a_discarded_file_is_removed(folder):
    part = PartFile(folder, "fox.png")
    part.write(b"fox")
    part.discard()
    part.discard()
    assert names(folder) == []


def test_a_write_after_discard_creates_no_file(folder):
    part = PartFile(folder, "fox.png")
    part.discard()
    part.write(b"fox")
    assert names(folder) == []


def test_a_failed_rename_leaves_no_file(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    part = PartFile(tmp_path, "fox.png")
    part.write(b"fox")
    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(type(tmp_path), "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        part.publish("fox.png")
    part.discard()
    assert names(tmp_path) == []


class KilledError(BaseException):
    """Ends a function at once, like a kill of the process."""


def test_no_file_has_the_final_name_before_it_is_complete(folder, monkeypatch):
    def kill(*_):
        raise KilledError

    part = PartFile(folder, "fox.png")
    part.write(b"fox")
    before = names(folder)
    with monkeypatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(type(folder), name, kill)
            patch.setattr(os, name, kill)
        with suppress(KilledError):
            part.publish("fox.png")
    new = set(names(folder)) - set(before)
    assert [(folder / name).read_bytes() for name in new] in ([], [b"fox"])


def test_a_part_that_cannot_be_removed_does_not_hide_the_file(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    part = PartFile(tmp_path, "fox.png")
    part.write(b"fox")
    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "unlink", fail)
        assert part.publish("fox.png").read_bytes() == b"fox"
    assert remove_stale_parts(tmp_path, time.time() + 10_000) == 1
    assert names(tmp_path) == ["fox.png"]


def test_a_file_in_place_of_the_folder_is_reported(folder):
    (folder / "taken").touch()
    with pytest.raises(NotADirectoryError, match="not a folder"):
        PartFile(folder / "taken", "fox.png").write(b"fox")
