"""Where the API key comes from: the environment or a file, never an argument.

An argument can be read by everybody on the machine (`ps`) and stays in the shell's history.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from foxapi_async.errors import ConfigurationError

__all__ = ["ADVICE", "Key", "default_key_file", "find_key", "key_as_argument"]

ADVICE: Final = (
    "set the environment variable FOXAPI_API_KEY, or put the key alone into a file: "
    "--key-file, FOXAPI_API_KEY_FILE, or ~/.config/foxapi/key"
)

_LARGEST: Final = 4096
"""Bytes; what is larger is no key file but some other file that was named by mistake."""

_ATTEMPTS: Final = ("--api-key", "--api_key", "--apikey", "--token")


@attrs.frozen
class Key:
    """A key, where it was found, and what is unwise about that."""

    value: str = attrs.field(repr=False)
    source: str
    path: Path | None = None
    warnings: tuple[str, ...] = ()


def find_key(given: Path | None, environment: Mapping[str, str]) -> Key:
    """Return the key to use.

    The first of these counts: the file that was given, FOXAPI_API_KEY, FOXAPI_API_KEY_FILE, the
    default key file if it exists.

    Args:
        given: A key file, or None.
        environment: The environment variables.

    Raises:
        ConfigurationError: There is no key, or a file that was named cannot be read.
    """
    if given is not None:
        return _from_file(given.expanduser(), f"--key-file {given}")
    if value := environment.get("FOXAPI_API_KEY", "").strip():
        return Key(value, "the environment variable FOXAPI_API_KEY")
    if named := environment.get("FOXAPI_API_KEY_FILE"):
        return _from_file(Path(named).expanduser(), f"FOXAPI_API_KEY_FILE={named}")
    default = default_key_file(environment)
    if default.exists():
        return _from_file(default, f"the key file {default}")
    raise ConfigurationError(f"no API key: {ADVICE}")


def default_key_file(environment: Mapping[str, str]) -> Path:
    """Return where a key file is looked for that nobody named."""
    home = environment.get("XDG_CONFIG_HOME")
    folder = Path(home) if home else Path("~/.config").expanduser()
    return folder / "foxapi" / "key"


def key_as_argument(arguments: Sequence[str]) -> str | None:
    """Return the option with which somebody tried to pass the key, if somebody did."""
    for argument in arguments:
        if argument == "--":
            return None
        name = argument.partition("=")[0]
        if name in _ATTEMPTS:
            return name
    return None


def _from_file(path: Path, source: str) -> Key:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(
            f"the key file {path} cannot be read: {error.strerror or error}"
        ) from error
    if len(content) > _LARGEST:
        raise ConfigurationError(f"{path} is larger than a key file: it should hold the key alone")
    try:
        value = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        value = ""
    if not value or len(value.split()) > 1:
        raise ConfigurationError(f"the key file {path} must hold the key alone, as plain text")
    return Key(value, source, path, _warnings(path, found.st_mode))


def _warnings(path: Path, mode: int) -> tuple[str, ...]:
    if os.name != "posix" or not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return ()
    return (f"others on this machine may read the key file; close it with: chmod 600 {path}",)
