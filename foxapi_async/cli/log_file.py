"""The file of `--log-file`: each line with date and time, whatever the disk does."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Final

from foxapi_async import ConfigurationError


class LogFile:
    """A file to which lines are appended; several processes may do so.

    Raises:
        ConfigurationError: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path.expanduser()
        self.error: str | None = None
        """Why the last line could not be written."""
        self._is_cut = False
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(self.path, flags, 0o666)
        except (OSError, ValueError) as error:  # ValueError: a name that this locale cannot encode
            raise ConfigurationError(
                f"the log file {self.path} cannot be written: "
                f"{getattr(error, 'strerror', None) or error}"
            ) from error

    def write(self, text: str) -> bool:
        """Append a line; return False if this is the first of some that the disk does not take.

        Later lines are tried again: the disk may have room again at the end of a long run.
        """
        moment = datetime.now().astimezone()
        line = f"{moment:%Y-%m-%d %H:%M:%S} {text}\n".encode("utf-8", "backslashreplace")
        if self._is_cut:
            line = b"\n" + line
        try:
            self._is_cut = os.write(self._descriptor, line) < len(line)
        except OSError as error:
            had_error, self.error = self.error, error.strerror or str(error)
            return had_error is not None
        self.error = None
        return True
