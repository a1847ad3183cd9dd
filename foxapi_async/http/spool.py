"""Inline data of answers: written to temporary files at once, so that no task holds it in memory."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import attrs
from yarl import URL

from foxapi_async._concurrency import ThreadJob, run_in_thread
from foxapi_async.http.outputs import INLINE, absolute, decoded, inline_text, without_inline
from foxapi_async.models import Output, Task

_log = logging.getLogger("foxapi_async.http")


class Spool:
    """The temporary files of a session; each is kept until it was fetched, or the session ends."""

    def __init__(self, base_url: URL) -> None:
        self._base_url = base_url
        self._jobs: dict[str, ThreadJob[Path | None]] = {}
        self._contents: dict[str, int] = {}  # the hash of the text that each job writes
        self._replaced: set[ThreadJob[Path | None]] = set()
        self._folder: Path | None = None
        self._files = 0
        self._lock = threading.Lock()

    def take(self, task: Task) -> tuple[Task, list[ThreadJob[Path | None]]]:
        """Return a task with absolute links and without inline data, and the jobs that write the data."""
        outputs: list[Output] = []
        jobs: list[ThreadJob[Path | None]] = []
        for output in task.outputs:
            text = inline_text(output)
            link = output.url and absolute(output.url, self._base_url)
            if text is not None:
                link = f"{INLINE}{task.id}/{output.index}"
                if link not in self._jobs or self._contents[link] != hash(text):
                    # An earlier answer may have held a preview of this output.
                    self._replace(self._jobs.get(link))
                    self._jobs[link] = ThreadJob(self._write, text, link)
                    self._contents[link] = hash(text)
                    jobs.append(self._jobs[link])
            data = without_inline(output.data)
            outputs.append(attrs.evolve(output, url=link, data=data))
        return attrs.evolve(task, outputs=tuple(outputs), raw=without_inline(task.raw)), jobs

    async def find(self, output: Output) -> Path | None:
        """Return the file with the content of an output, which has some; None if it is gone."""
        link = output.url or ""
        if not link.startswith(INLINE):  # an output that no answer to this session brought
            return await run_in_thread(self._write, inline_text(output) or "", "an output")
        job = self._jobs.get(link)
        path = None if job is None else await job.wait()
        if path is None:
            self._jobs.pop(link, None)
        return path

    async def discard(self, output: Output, path: Path) -> None:
        """Remove the file of an output that was fetched."""
        self._jobs.pop(output.url or "", None)
        await run_in_thread(_remove, path)

    def folder(self) -> Path:
        """Return the folder of the temporary files, which is created if need be. Blocking."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="foxapi-"))
            return self._folder

    async def aclose(self) -> None:
        """Remove everything."""
        jobs, self._jobs = [*self._jobs.values(), *self._replaced], {}
        for job in jobs:
            await job.wait()
        if self._folder is not None:
            await run_in_thread(shutil.rmtree, self._folder, True)  # noqa: FBT003

    def _replace(self, job: ThreadJob[Path | None] | None) -> None:
        def remove() -> None:
            assert job is not None
            self._replaced.discard(job)
            if (path := job.result()) is not None:
                _remove(path)

        if job is not None:
            self._replaced.add(job)
            job.when_done(remove)

    def _write(self, text: str, what: str) -> Path | None:
        path: Path | None = None
        try:
            folder = self.folder()
            with self._lock:
                self._files += 1
                path = folder / str(self._files)
            with path.open("xb") as file:
                for piece in decoded(text):
                    file.write(piece)
        except (OSError, ValueError) as error:
            # The task is completed all the same; a download asks for it again.
            _log.warning("the inline data of %s cannot be decoded or stored: %s", what, error)
            if path is not None:
                _remove(path)
            return None
        return path


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
