"""The folder of a job in an object store: its pictures, and copies of its reports."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final, Self

import anyio
import attrs

from foxapi_async import ConfigurationError, DownloadError, Journal, Session
from foxapi_async._concurrency import run_in_thread
from foxapi_async.bulk.results.results_file import RESULTS_NAME
from foxapi_async.bulk.results.run_notes import RunNotes
from foxapi_async.bulk.sheet.contact_sheet import SHEET_NAME
from foxapi_async.bulk.sheet.thumbnails import SHEET_FOLDER
from foxapi_async.bulk.table.results_table import TABLE_NAME
from foxapi_async.files.content import Content, Identity
from foxapi_async.files.object_path import ObjectPath
from foxapi_async.files.object_store import ObjectStore, open_store
from foxapi_async.files.pace import run_with_descriptors
from foxapi_async.journal.entry import SavedFile
from foxapi_async.options import Timeout

_CHECKED_AT_ONCE: Final = 32
_COPIED_AT_ONCE: Final = 8

NOTE_NAME: Final = "records.json"
"""The object that says where the records of a job are, and their file of the same content."""

_SHOWN: Final = 500
_PAGES: Final = ("index*.html", f"{SHEET_FOLDER}/data-*.js")


@attrs.frozen(eq=False, repr=False)
class JobStore:
    """The folder of a job in a bucket; its records are in a folder on this machine."""

    place: ObjectPath
    _records: Path
    _store: ObjectStore
    _is_shared: bool

    @classmethod
    def open(cls, place: ObjectPath, records: Path, session: Session) -> Self:
        """Return the store; nothing is sent. Raise ConfigurationError if it cannot be used."""
        # A journal on a server is that of all machines.
        is_shared = not isinstance(session.journal, Journal)
        return cls(place, records, open_store(place, session.retry, Timeout()), is_shared)

    async def begin(self) -> None:
        """Check that the store can be written, and that no other records belong to it.

        So a job whose records are on another machine is not paid for again. Results that only the store
        has are fetched.

        Raises:
            ConfigurationError: The store or the folder of the records cannot be used, or the job was run
                with other records.
        """
        results, copy = self._records / RESULTS_NAME, self.place / RESULTS_NAME
        store = attrs.evolve(self._store, advice="nothing was sent")
        try:
            await run_in_thread(partial(self._records.mkdir, parents=True, exist_ok=True))
            if not await run_in_thread(results.exists):
                part = results.with_name(f".{RESULTS_NAME}.{secrets.token_hex(6)}.part")
                try:
                    if await store.fetch(copy, part, "the results of earlier runs"):
                        await run_in_thread(part.replace, results)
                finally:
                    await run_in_thread(_remove, part)
            # Also shows whether the store can be written before anything is paid for.
            note = await run_in_thread(_note_of, self._records)
            if not await store.ensure(self.place / NOTE_NAME, note, "the note on the records"):
                await self._check_owner(store, note)
        except DownloadError as error:
            raise ConfigurationError(str(error)) from None
        except OSError as error:
            raise ConfigurationError(
                f"the records of the job cannot be kept in {self._records}: "
                f"{error.strerror or error}; choose another folder for them; nothing was sent"
            ) from error

    async def _check_owner(self, store: ObjectStore, note: Content) -> None:
        path = self.place / NOTE_NAME
        if self._is_shared or await store.has(path, note.identity, "the note on the records"):
            return
        part = self._records / f".{NOTE_NAME}.{secrets.token_hex(6)}.part"
        try:
            is_read = await store.fetch(path, part, "the note on the records")
            text = await run_in_thread(part.read_bytes) if is_read else b""
        finally:
            await run_in_thread(_remove, part)
        shown = "".join(c for c in text.decode(errors="replace")[:_SHOWN] if c.isprintable())
        raise ConfigurationError(
            f"{self.place} belongs to a job whose journal and results are elsewhere ({shown}), and not "
            f"in {self._records}: this run might pay again for what that job has paid for. Run it there, or "
            "copy that folder to this machine and name it with --records. If it is lost, choose another "
            f"place for the pictures, or remove {path}; nothing was sent"
        )

    async def intact(self, files: Sequence[SavedFile]) -> list[bool]:
        """Return which files the store has with their recorded content.

        Raises:
            DownloadError: The store does not tell.
        """
        found = [False] * len(files)
        slots = anyio.Semaphore(_CHECKED_AT_ONCE)
        errors: list[DownloadError] = []

        async def check(index: int, file: SavedFile) -> None:
            async with slots:
                if errors:
                    return
                wanted = Identity(file.size, file.sha256)
                try:
                    found[index] = await self._store.has(
                        self.place / file.path, wanted, f"the saved file {file.path}"
                    )
                except DownloadError as error:
                    errors.append(error)

        async with anyio.create_task_group() as group:
            for index, file in enumerate(files):
                group.start_soon(check, index, file)
        if errors:
            raise errors[0]
        return found

    async def save(self, path: Path, target: PurePosixPath, what: str) -> SavedFile:
        """Move a file of this machine to a path below the place, or one like it that is free."""
        try:
            content = await run_with_descriptors(Content.of_file, path)
            saved = await self._store.create(self.place / target.parent, target.name, content, what)
        finally:
            # Also after a failure: the next run fetches it again.
            await run_in_thread(_remove, path)
        identity = content.identity
        return SavedFile(str(target.parent / saved.name), identity.size, identity.sha256)

    async def copy_reports(self, notes: RunNotes) -> None:
        """Copy results, table and contact sheet to the store, where they replace older copies."""
        store = attrs.evolve(
            self._store, advice=f"it is in {self._records}; the next run copies it"
        )
        paths = await run_in_thread(list, self._reports())
        slots = anyio.Semaphore(_COPIED_AT_ONCE)
        failed: list[str] = []

        async def copy(path: Path) -> None:
            async with slots:
                if failed:
                    return
                name = path.relative_to(self._records)
                try:
                    content = await run_with_descriptors(Content.of_file, path)
                    await store.replace(self.place.joinpath(*name.parts), content, str(name))
                except (DownloadError, OSError) as error:
                    failed.append(f"not all reports were copied to {self.place}: {error}")

        async with anyio.create_task_group() as group:
            for path in paths:
                group.start_soon(copy, path)
        for text in failed[:1]:
            notes.add(text)

    def _reports(self) -> Iterator[Path]:
        names: Iterable[Path] = (self._records / name for name in (RESULTS_NAME, TABLE_NAME))
        yield from (path for path in names if path.is_file())
        if (self._records / SHEET_NAME).is_file():
            for pattern in _PAGES:
                yield from self._records.glob(pattern)


def _note_of(records: Path) -> Content:
    """Return what tells these records from others; it is written into the folder at first."""
    path = records / NOTE_NAME
    facts = {"id": secrets.token_hex(8), "host": socket.gethostname(), "folder": str(records)}
    with suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
        json.dump(facts, file)
    return Content.of_file(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
