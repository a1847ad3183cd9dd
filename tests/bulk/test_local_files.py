"""Local files where a request takes a URL: what is taken, what is refused, and what keys are made of."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import ConfigurationError, JobFileError, PhotaImageEdit
from foxapi_async.bulk import Job
from foxapi_async.bulk.input import local_files
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.input.local_files import LocalFileError, LocalFiles, stand_ins_of
from foxapi_async.requests import STAND_IN

PNG = b"\x89PNG\r\n\x1a\n and more"
ZIP = b"PK\x03\x04 and more"


def png(path: Path, content: bytes = b"") -> Path:
    path.write_bytes(PNG + content)
    return path


def stand_in(path: Path) -> str:
    return STAND_IN + hashlib.sha256(path.read_bytes()).hexdigest()


def jobs(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "jobs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(folder: Path, *lines: dict[str, Any]) -> list[JobLine]:
    return list(Job.read(jobs(folder, *lines)).lines())


def edit(*inputs: str, **more: Any) -> dict[str, Any]:
    return {"model": "phota-image-edit", "prompt": "p", "image_urls": list(inputs), **more}


def problems(folder: Path, *lines: dict[str, Any]) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        read(folder, *lines)
    return [str(problem) for problem in caught.value.problems]


def test_paths_are_relative_to_the_folder_of_the_job_file(tmp_path, monkeypatch):
    (tmp_path / "jobs").mkdir()
    monkeypatch.chdir(tmp_path)
    a = png(tmp_path / "jobs" / "a b.png")
    (line,) = read(Path("jobs"), edit("a b.png", str(a), a.as_uri(), "https://x.test/y.png"))
    request = line.request
    assert isinstance(request, PhotaImageEdit)
    assert request.image_urls == (stand_in(a),) * 3 + ("https://x.test/y.png",)
    assert stand_ins_of(request.payload()) == [stand_in(a)]


def test_another_folder_for_relative_paths_can_be_given(tmp_path):
    (tmp_path / "photos").mkdir()
    a = png(tmp_path / "photos" / "a.png")
    path = jobs(tmp_path, edit("a.png"))
    (line,) = Job.read(path, folder=tmp_path / "photos").lines()
    assert stand_ins_of(line.request.payload()) == [stand_in(a)]


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    a = png(tmp_path / "a.png")
    assert LocalFiles(tmp_path / "x").replace("image_url", "~/a.png") == stand_in(a)


def test_a_cell_is_one_path_with_spaces_or_several_without(tmp_path):
    a, b = png(tmp_path / "my a.png"), png(tmp_path / "b.png", b"b")
    table = tmp_path / "jobs.csv"
    table.write_text(
        "model,prompt,image_urls\nphota-image-edit,p,my a.png\n"
        'phota-image-edit,p,b.png https://x.test/y\nphota-image-edit,p,"[""my a.png"", ""b.png""]"\n'
    )
    urls = [line.request.payload()["image_urls"] for line in Job.read(table).lines()]
    assert urls == [
        [stand_in(a)],
        [stand_in(b), "https://x.test/y"],
        [stand_in(a), stand_in(b)],
    ]


def test_fields_of_other_models_take_files_too_and_plain_values_stay(tmp_path):
    a = png(tmp_path / "a.png")
    text = tmp_path / "talk.mp3"
    text.write_bytes(b"ID3 and more")
    given_params = {
        "images_url": ["a.png", "data:image/png;base64,AAAA", "A" * 5000],
        "audio_url": "talk.mp3",
        "video_url": "asset-7",
        "callback_url": "a.png",
        "prompt": "a.png",
        "seed": 1,
    }
    (flat, nested) = read(
        tmp_path, {"model": "m", **given_params}, {"model": "m", "params": given_params}
    )
    assert flat.request.payload() == nested.request.payload()
    payload = flat.request.payload()
    assert payload.pop("images_url") == [stand_in(a), *given_params["images_url"][1:]]
    assert payload.pop("audio_url") == stand_in(text)
    assert payload.pop("model") == "m"
    assert payload == {name: given_params[name] for name in payload}


def test_default_keys_are_made_of_the_content_and_not_of_the_name(tmp_path):
    png(tmp_path / "a.png")
    png(tmp_path / "b.png")
    png(tmp_path / "c.png", b"other")
    lines = read(tmp_path, edit("a.png"), edit("b.png"), edit("c.png"))
    same, again, other = (line.key for line in lines)
    assert again == f"{same}-2"
    assert other not in {same, again}
    png(tmp_path / "a.png", b"new")
    assert read(tmp_path, edit("a.png"))[0].key not in {same, other}


def test_keys_of_links_are_what_they_were(tmp_path):
    (line,) = read(tmp_path, edit("https://x.test/y.png"))
    assert line.key == "p-03bda2e19375e61a"


def test_what_is_wrong_is_told_for_each_line_and_field(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "z.zip").write_bytes(ZIP)
    os.mkfifo(tmp_path / "pipe")
    png(tmp_path / "a.png")
    found = problems(
        tmp_path,
        edit("folder"),
        edit("empty.png"),
        edit("text.png"),
        edit("z.zip"),
        edit("pipe"),
        edit("file://other/a.png"),
        edit("a\0.png"),
        {"model": "phota-create-profile", "image_archive_url": "a.png"},
        {"model": "phota-image-enhance", "image_url": "nothing.png"},
    )
    expected = [
        "line 1, image_urls: 'folder' is no URL, and as a file it cannot be used: it is a folder",
        "line 2, image_urls: 'empty.png' is no URL, and as a file it cannot be used: it is empty",
        "line 3, image_urls: 'text.png' is not a picture by its first bytes; it is of no known format",
        "line 4, image_urls: 'z.zip' is not a picture by its first bytes; it is a zip file",
        "line 5, image_urls: 'pipe' is no URL, and as a file it cannot be used: it is not a regular",
        "line 6, image_urls: 'file://other/a.png' names a file of another machine (other)",
        "line 7, image_urls: 'a\\x00.png' is no URL, and as a file it cannot be used: ",
        "line 8, image_archive_url: 'a.png' is not a ZIP file by its first bytes",
        f"line 9, image_url: 'nothing.png' is neither a URL nor a file: there is no file {tmp_path}",
    ]
    assert len(found) == len(expected)
    for problem, beginning in zip(found, expected, strict=True):
        assert problem.startswith(beginning)


def test_a_missing_file_of_many_lines_is_told_once(tmp_path):
    lines = [edit("gone.png", prompt=f"p{n}") for n in range(1000)]
    (found,) = problems(tmp_path, *lines)
    assert found.startswith("line 1, image_urls: 'gone.png' is neither a URL nor a file")
    assert found.endswith("(and 999 times more)")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path, monkeypatch):
    png(tmp_path / "a.png")
    monkeypatch.setattr(local_files, "LARGEST", len(PNG) - 1)
    (found,) = problems(tmp_path, edit("a.png"))
    assert "it has 17 bytes; at most 16 are allowed" in found


def test_a_file_is_read_once_and_not_again_for_each_line(tmp_path):
    a = png(tmp_path / "a.png")
    job = Job.read(jobs(tmp_path, *(edit("a.png", prompt=f"p{n}") for n in range(3))))
    before = [line.key for line in job.lines()]
    a.unlink()
    assert [line.key for line in job.lines()] == before
    assert job.files.find(stand_ins_of(next(job.lines()).request.payload())[0][len(STAND_IN) :])


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    png(tmp_path / "a.png").chmod(0)
    (found,) = problems(tmp_path, edit("a.png"))
    assert "Permission denied" in found


@given(st.text(), st.booleans())
def test_any_text_is_kept_or_refused_unless_it_is_a_file(tmp_path_factory, text, strict):
    files = LocalFiles(tmp_path_factory.getbasetemp() / "nothing is here")
    result = text
    with suppress(LocalFileError):
        result = files.replace("image_url", text, strict=strict)
    assert result == text
    assert not strict or files.faults or not text.strip() or ":" in text


def test_what_is_kept_in_memory_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(local_files, "_MOST_RECENT", 1)
    monkeypatch.setattr(local_files, "_MOST_FAULTS", 1)
    found = problems(tmp_path, *(edit(f"{n % 2}.png", prompt=f"p{n}") for n in range(4)))
    assert [text.partition(" ")[2].partition(" ")[0] for text in found] == ["1,", "2,", "4,"]
    for number in range(2):
        png(tmp_path / f"{number}.png", bytes([number]))
    job = Job.read(jobs(tmp_path, *(edit(f"{n % 2}.png", prompt=f"p{n}") for n in range(4))))
    assert job.plan(None).uploads == job.plan(None).uploads == 2


def test_no_room_for_the_index_is_a_configuration_error(tmp_path):
    files = LocalFiles(tmp_path)
    files.find("0" * 64)
    assert files._opened is not None
    files._opened.close()
    with pytest.raises(ConfigurationError, match="cannot write a temporary file"):
        files.find("0" * 64)
