"""Run a job in a session and report what came of it, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import attrs

from foxapi_async.cli import interrupt
from foxapi_async.cli.command import Setup, progress
from foxapi_async.cli.exits import Exit, exit_for
from foxapi_async.cli.tracks import Tracks
from foxapi_async.cli.words import continuing, count, spoken
from foxapi_async.cli.work import Ending, Work
from foxapi_async.errors import FoxAPIError
from foxapi_async.options import Limits, Polling
from foxapi_async.session import Session
from foxapi_async.statistics import Statistics

__all__ = ["carry_out"]


def carry_out(
    setup: Setup,
    job: Callable[[Work, Session], Coroutine[Any, Any, None]],
    *,
    directory: Path | None,
    limits: Limits | None = None,
    polling: Polling | None = None,
) -> Exit:
    """Run a job in a session, with progress, and report what came of it.

    Args:
        setup: The options that all commands share.
        job: What is to be done in the session.
        directory: Where files are saved; None prints their links instead.
        limits: What may happen at once, and in all.
        polling: How long to wait.

    Raises:
        ConfigurationError: No key, or an option that cannot work; nothing was sent.
    """
    tracks = Tracks()
    with progress(setup.screen, tracks) as note:
        session = setup.session(limits=limits, polling=polling, on_event=note)
        run = _Run(setup, session, tracks, Work(setup.screen, tracks, directory), directory)
        code = run.to_its_end(job)
    code = code or run.work.code
    run.say_how_to_go_on()
    run.report(code)
    return code


@attrs.define(eq=False)
class _Run:
    setup: Setup
    session: Session
    tracks: Tracks
    work: Work
    directory: Path | None
    billed: Statistics | None = None

    def to_its_end(self, job: Callable[[Work, Session], Coroutine[Any, Any, None]]) -> Exit:
        async def main() -> None:
            try:
                async with self.session:
                    await job(self.work, self.session)
            finally:
                self.billed = self.session.statistics()

        try:
            interrupt.run(main(), on_first=self._interrupted, on_second=self._leave)
        except interrupt.Interrupted as signal:
            return signal.code
        except FoxAPIError as error:
            self.setup.screen.fail(spoken(error))
            return exit_for(error)
        except BaseException:
            # A fault of ours: what is paid for is named all the same.
            self.say_how_to_go_on()
            raise
        return Exit.OK

    def _interrupted(self) -> None:
        posts = len(self.tracks.posts)
        finishing = f"; finishing {count(posts, 'submission')} under way" if posts else ""
        self.setup.screen.warn(f"interrupted{finishing}")

    def _leave(self) -> None:
        self.setup.screen.leave()
        self.say_how_to_go_on()

    def say_how_to_go_on(self) -> None:
        screen = self.setup.screen
        if ids := self.tracks.open_ids(saving=self.directory is not None):
            screen.warn(
                f"{count(len(ids), 'task')} paid for and not brought home; to go on:\n"
                f"  {continuing(ids, self.directory, self.setup.options())}"
            )
        if posts := self.tracks.posts:
            outputs = sum(request.num_outputs for request in posts)
            screen.warn(
                f"{count(len(posts), 'submission')} cut off: {count(outputs, 'output')} may have "
                "been billed, and the task ids are not known"
            )

    def report(self, code: Exit) -> None:
        billed = self.billed
        if billed is None:
            return
        credits_reserved = self._credits()
        if billed.submitted:
            said = "" if credits_reserved is None else f", {credits_reserved:,} credits reserved"
            self.setup.screen.say(f"billed: {count(billed.images_billed, 'output')}{said}")
        if billed.images_unknown:
            self.setup.screen.warn(
                f"perhaps billed as well: {count(billed.images_unknown, 'output')}"
            )
        self.setup.screen.document(
            {
                "tasks": [ending.as_json() for ending in self._endings()],
                "billed": {
                    "outputs": billed.images_billed,
                    "outputs_unknown": billed.images_unknown,
                    "credits_reserved": credits_reserved,
                },
                "open": self.tracks.open_ids(saving=self.directory is not None),
                "exit_code": int(code),
            }
        )

    def _endings(self) -> list[Ending]:
        known = {ending.task_id for ending in self.work.endings}
        others = [track for id_, track in self.tracks.by_id.items() if id_ not in known]
        return self.work.endings + [Ending.of_track(track) for track in others]

    def _credits(self) -> int | float | None:
        """Add up what the server says it has reserved for what this command submitted."""
        found = [
            reserved
            for track in self.tracks.by_id.values()
            if track.request is not None
            and isinstance(reserved := track.task.usage.get("credits_reserved"), int | float)
        ]
        return sum(found) if found else None
