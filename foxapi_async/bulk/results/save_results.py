"""Saves the files of completed tasks: fetches only what is missing, and records it in the journal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import anyio
import attrs

from foxapi_async import FoxAPIError, Output, Session, Task, errors
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.results.embedding import STAGING_NAME, publish_with_prompt, without_copy
from foxapi_async.bulk.results.file_names import FileNames
from foxapi_async.bulk.results.run_notes import RunNotes
from foxapi_async.bulk.results.saved_files import files_of, for_journal, is_intact, path_of
from foxapi_async.files.filenames import file_name, numbered, safe_name
from foxapi_async.files.pace import run_with_descriptors
from foxapi_async.files.service import describe
from foxapi_async.files.unsaved import late, no_picture
from foxapi_async.journal.entry import SavedFile
from foxapi_async.journal.protocol import SessionJournal

if TYPE_CHECKING:
    from foxapi_async.bulk.store.job_store import JobStore

_LONGEST_STEM: Final = 140
"""Bytes: together with the index of an output, the name is still short enough to stay as it is."""

_NOTES: Final = 2  # Further errors that are added to the one that is reported


@attrs.frozen
class SavedOutputs:
    """The files of a task that are on disk now; ``error`` if some are not."""

    files: tuple[SavedFile, ...]
    fetched: int = 0
    error: FoxAPIError | None = None


@attrs.frozen
class _Target:
    """Where a file is to be saved: the folder below the directory, and the name without an extension."""

    folder: PurePosixPath
    name: str


@attrs.frozen(eq=False)
class OutputSaver:
    """Saves the outputs of the tasks of a job in a directory; without ``names`` after their keys.

    With ``embed`` pictures get their prompt into their metadata.
    """

    session: Session
    journal: SessionJournal
    directory: Path
    names: FileNames | None
    notes: RunNotes
    embed: bool = False
    store: JobStore | None = None
    """Where the pictures go, if not into the directory."""
    # Each holds a picture in memory.
    _embedding: anyio.Semaphore = attrs.field(factory=lambda: anyio.Semaphore(2), init=False)

    async def save(
        self, line: JobLine, task: Task, *, seconds: float | None = None
    ) -> SavedOutputs:
        """Save the files of a completed task within some seconds, and record them in the journal.

        Intact files of an earlier run or another process are kept; damaged ones are fetched again. A
        file that the journal knows keeps its name.
        """
        if (nothing := no_picture(task, line.request.kind)) is not None:
            return SavedOutputs((), error=nothing)
        try:
            return await self._save(line, task, seconds)
        except errors.DownloadError as unchecked:  # the store does not tell what it has
            unchecked.task_id = task.id
            return SavedOutputs((), error=unchecked)

    async def _save(self, line: JobLine, task: Task, seconds: float | None) -> SavedOutputs:
        outputs = [output for output in task.outputs if output.url is not None]
        intact, targets = await self._prepare(line, task, outputs)
        saved = {output.index: intact[output.index] for output in outputs if output.index in intact}
        kept = len(saved)
        failures: dict[int, FoxAPIError] = {}

        async def save(output: Output) -> None:
            try:
                saved[output.index] = await self._fetch(line, output, targets[output.index])
            except FoxAPIError as error:
                failures[output.index] = error
            except OSError as error:
                text = (
                    f"cannot read a file that was saved in {self.directory}: "
                    f"{error.strerror or error}"
                )
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
            await self.journal.saved(task.id, [for_journal(file) for file in files])
            return SavedOutputs(files, len(saved) - kept)
        error = _error_to_report(task, [failures[index] for index in sorted(failures)])
        return SavedOutputs(files, len(saved) - kept, error)

    async def _fetch(self, line: JobLine, output: Output, target: _Target) -> SavedFile:
        if self.store is not None:
            return await self._fetch_into_store(line, output, target, self.store)
        folder = self.directory / target.folder
        if self.embed and line.request.kind == "image":
            path = await self._fetch_and_embed(line, output, target)
        else:
            (path,) = await self.session.download(output, folder, name=target.name)
            name = file_name(target.name, None, 0, path.suffix[1:], several=False)
            if (wanted := path.with_name(name)) != path:
                task_id = output.task_id or ""
                path = await run_with_descriptors(without_copy, path, wanted, line, task_id)
        file = await run_with_descriptors(describe, path, output.index)
        return attrs.evolve(file, path=str(target.folder / path.name))

    async def _fetch_into_store(
        self, line: JobLine, output: Output, target: _Target, store: JobStore
    ) -> SavedFile:
        staging = self.directory / STAGING_NAME
        if self.embed and line.request.kind == "image":
            unnamed = _Target(
                PurePosixPath(STAGING_NAME), f"{output.task_id}-{output.index}-prompt"
            )
            path = await self._fetch_and_embed(line, output, unnamed)
        else:
            (path,) = await self.session.download(output, staging)
        name = file_name(target.name, None, output.index, path.suffix[1:], several=False)
        what = f"output {output.index} of task {output.task_id}"
        file = await store.save(path, target.folder / name, what)
        return attrs.evolve(file, index=output.index)

    async def _fetch_and_embed(self, line: JobLine, output: Output, target: _Target) -> Path:
        (staged,) = await self.session.download(output, self.directory / STAGING_NAME)
        folder = self.directory / target.folder
        name = file_name(target.name, None, output.index, staged.suffix[1:], several=False)
        async with self._embedding:
            try:
                path, reason = await run_with_descriptors(
                    publish_with_prompt, staged, folder, name, line, output.task_id or ""
                )
            except (OSError, ValueError) as error:
                raise errors.DownloadError(
                    f"output {output.index} of task {output.task_id}: cannot write to {folder}: "
                    f"{getattr(error, 'strerror', None) or error}; the task is paid for and can be "
                    "downloaded again",
                    task_id=output.task_id,
                ) from error
        if reason is not None:
            self.notes.add(f"a prompt was not put into its file: {reason}", line.number)
        return path

    async def _prepare(
        self, line: JobLine, task: Task, outputs: Sequence[Output]
    ) -> tuple[dict[int, SavedFile], dict[int, _Target]]:
        """Return the intact files and the targets of all files, by the index of their output."""
        entry = (await self.journal.lookup([line.key])).get(line.key)
        files = files_of(entry) if entry is not None and entry.task_id == task.id else ()
        if self.store is None:
            kept = await run_with_descriptors(self._intact, files)
        else:
            kept = await self.store.intact(files)
        intact = {
            file.index: file
            for file, is_kept in zip(files, kept, strict=True)
            if is_kept and file.index is not None
        }
        recorded = {file.index: file.path for file in files}
        several = max(len(outputs), line.request.num_outputs) > 1
        targets: dict[int, _Target] = {}
        for output in outputs:
            target = self._target(line, output.index, several=several)
            targets[output.index] = _as_recorded(target, recorded.get(output.index))
        return intact, targets

    def _intact(self, files: Sequence[SavedFile]) -> list[bool]:
        kept = [is_intact(self.directory, file) for file in files]
        for file, is_kept in zip(files, kept, strict=True):
            if not is_kept:
                _rename_damaged(self.directory, file)
        return kept

    def _target(self, line: JobLine, index: int, *, several: bool) -> _Target:
        if self.names is None:
            return _Target(PurePosixPath(), _default_name(line.key, index, several=several))
        name = self.names.name_of(line, index, several=several)
        return _Target(PurePosixPath(*name.folders), name.stem)


def _as_recorded(target: _Target, recorded: str | None) -> _Target:
    """Return the target that leads to a recorded path, whatever pattern the names have now."""
    if recorded is None:
        return target
    path = PurePosixPath(recorded)
    name = file_name(target.name, None, 0, path.suffix[1:], several=False)
    return target if target.folder / name == path else _Target(path.parent, path.stem)


def _rename_damaged(directory: Path, file: SavedFile) -> None:
    # Not deleted: somebody may have edited the picture.
    path = path_of(directory, file)
    with suppress(OSError, ValueError):
        if path.is_file() and not path.is_symlink():
            names = (f"{numbered(path.name, number)}.damaged" for number in count(1))
            path.rename(next(new for name in names if not (new := path.with_name(name)).exists()))


def _default_name(key: str, index: int, *, several: bool) -> str:
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
