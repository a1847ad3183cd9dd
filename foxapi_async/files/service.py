"""The files of a session: saves and reads outputs, stores input files, tells the journal."""

from __future__ import annotations

import copy
import hashlib
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from foxapi_async._concurrency import run_in_thread
from foxapi_async.api import Api
from foxapi_async.errors import (
    APIConnectionError,
    APIStatusError,
    ConfigurationError,
    DownloadError,
    InvalidResponseError,
    NotFoundError,
    OutputExpiredError,
)
from foxapi_async.events import Downloaded, DownloadProgress, EventEmitter
from foxapi_async.files.content import Identity
from foxapi_async.files.fetch import Fetch, LinkRefusedError
from foxapi_async.files.filenames import file_name
from foxapi_async.files.object_path import ObjectPath, destination
from foxapi_async.files.object_store import ObjectStore, open_store
from foxapi_async.files.pace import run_with_descriptors
from foxapi_async.files.partfile import DiskSink, MemorySink, Sink
from foxapi_async.files.upload import upload_file
from foxapi_async.http.outputs import is_inline
from foxapi_async.http.transport import Transport
from foxapi_async.models import Output, Task, UploadedFile, safe_repr
from foxapi_async.options import Retry

if TYPE_CHECKING:
    from foxapi_async.journal import SavedFile, SessionJournal

MAX_FILE: Final = 2 * 1024**3
"""Bytes of a file on disk."""

MAX_IN_MEMORY: Final = 256 * 1024**2
"""Bytes of a file in memory."""

_log = logging.getLogger("foxapi_async.files")


