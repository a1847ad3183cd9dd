"""Results onto disk and into memory: which outputs, under which names, how many at once."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import attrs

from foxapi_async.errors import (
    APIConnectionError,
    APIStatusError,
    DownloadError,
    InvalidResponseError,
    NotFoundError,
    OutputExpiredError,
)
from foxapi_async.events import Downloaded, DownloadProgress, EventEmitter
from foxapi_async.files.fetch import Fetch, LinkRefusedError
from foxapi_async.files.filenames import file_name
from foxapi_async.files.sinks import DiskSink, MemorySink, Sink
from foxapi_async.http.transport import Transport
from foxapi_async.models import Output, Task
from foxapi_async.options import Retry

__all__ = ["LARGEST_FILE", "LARGEST_IN_MEMORY", "DownloadCounters", "Downloads"]

LARGEST_FILE: Final = 2 * 1024**3
"""Bytes of a file that is saved at most."""

LARGEST_IN_MEMORY: Final = 256 * 1024**2
"""Bytes of a file that is read into memory at most."""

_log = logging.getLogger("foxapi_async.files")


@attrs.define
class DownloadCounters:
    """What has been fetched so far; ``resumed`` counts parts, ``repeated`` tries after the first."""

    files: int = 0
    bytes: int = 0
    failed: int = 0
    repeated: int = 0
    resumed: int = 0
    links_renewed: int = 0


class Downloads:
    """Fetches outputs.

    Args:
        transport: What opens links.
        retry: Tries without progress, and the pauses between them.
        announce: Takes `DownloadProgress` and `Downloaded`.
        at_once: Files that are fetched at once.
        refresh: Asks for a task again, for the sake of fresh links.
        dice: Gives the jitter of pauses, in [0, 1].
    """

    def __init__(
        self,
        transport: Transport,
        *,
        retry: Retry,
        announce: EventEmitter,
        at_once: int,
        refresh: Callable[[str], Awaitable[Task]],
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.tally: DownloadCounters = DownloadCounters()
        self._transport = transport
        self._retry = retry
        self._announce = announce
        self._places = anyio.Semaphore(at_once, fast_acquire=True)
        # A disk may take longer to keep a file than the network to bring it. So the next file comes
        # while the one before it settles, but no more of them wait for the disk than are fetched.
        self._unsettled = anyio.Semaphore(2 * at_once, fast_acquire=True)
        self._refresh = refresh
        self._dice = dice

    async def save(
        self,
        task_or_output: Task | Output,
        directory: str | os.PathLike[str],
        *,
        name: str | None = None,
    ) -> list[Path]:
        """Save the files of a task, or one of them, and return their paths in the order of outputs.

        A file appears under its name only when it is whole, and never takes the place of another:
        if the name is taken by the same bytes it is left as it is, else ``name~2.png`` is used.

        Args:
            task_or_output: A completed task, or one output of it. Outputs of a task that are not
                files are passed over.
            directory: The folder; it is made if it is not there.
            name: What to call the file, without extension; ``<name>-<index>`` if there are several.
                None for ``<task_id>-<index>``. Characters that are not safe are replaced.

        Raises:
            OutputExpiredError: A link has expired and the server gave no other.
            DownloadError: There is no file, one could not be fetched whole, or the folder cannot be
                written to. The other outputs are saved first; they are in ``paths``.
        """
        outputs = _files_of(task_or_output)
        several = len(outputs) > 1
        links = _FreshLinks(self._ask_again)
        folder = Path(directory)

        async def save(output: Output) -> Path:
            called = partial(file_name, name, output.task_id, output.index, several=several)
            return await self._save(output, folder, called, links)

        return await _all_of(save, outputs)

    async def read(self, output: Output) -> bytes:
        """Return the bytes of an output, at most 256 MiB.

        Raises:
            OutputExpiredError: The link has expired and the server gave no other.
            DownloadError: It is not a file, or could not be fetched whole.
        """
        _files_of(output)
        sink = MemorySink()
        async with self._places:
            await self._fetch(output, sink, LARGEST_IN_MEMORY, _FreshLinks(self._ask_again))
        return sink.content()

    async def _save(
        self, output: Output, folder: Path, called: Callable[[str], str], links: _FreshLinks
    ) -> Path:
        async with self._unsettled, DiskSink(folder, called("")) as sink:
            try:
                async with self._places:
                    fetched = await self._fetch(output, sink, LARGEST_FILE, links)
                path = await sink.publish(called(fetched.extension))
            except DownloadError as error:
                error.task_id = output.task_id
                raise
        _log.info("%s: %s, %d bytes", _words(output), path, fetched.received)
        self._announce(Downloaded(output, path, fetched.received))
        return path

    async def _fetch(self, output: Output, sink: Sink, limit: int, links: _FreshLinks) -> Fetch:
        def progress(received: int, total: int | None) -> None:
            if self._announce:
                self._announce(DownloadProgress(output, received, total))

        fetch = Fetch(
            self._transport,
            sink,
            self._retry,
            limit,
            output.kind,
            _words(output),
            progress,
            self._dice,
        )
        try:
            await self._by_link(fetch, output, links)
        except DownloadError as error:
            error.task_id = output.task_id
            self.tally.failed += 1
            raise
        finally:
            self.tally.repeated += max(fetch.tries - 1, 0)
            self.tally.resumed += fetch.resumed
        self.tally.files += 1
        self.tally.bytes += fetch.received
        return fetch

    async def _by_link(self, fetch: Fetch, output: Output, links: _FreshLinks) -> None:
        assert output.url is not None
        try:
            await fetch.run(output.url)
        except LinkRefusedError as refused:
            link = await links.of(output, refused)
            self.tally.links_renewed += 1
            try:
                await fetch.run(link)
            except LinkRefusedError as again:
                raise _expired(output, f"{again}, a fresh one too") from None

    async def _ask_again(self, output: Output, refused: LinkRefusedError) -> Task:
        if output.task_id is None:
            raise _expired(output, f"{refused}, and its task is not known") from None
        try:
            return await self._refresh(output.task_id)
        except NotFoundError as error:
            raise _expired(output, f"{refused}, and the task is gone") from error
        except (APIConnectionError, APIStatusError, InvalidResponseError) as error:
            raise DownloadError(
                f"{_words(output)}: {refused}, and the task could not be asked for a fresh one "
                f"({error}); try again later"
            ) from error


class _FreshLinks:
    """Asks a task for its links again, once for all outputs that want one."""

    def __init__(self, ask: Callable[[Output, LinkRefusedError], Awaitable[Task]]) -> None:
        self._ask = ask
        self._lock = anyio.Lock()
        self._task: Task | None = None

    async def of(self, output: Output, refused: LinkRefusedError) -> str:
        """Return another link of an output.

        Raises:
            OutputExpiredError: There is none.
        """
        async with self._lock:
            if self._task is None:
                self._task = await self._ask(output, refused)
        for fresh in self._task.outputs:
            if fresh.index == output.index and fresh.url is not None:
                return fresh.url
        raise _expired(output, f"{refused}, and the task has no other")


async def _all_of(
    save: Callable[[Output], Awaitable[Path]], outputs: tuple[Output, ...]
) -> list[Path]:
    if len(outputs) == 1:
        return [await save(output) for output in outputs]
    paths: dict[int, Path] = {}
    errors: dict[int, Exception] = {}

    async def one(place: int, output: Output) -> None:
        try:
            paths[place] = await save(output)
        except Exception as error:  # noqa: BLE001 - raised below, once the others are on disk
            errors[place] = error

    async with anyio.create_task_group() as group:
        for place, output in enumerate(outputs):
            group.start_soon(one, place, output)
    saved = [paths[place] for place in sorted(paths)]
    if not errors:
        return saved
    first = errors[min(errors)]
    if isinstance(first, DownloadError):
        first.paths = tuple(saved)
    for place in sorted(errors)[1:]:
        first.add_note(f"as well: {errors[place]}")
    raise first


def _files_of(what: Task | Output) -> tuple[Output, ...]:
    if isinstance(what, Output):
        if what.url is None:
            said = ", ".join(f"{name}={value!r}" for name, value in what.data.items()) or "nothing"
            raise DownloadError(
                f"{_words(what)} is not a file and has no link; it says: {said[:200]}",
                task_id=what.task_id,
            )
        return (what,)
    files = tuple(output for output in what.outputs if output.url is not None)
    if not files:
        if what.outputs:
            return _files_of(what.outputs[0])
        raise DownloadError(
            f"task {what.id} is {what.status.value} and has no outputs to fetch", task_id=what.id
        )
    return files


def _words(output: Output) -> str:
    of_task = f" of task {output.task_id}" if output.task_id is not None else ""
    return f"output {output.index}{of_task}"


def _expired(output: Output, why: str) -> OutputExpiredError:
    return OutputExpiredError(
        f"{_words(output)}: {why}; links hold for a day after the task was completed, "
        "so only a new (billed) task brings the file back",
        task_id=output.task_id,
    )
