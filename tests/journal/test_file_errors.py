"""Full disks, files that cannot be written, and files of another kind."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio
import pytest

from foxapi_async.errors import ConfigurationError, FoxAPIError
from foxapi_async.journal import Journal, SavedFile
from foxapi_async.journal.sqlite import connection
from foxapi_async.models import TaskStatus
from foxapi_async.phota import PhotaImage

ROOT = Path(__file__).parent.parent.parent
REQUEST = PhotaImage("a cat")


def fill(path: Path, *keys: str) -> None:
    async def run() -> None:
        async with Journal(path) as journal:
            for key in keys:
                claim = await journal.claim(key, REQUEST)
                await claim.sending()
                await claim.accepted(f"task of {key}")

    asyncio.run(run())


def refuses(path: Path, words: str) -> None:
    async def run() -> None:
        journal = Journal(path)
        with pytest.raises(ConfigurationError, match=words) as caught:
            await journal.open()
        assert str(path) in str(caught.value)
        assert path.name in str(caught.value)
        with pytest.raises(ConfigurationError, match="not open"):
            await journal.claim("k", REQUEST)
        await journal.aclose()

    asyncio.run(run())


def test_a_missing_folder_is_reported_and_not_created(tmp_path: Path):
    path = tmp_path / "missing" / "jobs.db"
    refuses(path, "folder does not exist; create it")
    with pytest.raises(ConfigurationError, match="folder does not exist"):
        Journal(path).unfinished()
    assert not path.parent.exists()


def test_a_folder_is_not_a_journal(tmp_path: Path):
    refuses(tmp_path, "it is a folder")
    with pytest.raises(ConfigurationError):
        Journal(tmp_path).unfinished()


@pytest.mark.parametrize(
    "content",
    [
        b"not a database, but a text of some length. " * 50,
        b"x",
        b"x" * 511,
        b"x" * 512,
        b"\x89PNG" + bytes(5000),
    ],
)
def test_a_file_of_another_kind_is_not_changed(path: Path, content: bytes):
    path.write_bytes(content)
    refuses(path, "not a journal")
    with pytest.raises(ConfigurationError, match="not a journal"):
        Journal(path).entries()
    with pytest.raises(ConfigurationError, match="not a journal"):
        Journal(path).forget("k")
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_database_of_another_program_is_not_changed(path: Path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE entries (a)")
    other.close()
    content = path.read_bytes()
    refuses(path, "file of another program")
    with pytest.raises(ConfigurationError, match="file of another program"):
        Journal(path).unfinished()
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_journal(path: Path):
    path.touch()
    assert Journal(path).unfinished() == []
    fill(path, "k")
    assert len(Journal(path).unfinished()) == 1


def test_a_journal_of_a_newer_release_is_not_changed(path: Path):
    fill(path, "k")
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    refuses(path, "newer foxapi-async .format 99")
    with pytest.raises(ConfigurationError, match="update foxapi-async"):
        Journal(path).unfinished()


def test_a_journal_of_the_first_release_can_be_read_and_is_upgraded_when_it_is_written(
    path: Path, monkeypatch
):
    monkeypatch.setattr(connection, "_STEPS", connection._STEPS[:1])
    with sqlite3.connect(path) as first:
        connection._upgrade(first, path)
        first.execute(
            "INSERT INTO entries (key, status, keyed, model, kind, path, payload, num_outputs, error,"
            " created, updated) VALUES (x'6b', 'unknown', 1, 'm', 'image', '/', '{}', 1, 'no', 0, 0)"
        )
    first.close()
    monkeypatch.undo()
    [entry] = Journal(path).entries("unknown")
    assert (entry.key, entry.error, entry.response) == ("k", "no", None)
    assert Journal(path).count() == {"unknown": 1}
    assert [*Journal(path).find(["k"])] == ["k"]
    assert Journal(path).resolve("k", "task-1").task_id == "task-1"
    [entry] = Journal(path).unfinished()
    assert (entry.key, entry.task_id) == ("k", "task-1")


def test_a_journal_of_an_older_release_is_upgraded(path: Path, monkeypatch):
    fill(path, "a", "b")
    steps = (*connection._STEPS, ("ALTER TABLE entries ADD COLUMN mood TEXT DEFAULT 'good'",))
    monkeypatch.setattr(connection, "_STEPS", steps)
    fill(path, "c")
    with sqlite3.connect(path) as other:
        moods = other.execute("SELECT mood FROM entries ORDER BY id").fetchall()
        version = other.execute("PRAGMA user_version").fetchone()
    other.close()
    assert (moods, version) == ([("good",)] * 3, (len(steps),))
    assert [entry.task_id for entry in Journal(path).unfinished()] == [
        f"task of {key}" for key in "abc"
    ]
    monkeypatch.undo()
    refuses(path, "newer")


def test_an_upgrade_that_fails_changes_nothing(path: Path, monkeypatch):
    fill(path, "a")
    steps = (*connection._STEPS, ("ALTER TABLE entries ADD COLUMN mood TEXT", "NONSENSE"))
    monkeypatch.setattr(connection, "_STEPS", steps)
    refuses(path, "SQLite cannot use it")
    monkeypatch.undo()
    fill(path, "b")
    assert len(Journal(path).unfinished()) == 2


def test_a_damaged_journal_is_reported_before_anything_is_sent(path: Path):
    fill(path, *(f"k{n}" for n in range(50)))
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    refuses(path, "damaged; keep a copy")
    with pytest.raises(ConfigurationError, match="damaged"):
        Journal(path).unfinished()


def test_a_file_that_stays_locked_is_reported(path: Path, monkeypatch):
    fill(path, "k")
    monkeypatch.setattr(connection, "LOCK_TIMEOUT", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refuses(path, "another program has locked it")
    assert len(Journal(path).unfinished()) == 1
    other.execute("ROLLBACK")
    other.close()


def test_an_old_sqlite_is_reported(path: Path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 0))

    async def run() -> None:
        with pytest.raises(ConfigurationError, match=r"needs SQLite 3\.33\.0 or newer"):
            await Journal(path).open()

    asyncio.run(run())
    assert not path.exists()


async def test_a_file_that_is_replaced_while_in_use_is_reported(path: Path):
    async with Journal(path) as journal:
        claim = await journal.claim("a", REQUEST)
        moved = path.rename(path.with_name("moved.db"))  # noqa: ASYNC240
        with pytest.raises(ConfigurationError, match="removed or replaced"):
            await claim.sending()
        with pytest.raises(ConfigurationError, match="removed or replaced"):
            await journal.claim("b", REQUEST)
        moved.rename(path)
        await claim.sending()
        await claim.accepted("t")


UNPRIVILEGED = """
import asyncio, os, sys
from foxapi_async.errors import ConfigurationError
from foxapi_async.journal import Journal

