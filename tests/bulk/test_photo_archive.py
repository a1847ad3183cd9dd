"""A folder of photos as a ZIP file: what is taken, what is refused, and that names do not count."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from foxapi_async import ConfigurationError, InvalidRequestError
from foxapi_async.bulk.input import photo_archive
from foxapi_async.bulk.input.photo_archive import Photos
from tests.bulk.test_local_files import png

JPEG = b"\xff\xd8\xff and more"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "photos"
    path.mkdir()
    png(path / "Ä b.png", b"1")
    (path / "c.JPG").write_bytes(JPEG)
    (path / ".DS_Store").write_bytes(b"x")
    (path / "Thumbs.db").write_bytes(b"x")
    (path / "raw").mkdir()
    return path


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_archive_has_every_photo_and_none_of_the_names(folder, tmp_path):
    photos = Photos.find(folder)
    assert (len(photos.files), photos.duplicates) == (2, 0)
    photos.write(tmp_path / "a.zip")
    found = contents(tmp_path / "a.zip")
    assert sorted(found.values()) == sorted(file.path.read_bytes() for file in photos.files)
    assert {name.partition(".")[0] for name in found} == {"0001", "0002"}
    assert {name.partition(".")[2] for name in found} == {"jpg", "png"}


def test_equal_photos_give_the_same_key_and_bytes_whatever_their_names_and_dates(folder, tmp_path):
    first = Photos.find(folder)
    first.write(tmp_path / "a.zip")
    content = (folder / "c.JPG").read_bytes()
    (folder / "c.JPG").rename(folder / "0.jpg")
    (folder / "copy.jpg").write_bytes(content)
    second = Photos.find(folder)
    second.write(tmp_path / "b.zip")
    assert (second.key, second.duplicates) == (first.key, 1)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    png(folder / "new.png", b"2")
    assert Photos.find(folder).key != first.key


def test_all_that_is_wrong_is_listed(folder):
    (folder / "notes.txt").write_text("hello")
    (folder / "empty.jpg").touch()
    (folder / "film.gif").write_bytes(b"GIF89a and more")
    with pytest.raises(InvalidRequestError) as caught:
        Photos.find(folder)
    assert str(caught.value).splitlines()[1:] == [
        "  empty.jpg: it is empty",
        "  film.gif: it is a gif file; JPEG, PNG and WebP are taken",
        "  notes.txt: it is of no known format; JPEG, PNG and WebP are taken",
    ]


def test_many_problems_are_counted(folder):
    for number in range(30):
        (folder / f"{number:02}.txt").write_text("x")
    with pytest.raises(InvalidRequestError, match="… and 10 more"):
        Photos.find(folder)


@pytest.mark.parametrize("name", ["missing", "photo.png", "a\0b"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    png(tmp_path / "photo.png")
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        Photos.find(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="there is no photo in it"):
        Photos.find(tmp_path)


def test_too_many_bytes_are_refused(folder, monkeypatch):
    monkeypatch.setattr(photo_archive, "LARGEST", 1000)
    with pytest.raises(InvalidRequestError, match=r"the photos have [\d,]+ bytes; at most 1,000"):
        Photos.find(folder)


def test_a_photo_that_changes_meanwhile_is_refused(folder, tmp_path):
    photos = Photos.find(folder)
    (folder / "c.JPG").write_bytes(JPEG + b"!")
    with pytest.raises(InvalidRequestError, match="was changed meanwhile"):
        photos.write(tmp_path / "a.zip")


def test_an_archive_that_cannot_be_written_is_a_configuration_error(folder, tmp_path):
    with pytest.raises(ConfigurationError, match="TMPDIR"):
        Photos.find(folder).write(tmp_path / "no folder" / "a.zip")
