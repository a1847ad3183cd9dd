"""A job from a stream: kept in the folder, without overwriting anything."""

from __future__ import annotations

import gzip
import io
import tempfile
from pathlib import Path

import pytest

from foxapi_async import ConfigurationError
from foxapi_async.bulk import Job, Selection
from foxapi_async.bulk.standard_input import STREAM, keep, spooled
from foxapi_async.files.filenames import is_written_by_jobs


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def kept(content: bytes, out: Path) -> Job:
    with spooled(io.BytesIO(content)) as path:
        return keep(Job.read(path, name=STREAM), out)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"a fox\nan owl\n", "jobs.txt"),
        (b'{"prompt": "a fox"}\n', "jobs.jsonl"),
        (b'["a fox"]', "jobs.json"),
        (b"prompt;x\na fox;1\n", "jobs.csv"),
        (gzip.compress(b"prompt;x\na fox;1\n", mtime=0), "jobs.csv.gz"),
    ],
)
def test_it_is_kept_under_a_name_of_its_format(
    content: bytes, name: str, out: Path, temporary: Path
):
    job = kept(content, out)
    assert job.path == out / name
    assert job.path.read_bytes() == content
    assert is_written_by_jobs(name)
    assert list(job.lines()) == list(Job.read(job.path).lines())
    assert list(temporary.iterdir()) == []


def test_the_same_job_is_kept_once_and_another_one_is_numbered(out: Path):
    names = [kept(content, out).path.name for content in (b"a\n", b"b\n", b"a\n", b"c\n", b"b\n")]
    assert names == ["jobs.txt", "jobs-2.txt", "jobs.txt", "jobs-3.txt", "jobs-2.txt"]
    assert is_written_by_jobs("jobs-3.txt")
    (out / "jobs.json").mkdir()
    assert kept(b'["a"]', out).path.name == "jobs-2.json"


def test_a_selection_is_kept_with_its_job(out: Path):
    with spooled(io.BytesIO(b"a\nb\n")) as path:
        job = keep(Job.read(path, name=STREAM).select(Selection.parse(lines="2")), out)
    assert [line.number for line in job.lines()] == [2]
    assert [line.number for line in job.whole.lines()] == [1, 2]


def test_what_cannot_be_read_or_written_is_a_configuration_error(
    out: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
):
    closed = io.BytesIO(b"a\n")
    closed.close()
    with pytest.raises(ConfigurationError, match="nothing was sent"), spooled(closed):
        pass
    assert list(temporary.iterdir()) == []
    with pytest.raises(ConfigurationError, match="cannot keep the job"):
        kept(b"a\n", out / "missing")
    monkeypatch.setattr(tempfile, "tempdir", str(out / "missing"))
    with pytest.raises(ConfigurationError, match="temporary file"), spooled(io.BytesIO()):
        pass
