"""Bringing a completed task home: only the files that are not there, and the journal last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import attrs

from foxapi_async._concurrency import run_in_thread
from foxapi_async.bulk.job import JobLine
from foxapi_async.bulk.shelf import is_whole, name_for, set_aside
from foxapi_async.errors import DownloadError, FoxAPIError, OutputExpiredError
from foxapi_async.files.service import describe
from foxapi_async.journal import Entry, Journal, SavedFile
from foxapi_async.models import Output, Task
from foxapi_async.session import Session

__all__ = ["Home", "bring_home"]


@attrs.frozen
class Home:
    """The files of a task that are on disk now; ``error`` if some are not."""

    files: tuple[SavedFile, ...]
    fetched: int = 0
    error: FoxAPIError | None = None


async def bring_home(
    session: Session, journal: Journal, directory: Path, line: JobLine, task: Task
) -> Home:
    """Save the files of a completed task and record them in the journal.

    What an earlier run or another process has saved whole is left as it is; what is damaged is set
    aside and fetched again.

    Raises:
        ConfigurationError: The journal cannot be written; the files are on disk.
    """
    outputs = [output for output in task.outputs if output.url is not None]
    several = max(len(outputs), line.request.num_outputs) > 1
    known = await run_in_thread(_known, journal, directory, line.key, task.id)
    saved: dict[int, SavedFile] = {}
    errors: dict[int, FoxAPIError] = {}
    fetched = 0

    async def save(output: Output) -> None:
        nonlocal fetched
        if (file := known.get(output.index)) is not None:
            saved[output.index] = file
            return
        name = name_for(line.key, output.index, several=several)
        try:
            (path,) = await session.download(output, directory, name=name)
            saved[output.index] = await run_in_thread(describe, path, output.index)
            fetched += 1
        except FoxAPIError as error:
            errors[output.index] = error
        except OSError as error:
            errors[output.index] = unreadable = DownloadError(
                f"cannot read what was saved in {directory}: {error.strerror or error}",
                task_id=task.id,
            )
            unreadable.__cause__ = error

    async with anyio.create_task_group() as group:
        for output in outputs:
            group.start_soon(save, output)
    files = tuple(saved[index] for index in sorted(saved))
    if errors:
        return Home(files, fetched, _gravest(task, [errors[index] for index in sorted(errors)]))
    await journal.saved(task.id, files)
    return Home(files, fetched)


def _known(journal: Journal, directory: Path, key: str, task_id: str) -> dict[int, SavedFile]:
    """Return the files of a task that are whole on disk, by the index of the output."""
    entry: Entry | None = journal.find([key]).get(key)
    if entry is None or entry.task_id != task_id:
        return {}
    whole: dict[int, SavedFile] = {}
    for file in entry.files:
        if not is_whole(directory, file):
            set_aside(directory, file)
        elif file.index is not None:
            whole[file.index] = file
    return whole


_MOST_WORDS: Final = 3


def _gravest(task: Task, errors: Sequence[FoxAPIError]) -> FoxAPIError:
    """Return the error to report: one that a later run may mend, if there is one."""
    mendable = [error for error in errors if not isinstance(error, OutputExpiredError)]
    first = (mendable or errors)[0]
    if first.task_id is None:
        first.task_id = task.id
    for other in errors[:_MOST_WORDS]:
        if other is not first:
            first.add_note(f"as well: {other}")
    return first