class FileService:
    """Saves, reads and uploads files, of which at most ``max_downloads`` are fetched at once."""

    def __init__(
        self,
        transport: Transport,
        api: Api,
        *,
        retry: Retry,
        events: EventEmitter,
        max_downloads: int,
        journal: SessionJournal | None,
    ) -> None:
        self._fetched: list[int] = [0, 0]  # files and bytes, of this one and of its copies
        self._transport = transport
        self._api = api
        self._retry = retry
        self._events = events
        self._journal = journal
        self._fetching = anyio.Semaphore(max_downloads, fast_acquire=True)
        # A disk may be slower than the network. So the next file is fetched while one is synced, but
        # at most as many files wait for the disk as are fetched.
        self._syncing = anyio.Semaphore(max_downloads, fast_acquire=True)
        self._stores: dict[tuple[str, str], ObjectStore] = {}

    def with_options(self, transport: Transport, api: Api, retry: Retry) -> FileService:
        """Return the same service with another transport and other retries; the rest is shared."""
        other = copy.copy(self)
        other._transport, other._api, other._retry = transport, api, retry  # noqa: SLF001
        return other

    @property
    def downloads(self) -> int:
        """How many files were fetched whole."""
        return self._fetched[0]

    @property
    def bytes_downloaded(self) -> int:
        """How many bytes these files have."""
        return self._fetched[1]

    async def save(
        self, what: Task | Output, directory: str | os.PathLike[str], name: str | None = None
    ) -> list[Path]:
        """Save a task's files, which the journal records, or one output; see `Session.download`."""
        outputs = _files_of(what)
        with _task_named(outputs[0]):
            folder = destination(directory)
            if isinstance(folder, ObjectPath):
                await self._store(folder)  # before anything is fetched
        links = _FreshLinks(self._api)
        files: dict[int, _Saved] = {}
        errors: dict[int, Exception] = {}

        async def save(place: int, output: Output) -> None:
            # One output that fails must not cancel the others: they are paid for as well.
            try:
                with _task_named(output):
                    files[place] = await self._save(output, folder, name, len(outputs) > 1, links)
            except Exception as error:  # noqa: BLE001 - raised below, when the others are on disk
                errors[place] = error

        async with anyio.create_task_group() as group:
            for place, output in enumerate(outputs):
                group.start_soon(save, place, output)
        saved = [files[place] for place in sorted(files)]
        paths = [each.path for each in saved]
        if errors:
            first, *others = (errors[place] for place in sorted(errors))
            if isinstance(first, DownloadError):
                first.paths = tuple(paths)
            for other in others:
                first.add_note(f"also failed: {other}")
            raise first
        if self._journal is not None and isinstance(what, Task):
            await self._record(self._journal, what.id, outputs, saved)
        return paths

    async def read(self, output: Output) -> bytes:
        """Return the bytes of an output; see `Session.read`."""
        _files_of(output)
        sink = MemorySink()
        with _task_named(output):
            await self._fetch(output, sink, MAX_IN_MEMORY, _FreshLinks(self._api))
        return bytes(sink.content)

    async def upload(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        *,
        filename: str | None = None,
        auto_cleanup: bool = True,
    ) -> UploadedFile:
        """Store an input file at the server; see `Session.upload`."""
        return await upload_file(
            self._transport, self._api, path_or_bytes, filename, auto_cleanup=auto_cleanup
        )

    async def _store(self, place: ObjectPath) -> ObjectStore:
        bucket = (place.scheme, place.bucket)
        if bucket not in self._stores:
            timeout = self._transport.timeout
            self._stores[bucket] = await run_in_thread(open_store, place, self._retry, timeout)
        return self._stores[bucket]

    async def _save(
        self,
        output: Output,
        folder: Path,
        name: str | None,
        several: bool,  # noqa: FBT001
        links: _FreshLinks,
    ) -> _Saved:
        hint, what = name or output.task_id or "output", _words(output)
        store = await self._store(folder) if isinstance(folder, ObjectPath) else None
        # A store gets a file at once when it is complete. Until then the file is on disk.
        place = folder if store is None else await self._spool_folder(what)
        async with DiskSink(place, hint, what, self._syncing) as sink:
            fetch = await self._fetch(output, sink, MAX_FILE, links)
            final = file_name(name, output.task_id, output.index, fetch.extension, several=several)
            if store is None:
                saved = _Saved(await sink.publish(final))
            else:
                content = await sink.content()
                path = await store.create(ObjectPath(folder), final, content, what)
                saved = _Saved(path, content.identity)
        _log.info(
            "%s: %s, %d bytes", what, saved.path, fetch.received, extra={"task_id": output.task_id}
        )
        self._events.emit(Downloaded(output, saved.path, fetch.received))
        return saved

    async def _spool_folder(self, what: str) -> Path:
        try:
            return await run_with_descriptors(self._api.spool.folder)
        except OSError as error:
            raise DownloadError(
                f"{what}: cannot create a temporary folder: {error.strerror or error}; set TMPDIR to "
                "another one; the task is paid for and can be downloaded again"
            ) from error

    async def _fetch(self, output: Output, sink: Sink, limit: int, links: _FreshLinks) -> Fetch:
        def on_progress(received: int, total: int | None) -> None:
            if self._events.has_listener:
                self._events.emit(DownloadProgress(output, received, total))

        fetch = Fetch(
            self._transport,
            sink,
            self._fetching,
            self._retry,
            limit,
            output.kind,
            _words(output),
            on_progress,
        )
        # A CDN answers 403 or 404 to an expired link. A new link is tried once: if that is refused
        # too, the file itself is gone. What was received of the same file is kept.
        try:
            await self._run(fetch, output)
        except LinkRefusedError as refused:
            fresh = await links.of(output, refused)
            try:
                await self._run(fetch, fresh)
            except LinkRefusedError as again:
                if is_inline(fresh):
                    raise DownloadError(
                        f"{_words(output)}: what the server sent inline cannot be decoded or stored, "
                        "as the log says; the task is paid for and can be downloaded again"
                    ) from None
                raise _expired(output, f"{again}, and so was a new one") from None
        self._fetched[0] += 1
        self._fetched[1] += fetch.received
        return fetch

    async def _run(self, fetch: Fetch, output: Output) -> None:
        if output.url is not None and not is_inline(output):
            await fetch.run(output.url)
            return
        path = await self._api.spool.find(output)
        if path is None:
            raise LinkRefusedError("what the server sent inline is not here")
        try:
            await fetch.copy(path)
        except FileNotFoundError:  # another download of it has just ended
            raise LinkRefusedError("what the server sent inline was fetched already") from None
        await self._api.spool.discard(output, path)

    async def _record(
        self,
        journal: SessionJournal,
        task_id: str,
        outputs: tuple[Output, ...],
        saved: list[_Saved],
    ) -> None:
        from foxapi_async.journal.entry import SavedFile  # noqa: PLC0415 - there is a journal

        files: list[SavedFile] = []
        # All or none: the journal counts a task with recorded files as saved.
        for (path, stored), output in zip(saved, outputs, strict=True):
            if stored is not None:
                files.append(SavedFile(str(path), stored.size, stored.sha256, output.index))
                continue
            try:
                files.append(await run_with_descriptors(describe, path, output.index))
            except OSError as error:
                raise DownloadError(
                    f"task {task_id}: {path} was saved, but could not be read to record it in the "
                    f"journal: {error.strerror or error}; if it was moved or removed, download the "
                    "task again, which bills nothing",
                    task_id=task_id,
                    paths=tuple(other.path for other in saved if other.path != path),
                ) from error
        await journal.saved(task_id, files)