async def use(journal):
    async with journal:
        pass

# Lazy imports happen now: another user might not be able to read the files.
asyncio.run(use(Journal(sys.argv[2])))
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
journal = Journal(sys.argv[1])
try:
    asyncio.run(use(journal))
except ConfigurationError as error:
    sys.stdout.write(f"{error}\\n")
sys.stdout.write(f"{[entry.key for entry in journal.unfinished()]}\\n")
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions are a matter of POSIX")
@pytest.mark.parametrize(
    ("file_mode", "folder_mode"), [(0o444, 0o555), (0o444, 0o777), (0o666, 0o555)]
)
def test_a_read_only_file_can_still_be_read(
    path: Path, file_mode: int, folder_mode: int, tmp_path_factory
):
    fill(path, "k")
    # The folders of pytest are private, and the script drops the rights of root.
    public = Path(tempfile.gettempdir()) / f"foxapi-journal-{os.getpid()}-{file_mode}"
    public.mkdir()
    try:
        target = public / path.name
        shutil.copy(path, target)
        target.chmod(file_mode)
        public.chmod(folder_mode)
        said = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, target, path.with_name("other.db")],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout.splitlines()
    finally:
        public.chmod(0o700)
        shutil.rmtree(public)
    assert "permission" in said[0]
    assert str(target) in said[0]
    assert said[1] == "['k']"


def limit(journal: Journal, pages: int | None) -> None:
    """Make the disk full for the journal's connection, as SQLite itself reports it."""
    assert journal._claims is not None
    writer = journal._claims.writer

    def set_limit() -> None:
        used = writer._database._connection.execute("PRAGMA page_count").fetchone()[0]
        writer._database._connection.execute(
            f"PRAGMA max_page_count = {2**30 if pages is None else used + pages}"
        )

    writer._thread.submit(set_limit).result()


LARGE = PhotaImage("a cat " * 5000)


async def test_a_full_disk_is_reported_before_anything_is_sent(path: Path):
    async with Journal(path) as journal:
        limit(journal, 0)
        with pytest.raises(ConfigurationError, match="disk is full") as caught:
            await journal.claim("k", LARGE)
        assert str(path) in str(caught.value)
        unkeyed = await journal.claim(None, LARGE)
        with pytest.raises(ConfigurationError, match="disk is full"):
            await unkeyed.sending()
        limit(journal, None)
        claim = await journal.claim("k", LARGE)
        assert claim.is_new
        for one in (claim, unkeyed):
            await one.sending()
            await one.accepted(f"task of {one.key}")
    assert len(journal.unfinished()) == 2


async def test_an_id_that_cannot_be_written_is_in_the_error_and_the_log_and_is_retried(
    path: Path, caplog: pytest.LogCaptureFixture
):
    async with Journal(path) as journal:
        claim = await journal.claim("k", REQUEST)
        await claim.sending()
        limit(journal, 0)
        long_id = "task-" + "x" * 9000
        with caplog.at_level(logging.ERROR), pytest.raises(FoxAPIError) as caught:
            await claim.accepted(long_id, 45.0)
        assert caught.value.task_id == long_id
        assert not isinstance(caught.value, ConfigurationError)
        assert "disk is full" in str(caught.value)
        assert any(long_id in record.getMessage() for record in caplog.records)
        with pytest.raises(ConfigurationError, match="disk is full"):
            await journal.claim("k", REQUEST)
        limit(journal, None)
        again = await journal.claim("k", REQUEST)
        assert (again.entry and again.entry.task_id) == long_id
    assert [entry.task_id for entry in journal.unfinished()] == [long_id]


