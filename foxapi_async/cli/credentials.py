"""Where the API key comes from: the environment or a file, never an argument, which `ps` shows."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final

import attrs

from foxapi_async import ConfigurationError

KEY_SOURCES: Final = (
    "set the environment variable FOXAPI_API_KEY, or store the key in a file of its own: "
    "--key-file, FOXAPI_API_KEY_FILE, or ~/.config/foxapi/key"
)

_MAX_FILE_SIZE: Final = 4096  # Bytes. A larger file is not a key file but was named by mistake
_KEY_OPTIONS: Final = ("--api-key", "--api_key", "--apikey", "--token")


@attrs.frozen
class Key:
    """A key, its source, and warnings about that source."""

    value: str = attrs.field(repr=False)
    source: str
    path: Path | None = None
    warnings: tuple[str, ...] = ()


def find_key(given: Path | None, environment: Mapping[str, str]) -> Key:
    """Return the key: of the given file, FOXAPI_API_KEY, FOXAPI_API_KEY_FILE, the default file."""
    key = find_key_if_any(given, environment)
    if key is None:
        raise ConfigurationError(f"no API key: {KEY_SOURCES}")
    return key


def find_key_if_any(given: Path | None, environment: Mapping[str, str]) -> Key | None:
    """Return the key as `find_key` does; None if there is none anywhere."""
    if given is not None:
        return _read(given.expanduser(), f"--key-file {given}")
    if value := environment.get("FOXAPI_API_KEY", "").strip():
        return Key(value, "the environment variable FOXAPI_API_KEY")
    if named := environment.get("FOXAPI_API_KEY_FILE"):
        return _read(Path(named).expanduser(), f"FOXAPI_API_KEY_FILE={named}")
    home = environment.get("XDG_CONFIG_HOME")
    default = (Path(home) if home else Path("~/.config").expanduser()) / "foxapi" / "key"
    return _read(default, f"the key file {default}") if default.exists() else None


def key_option_in(arguments: Sequence[str]) -> str | None:
    """Return the option that tries to pass the key as an argument, None if there is none."""
    options = takewhile(lambda argument: argument != "--", arguments)
    names = (option.partition("=")[0] for option in options)
    return next((name for name in names if name in _KEY_OPTIONS), None)


def _read(path: Path, source: str) -> Key:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigurationError(
            f"the key file {path} cannot be read: {error.strerror or error}"
        ) from error
    if len(content) > _MAX_FILE_SIZE:
        raise ConfigurationError(
            f"{path} is too large for a key file; the file must contain only the key"
        )
    try:
        value = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        value = ""
    if not value or len(value.split()) > 1:
        raise ConfigurationError(f"the key file {path} must contain only the key, as plain text")
    warnings: tuple[str, ...] = ()
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings = (f"other users can read the key file; restrict it with: chmod 600 {path}",)
    return Key(value, source, path, warnings)