class _Saved(NamedTuple):
    """A file of an output, and what identifies the content of an object in a store."""

    path: Path
    stored: Identity | None = None


def describe(path: Path, index: int | None = None) -> SavedFile:
    """Return path, size and SHA-256 of a file; blocking, in bounded memory; raise `OSError` if it is unreadable."""
    # The caller has a journal, which has loaded this module; sessions without one do not need it.
    from foxapi_async.journal.entry import SavedFile  # noqa: PLC0415

    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return SavedFile(str(path), file.tell(), sha256, index)


class _FreshLinks:
    """Retrieves a task for new links, once for all of its outputs."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = anyio.Lock()
        self._task: Task | None = None

    async def of(self, output: Output, refused: LinkRefusedError) -> Output:
        if output.task_id is None:
            raise _expired(output, f"{refused}, and its task is not known") from None
        try:
            # The links of one task expire together; the first output that notices asks for all.
            async with self._lock:
                if self._task is None:
                    self._task = await self._api.retrieve(output.task_id)
        except NotFoundError as error:
            raise _expired(output, f"{refused}, and the server has no such task") from error
        except (APIConnectionError, APIStatusError, InvalidResponseError) as error:
            raise DownloadError(
                f"{_words(output)}: {refused}, and the task could not be retrieved for a new one "
                f"({error}); try again later"
            ) from error
        for fresh in self._task.outputs:
            if fresh.index == output.index and fresh.url is not None:
                return fresh
        raise _expired(output, f"{refused}, and the task has no other")


def _files_of(what: Task | Output) -> tuple[Output, ...]:
    if isinstance(what, Task) and not what.outputs:
        raise DownloadError(
            f"task {what.id} is {what.status.value} and has no outputs to download", task_id=what.id
        )
    outputs = (what,) if isinstance(what, Output) else what.outputs
    files = tuple(each for each in outputs if each.url is not None or is_inline(each))
    if not files:
        first = outputs[0]
        data = (
            ", ".join(f"{name}={safe_repr(value)}" for name, value in first.data.items())
            or "no data"
        )
        raise DownloadError(
            f"{_words(first)} is not a file and has no link; it holds: {data[:200]}",
            task_id=first.task_id,
        )
    return files


@contextmanager
def _task_named(output: Output) -> Generator[None, None, None]:
    try:
        yield
    except (DownloadError, ConfigurationError) as error:
        error.task_id = output.task_id
        raise


def _words(output: Output) -> str:
    of_task = f" of task {output.task_id}" if output.task_id is not None else ""
    return f"output {output.index}{of_task}"


def _expired(output: Output, why: str) -> OutputExpiredError:
    return OutputExpiredError(
        f"{_words(output)}: {why}; links are valid for a day after the task has completed, "
        "so only a new (billed) task brings the file back"
    )
