"""Saves the files of completed tasks: fetches only what is missing, and records it in the journal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

import anyio
import attrs

from foxapi_async import FoxAPIError, Journal, Output, Session, Task, errors
from foxapi_async.bulk.job_line import JobLine
from foxapi_async.bulk.plan import is_intact, path_of
from foxapi_async.files.filenames import numbered, safe_name
from foxapi_async.files.pace import run_with_descriptors
from foxapi_async.files.service import describe
from foxapi_async.files.unsaved import late, no_picture
from foxapi_async.journal.entry import SavedFile

_LONGEST_STEM: Final = 140
"""Bytes: together with the index of an output, the name is still short enough to stay as it is."""

_NOTES: Final = 2  # Further errors that are added to the one that is reported


@attrs.frozen
class SavedOutputs:
    """The files of a task that are on disk now; ``error`` if some are not."""

    files: tuple[SavedFile, ...]
    fetched: int = 0
    error: FoxAPIError | None = None


async def save_outputs(
    session: Session,
    journal: Journal,
    directory: Path,
    line: JobLine,
    task: Task,
    *,
    seconds: float | None = None,
) -> SavedOutputs:
    """Save the files of a completed task within some seconds, and record them in the journal.

    Intact files of an earlier run or another process are kept; damaged ones are fetched again.
    """
    if (nothing := no_picture(task, line.request.kind)) is not None:
        return SavedOutputs((), error=nothing)
    outputs = [output for output in task.outputs if output.url is not None]
    several = max(len(outputs), line.request.num_outputs) > 1
    intact = await run_with_descriptors(_intact_files, journal, directory, line.key, task.id)
    saved = {output.index: intact[output.index] for output in outputs if output.index in intact}
    kept = len(saved)
    failures: dict[int, FoxAPIError] = {}

    async def save(output: Output) -> None:
        name = _file_name(line.key, output.index, several=several)
        try:
            (path,) = await session.download(output, directory, name=name)
            saved[output.index] = await run_with_descriptors(describe, path, output.index)
        except FoxAPIError as error:
            failures[output.index] = error
        except OSError as error:
            text = f"cannot read a file that was saved in {directory}: {error.strerror or error}"
            failures[output.index] = unreadable = errors.DownloadError(text, task_id=task.id)
            unreadable.__cause__ = error

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for output in outputs:
                if output.index not in saved:
                    group.start_soon(save, output)
    for output in outputs:
        if output.index not in saved and output.index not in failures:
            failures[output.index] = late(task)
    files = tuple(saved[index] for index in sorted(saved))
    if not failures:
        await journal.saved(task.id, files)
        return SavedOutputs(files, len(saved) - kept)
    error = _error_to_report(task, [failures[index] for index in sorted(failures)])
    return SavedOutputs(files, len(saved) - kept, error)


def _intact_files(
    journal: Journal, directory: Path, key: str, task_id: str
) -> dict[int, SavedFile]:
    entry = journal.find([key]).get(key)
    if entry is None or entry.task_id != task_id:
        return {}
    intact: dict[int, SavedFile] = {}
    for file in entry.files:
        if not is_intact(directory, file):
            _rename_damaged(directory, file)
        elif file.index is not None:
            intact[file.index] = file
    return intact


def _rename_damaged(directory: Path, file: SavedFile) -> None:
    # Not deleted: somebody may have edited the picture.
    path = path_of(directory, file)
    with suppress(OSError, ValueError):
        if path.is_file() and not path.is_symlink():
            names = (f"{numbered(path.name, number)}.damaged" for number in count(1))
            path.rename(next(directory / name for name in names if not (directory / name).exists()))


def _file_name(key: str, index: int, *, several: bool) -> str:
    if not several:
        return key
    stem = safe_name(key)
    if len(stem.encode()) > _LONGEST_STEM:
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        stem = safe_name(key[:100] + digest)
    return f"{stem}-{index}"


def _error_to_report(task: Task, failures: Sequence[FoxAPIError]) -> FoxAPIError:
    """Return one error with the others as notes, preferably one that a later run may not have."""
    first = next(
        (error for error in failures if not isinstance(error, errors.OutputExpiredError)),
        failures[0],
    )
    if first.task_id is None:
        first.task_id = task.id
    for other in [error for error in failures if error is not first][:_NOTES]:
        first.add_note(f"also failed: {other}")
    return first
