"""What every command that talks to the service needs: screen, key, session, progress, a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import attrs

from foxapi_async.cli.board import Board
from foxapi_async.cli.keys import Key, find_key
from foxapi_async.cli.lines import Lines, Troubles
from foxapi_async.cli.screen import Screen
from foxapi_async.cli.tracks import Tracks
from foxapi_async.errors import ConfigurationError
from foxapi_async.events import Event
from foxapi_async.options import Limits, Polling
from foxapi_async.session import Session

__all__ = ["Setup", "prepare", "progress"]


@attrs.frozen
class Setup:
    """The options that all commands share."""

    screen: Screen
    key_file: Path | None = None
    base_url: str | None = None

    def key(self) -> Key:
        """Find the key, and say what is unwise about where it was.

        Raises:
            ConfigurationError: There is none.
        """
        key = find_key(self.key_file, os.environ)
        for warning in key.warnings:
            self.screen.warn(warning)
        return key

    def session(
        self,
        *,
        limits: Limits | None = None,
        polling: Polling | None = None,
        journal: Path | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> Session:
        """Return a session that has not been entered.

        Raises:
            ConfigurationError: No key, or an option that cannot work.
        """
        return Session(
            self.key().value,
            base_url=self.base_url,
            limits=limits or Limits(),
            polling=polling or Polling(),
            journal=journal,
            on_event=on_event,
        )

    def options(self) -> list[str]:
        """Return the options that another command needs in order to find the same tasks."""
        options: list[str] = []
        if self.base_url is not None:
            options += ["--base-url", self.base_url]
        if self.key_file is not None:
            options += ["--key-file", os.fspath(self.key_file)]
        return options


@contextmanager
def progress(screen: Screen, tracks: Tracks) -> Generator[Callable[[Event], None], None, None]:
    """Show progress within the block: bars on a terminal, lines elsewhere; give what takes events."""
    troubles = Troubles(screen)
    if screen.quiet or not screen.is_terminal:
        lines = Lines(screen)

        def note(event: Event) -> None:
            tracks.note(event)
            lines.note(event)
            troubles.note(event)

        yield note
        return

    def draw(event: Event) -> None:
        tracks.note(event)
        troubles.note(event)

    with Board(screen, tracks):
        yield draw


def prepare(directory: Path) -> Path:
    """Return a folder that exists and can be written to, before anything is paid for.

    Raises:
        ConfigurationError: It cannot be made or written to.
    """
    directory = directory.expanduser()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"nothing can be saved in {directory}: {error.strerror or error}"
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigurationError(f"nothing can be saved in {directory}: it cannot be written to")
    return directory
