"""Saves the files of tasks on behalf of activities, as a run of a job does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import anyio

from foxapi_async import Journal, Request, Session, Task
from foxapi_async._concurrency import run_in_thread
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.record.task_locks import LOCK_NAME, TaskLocks
from foxapi_async.bulk.results.run_notes import RunNotes
from foxapi_async.bulk.results.save_results import OutputSaver
from foxapi_async.errors import ConfigurationError, InvalidRequestError
from foxapi_async.files.object_path import ObjectPath, destination
from foxapi_async.files.unsaved import no_picture
from foxapi_async.http.outputs import is_inline
from foxapi_async.journal.protocol import SessionJournal


class ResultFiles:
    """Saves the files of completed tasks; ``directory`` is where those go that name none."""

    def __init__(self, session: Session, journal: SessionJournal, directory: Path | None) -> None:
        self._session = session
        # The methods that saving needs are in the protocol.
        self._journal = cast("Journal", journal)
        self._directory = directory

    def directory_for(self, wanted: str | None) -> Path | None:
        """Return where files go whose generation wants this directory; None to save nothing.

        Raises:
            InvalidRequestError: A relative path, and the worker has no directory; or a wrong URL.
        """
        if wanted is None:
            return self._directory
        try:
            path = destination(wanted)
        except ConfigurationError as error:
            raise InvalidRequestError(str(error), field="directory", value=wanted) from error
        if isinstance(path, ObjectPath) or path.is_absolute():
            return path
        if self._directory is None:
            raise InvalidRequestError(
                f"the directory {wanted!r} is relative, and the worker has no directory of its own; "
                "give an absolute path, or start the worker with -o DIR",
                field="directory",
                value=wanted,
            )
        return self._directory / path

    async def save(self, directory: Path, key: str, request: Request, task: Task) -> list[str]:
        """Save the files of a task, and return their paths below the directory; what is intact is kept.

        Two workers that share the directory never fetch the files of one task at once.

        Raises:
            DownloadError: Not all files could be saved.
            ConfigurationError: The directory cannot be used.
        """
        if (nothing := no_picture(task, request.kind)) is not None:
            raise nothing
        if not any(output.url is not None or is_inline(output) for output in task.outputs):
            return []
        if isinstance(directory, ObjectPath):
            return [path.name for path in await self._session.download(task, directory, name=key)]
        async with _locked(directory, task.id):
            saver = OutputSaver(self._session, self._journal, directory, None, RunNotes())
            saved = await saver.save(JobLine(1, key, request), task)
        if saved.error is not None:
            raise saved.error
        return [file.path for file in saved.files]


@asynccontextmanager
async def _locked(directory: Path, task_id: str) -> AsyncGenerator[None, None]:
    locks: TaskLocks | None = None
    with anyio.CancelScope(shield=True):  # a file that is opened must be closed
        locks = await run_in_thread(_open, directory)
    assert locks is not None
    try:
        async with locks.held(task_id):
            yield
    finally:
        locks.close()


def _open(directory: Path) -> TaskLocks:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a name that this locale cannot encode
        raise ConfigurationError(
            f"cannot save files in {directory}: {getattr(error, 'strerror', None) or error}"
        ) from error
    return TaskLocks(directory / LOCK_NAME)
