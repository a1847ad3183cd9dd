"""The main job: submit or pick up tasks, wait for them, and bring their files home."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import attrs

from foxapi_async.cli.exits import Exit, exit_for_outcome, gravest
from foxapi_async.cli.screen import Screen
from foxapi_async.cli.tracks import Track, Tracks
from foxapi_async.cli.words import count, error_json, spoken, task_json
from foxapi_async.errors import FoxAPIError
from foxapi_async.models import Task
from foxapi_async.outcome import Outcome, OutcomeStatus, status_of
from foxapi_async.requests import Request
from foxapi_async.session import Session

__all__ = ["Ending", "Work"]


@attrs.frozen
class Ending:
    """What became of one request or task, files included."""

    status: OutcomeStatus
    task_id: str | None
    task: Task | None
    error: FoxAPIError | None
    code: Exit
    saved: Mapping[int, Path]
    seconds: float | None

    @classmethod
    def of_track(cls, track: Track) -> Ending:
        """Return how a task stands whose end was not waited for."""
        status: OutcomeStatus = "completed"
        if track.error is not None or not track.ended:
            status = "unfinished" if track.unfinished else "failed"
        code = Exit.UNFINISHED if track.unfinished else Exit.OK
        return cls(
            status=status,
            task_id=track.task.id,
            task=track.task,
            error=None,
            code=code,
            saved=dict(track.saved),
            seconds=track.seconds,
        )

    def as_json(self) -> dict[str, object]:
        """Return it for a program."""
        described: dict[str, object] = {"id": self.task_id, "status": self.status}
        if self.task is not None:
            described |= task_json(self.task, self.saved)
        described["seconds"] = None if self.seconds is None else round(self.seconds, 3)
        if self.error is not None:
            described["error"] = error_json(self.error, self.code)
        return described


class Work:
    """Brings tasks home and keeps what became of each.

    Args:
        screen: Where results are printed.
        tracks: What is known of the tasks; it must be told the session's events.
        directory: Where files are saved; None prints their links instead.
    """

    def __init__(self, screen: Screen, tracks: Tracks, directory: Path | None) -> None:
        self._screen = screen
        self._tracks = tracks
        self._directory = directory
        self.endings: list[Ending] = []
        self._complaints: set[str] = set()

    @property
    def code(self) -> Exit:
        """The exit code for all that has ended."""
        return gravest(ending.code for ending in self.endings)

    async def submit(self, session: Session, requests: Sequence[Request]) -> None:
        """Submit requests, wait for their tasks and bring each home as soon as it is completed."""
        async with anyio.create_task_group() as homeward:
            async for outcome in session.map(requests):
                homeward.start_soon(self._bring_home, session, outcome)

    async def attach(self, session: Session, task_ids: Sequence[str]) -> None:
        """Wait for tasks that exist, and bring each home as soon as it is completed."""
        handles = [session.attach(task_id) for task_id in dict.fromkeys(task_ids)]

        async def wait(index: int) -> None:
            handle = handles[index]
            try:
                task = await handle.wait()
            except FoxAPIError as error:
                await self._end(session, status_of(error), handle.latest, error)
            else:
                await self._end(session, "completed", task, None)

        async with anyio.create_task_group() as homeward:
            for index in range(len(handles)):
                homeward.start_soon(wait, index)

    async def _bring_home(self, session: Session, outcome: Outcome) -> None:
        task = outcome.task
        if task is not None and outcome.status == "completed":
            asked = outcome.request.num_outputs
            if len(task.outputs) < asked:
                self._screen.warn(
                    f"task {task.id}: {len(task.outputs)} of {count(asked, 'output')} came"
                )
        await self._end(session, outcome.status, task, outcome.error)

    async def _end(
        self,
        session: Session,
        status: OutcomeStatus,
        task: Task | None,
        error: FoxAPIError | None,
    ) -> None:
        task_id = task.id if task is not None else error.task_id if error is not None else None
        track = None if task_id is None else self._tracks.by_id.get(task_id)
        code = exit_for_outcome(status, error)
        if track is not None and track.is_unknown:
            code = Exit.USAGE
        if error is not None:
            self._complain(error)
        elif task is not None:
            error = await self._save(session, task)
            code = Exit.OK if error is None else Exit.DOWNLOAD
        self.endings.append(
            Ending(
                status=status,
                task_id=task_id,
                task=task,
                error=error,
                code=code,
                saved={} if track is None else dict(track.saved),
                seconds=None if track is None else track.seconds,
            )
        )

    def _complain(self, error: FoxAPIError) -> None:
        # What stops a run (a refused key) ends every request that is left with the same words.
        words = spoken(error)
        if words not in self._complaints:
            self._complaints.add(words)
            self._screen.fail(words)

    async def _save(self, session: Session, task: Task) -> FoxAPIError | None:
        for output in task.outputs:
            if output.url is None:
                self._screen.result(json.dumps(dict(output.data), default=str))
            elif self._directory is None:
                self._screen.result(output.url)
        if self._directory is None or all(output.url is None for output in task.outputs):
            return None
        error: FoxAPIError | None = None
        try:
            await session.download(task, self._directory)
        except FoxAPIError as trouble:
            error = trouble
            self._complain(error)
        track = self._tracks.by_id.get(task.id)
        for _, path in sorted(track.saved.items()) if track is not None else ():
            self._screen.result(str(path))
        return error