async def test_an_id_that_could_not_be_written_is_written_on_closing(path: Path):
    async with Journal(path) as journal:
        claim = await journal.claim("k", REQUEST)
        await claim.sending()
        limit(journal, 0)
        with pytest.raises(FoxAPIError):
            await claim.accepted("x" * 9000)
        limit(journal, None)
    assert [entry.task_id for entry in journal.unfinished()] == ["x" * 9000]


async def test_an_id_that_can_never_be_written_is_logged_on_closing(
    path: Path, caplog: pytest.LogCaptureFixture
):
    async with Journal(path) as journal:
        claim = await journal.claim("k", REQUEST)
        await claim.sending()
        limit(journal, 0)
        with pytest.raises(FoxAPIError):
            await claim.accepted("x" * 9000)
        caplog.clear()
    said = f"not written: key 'k' is accepted as task {'x' * 9000}"
    assert any(said in record.getMessage() for record in caplog.records)
    assert [entry.status for entry in journal.entries()] == ["unknown"]


async def test_a_step_that_was_cancelled_and_then_failed_can_be_undone(path: Path):
    async with Journal(path) as journal:
        claim = await journal.claim("k", REQUEST)
        path.rename(path.with_name("moved.db"))  # noqa: ASYNC240
        with anyio.CancelScope() as scope:
            scope.cancel()
            await claim.sending()
        assert journal._claims is not None
        journal._claims.writer.flush_now()
        path.with_name("moved.db").rename(path)
        await claim.not_sent("cancelled")
        async with Journal(path) as other, await other.claim("k", REQUEST) as again:
            assert again.is_new


@pytest.mark.parametrize("how", ["rejected", "unknown", "not_sent"])
async def test_the_result_of_a_submission_is_written_later_if_the_disk_is_full(
    path: Path, how: str
):
    async with Journal(path) as journal:
        claim = await journal.claim("k", REQUEST)
        await claim.sending()
        limit(journal, 0)
        await getattr(claim, how)("x" * 20_000)
        limit(journal, None)
    stored = {"not_sent": "planned"}.get(how, how)
    assert [entry.status for entry in journal.entries()] == [stored]


async def test_recording_files_does_not_fail_if_the_disk_is_full(path: Path):
    async with Journal(path) as journal:
        claim = await journal.claim("k", REQUEST)
        await claim.sending()
        await claim.accepted("t")
        limit(journal, 0)
        journal.ended("t", TaskStatus.COMPLETED)
        await journal.saved("t", [SavedFile("x" * 20_000, 1, "ab")])
        limit(journal, None)
    assert [entry.status for entry in journal.entries()] == ["saved"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are a matter of POSIX")
def test_a_limit_of_the_file_size_is_an_error(path: Path):
    script = """
import asyncio, resource, signal, sys
from foxapi_async.errors import ConfigurationError, FoxAPIError
from foxapi_async.journal import Journal
from foxapi_async.phota import PhotaImage

async def run():
    async with Journal(sys.argv[1]) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        for number in range(1000):
            claim = await journal.claim(f"k{number}", PhotaImage("a cat" * 1000))
            await claim.sending()
            await claim.accepted("t")

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    asyncio.run(run())
except FoxAPIError as error:
    assert isinstance(error, ConfigurationError) != (error.task_id == "t")
    sys.stdout.write(str(error))
"""
    said = subprocess.run(
        [sys.executable, "-c", script, path],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=40,
    ).stdout
    assert str(path) in said
    assert "disk" in said
    assert len(Journal(path).entries()) > 1


@pytest.mark.parametrize(
    "damage",
    [
        "payload = '{nojson'",
        "payload = '[]'",
        "files = '5'",
        "files = '[{\"nix\": 1}]'",
        "created = 1e300",
        "created = 'soon'",
        "status = 'weird'",
        "status = 7",
    ],
)
async def test_a_damaged_entry_is_reported_by_all_methods(path: Path, damage: str):
    async with Journal(path) as journal:
        claim = await journal.claim("k", PhotaImage("a cat"))
        await claim.sending()
        await claim.accepted("t", 9.0)
    other = sqlite3.connect(path)
    other.execute(f"UPDATE entries SET {damage}")
    other.commit()
    other.close()
    journal = Journal(path)
    for look in (journal.entries, lambda: journal.find(["k"]), lambda: journal.forget("k")):
        with pytest.raises(ConfigurationError, match=r"key 'k' is damaged") as caught:
            list(look())
        assert str(path) in str(caught.value)
    async with journal:
        with pytest.raises(ConfigurationError, match=r"key 'k' is damaged"):
            await journal.claim("k", PhotaImage("a cat"))
        await (await journal.claim("other", PhotaImage("a dog"))).sending()
