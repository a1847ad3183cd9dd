"""Configuration files: defaults for options of commands, under their long names.

The user's own file is ``~/.config/foxapi/config.toml``; ``foxapi.toml`` beside a job belongs to
that job. The command line comes first, then environment variables, the file beside the job, the user's file,
and the built-in defaults. A file beside a job may come from somebody else, so it cannot spend money
without a question, run commands, or send the API key or the requests elsewhere.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from foxapi_async import ConfigurationError
from foxapi_async._typeguards import is_array, is_object
from foxapi_async.cli.credentials import KEY_SOURCES

USER_FILE: Final = "config.toml"
JOB_FILE: Final = "foxapi.toml"

_KEYS: Final = frozenset({"key", "api-key", "apikey", "foxapi-api-key", "token"})
_NEVER: Final = frozenset({"retry-failed", "retry-unknown", "dry-run", "version", "help"})
"""What a person decides each time."""

_ONLY_OF_THE_USER: Final = frozenset(
    {"yes", "base-url", "proxy", "key-file", "on-end", "webhook", "log-file"}
)

_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "journal": ("FOXAPI_JOURNAL",),
    "base-url": ("FOXAPI_BASE_URL",),
    "key-file": ("FOXAPI_API_KEY", "FOXAPI_API_KEY_FILE"),
    "proxy": tuple(
        name
        for upper in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
        for name in (upper, upper.lower())
    ),
}
"""Environment variables that are read elsewhere, and that come before these options of a file."""


def user_file(environment: Mapping[str, str]) -> Path:
    """Return the path of the user's configuration file, which need not exist."""
    home = environment.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path("~/.config").expanduser()) / "foxapi" / USER_FILE


@attrs.frozen
class ConfigFile:
    """What a configuration file says. ``is_trusted`` is whether it is the user's own."""

    path: Path
    values: Mapping[str, Any]
    is_trusted: bool

    @classmethod
    def read(cls, path: Path, *, is_trusted: bool) -> ConfigFile | None:
        """Read a file; return None if there is none.

        Raises:
            ConfigurationError: It cannot be read, or is not TOML.
        """
        try:
            # Editors of Windows write a byte order mark.
            return cls(path, tomllib.loads(path.read_text("utf-8-sig")), is_trusted)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:  # ValueError: not TOML, or not UTF-8
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(f"{path} cannot be read: {reason}") from error

    def check(self, commands: Mapping[str, Any]) -> None:
        """Check all names of the file, whatever command is called.

        Args:
            commands: The commands of the program by name.

        Raises:
            ConfigurationError: A name is no option, or must not be in this file.
        """
        tables = {name: value for name, value in self.values.items() if is_object(value)}
        everywhere = {option for each in _leaves(commands) for option in options_of(each)}
        self._check_names(self.values.keys() - tables.keys(), everywhere, [*everywhere, *commands])
        for name, table in tables.items():
            if name not in commands:
                # ``set`` is an option that may be a table.
                self._check_names([name], everywhere, [*everywhere, *commands])
                continue
            group: Mapping[str, Any] | None = getattr(commands[name], "commands", None)
            if group is None:
                options = options_of(commands[name])
                self._check_names(table.keys(), options, list(options), name)
                continue
            for inner, options in table.items():
                if inner not in group or not is_object(options):
                    raise self._unknown(f"{name}.{inner}", list(group))
                known = options_of(group[inner])
                self._check_names(options.keys(), known, list(known), f"{name}.{inner}")

    def defaults_of(
        self, command: Any, name: str, environment: Mapping[str, str], inner: str | None = None
    ) -> dict[str, Any]:
        """Return the defaults of a command by the names of its parameters; its table comes first."""
        table: Any = self.values.get(name, {})
        if inner is not None and is_object(table):
            table = table.get(inner, {})
        options = options_of(command)
        found: dict[str, Any] = {}
        for values in (self.values, table if is_object(table) else {}):
            for option, value in values.items():
                if option in options and not any(
                    environment.get(each) for each in _VARIABLES.get(option, ())
                ):
                    if option == "journal" and "://" in str(value) and not self.is_trusted:
                        raise ConfigurationError(
                            f"{self.path}: a journal on a server is not taken from the folder of a job, "
                            "which may come from somebody else: it would get the requests; put it into "
                            f"{user_file(os.environ)} or FOXAPI_JOURNAL, or give --journal"
                        )
                    parameter, is_negative = options[option]
                    found[parameter.name] = self._typed(option, parameter, value, is_negative)
        return found

    def _typed(self, option: str, parameter: Any, value: Any, is_negative: bool) -> Any:  # noqa: FBT001
        if getattr(parameter, "is_flag", False):
            if not isinstance(value, bool):
                raise ConfigurationError(f"{self.path}: {option} must be true or false")
            return value is not is_negative
        if parameter.multiple and is_object(value):
            return [f"{name}={_text(each)}" for name, each in value.items()]
        if parameter.multiple and is_array(value):
            return [_text(each) for each in value]
        if is_array(value) or is_object(value):
            raise ConfigurationError(f"{self.path}: {option} must be one value")
        return [_text(value)] if parameter.multiple else _text(value)

    def _check_names(
        self, names: Any, known: Any, similar: list[str], table: str | None = None
    ) -> None:
        for name in names:
            if name.lower().replace("_", "-") in _KEYS and name not in known:
                raise ConfigurationError(
                    f"{self.path}: the API key does not belong in a configuration file ({name}): "
                    f"{KEY_SOURCES}; key-file names such a file"
                )
            if name not in known:
                raise self._unknown(name, similar, table)
            if name in _NEVER:
                raise ConfigurationError(
                    f"{self.path}: {name} cannot be a default; a person decides on it each time"
                )
            if name in _ONLY_OF_THE_USER and not self.is_trusted:
                raise ConfigurationError(
                    f"{self.path}: {name} is not taken from the folder of a job, which may come from "
                    f"somebody else; put it into {user_file(os.environ)}, or give --{name}"
                )

    def _unknown(
        self, name: str, similar: list[str], table: str | None = None
    ) -> ConfigurationError:
        where = "" if table is None else f" in [{table}]"
        if name.rpartition(".")[2] in similar:
            # The name of a command that is no table.
            return ConfigurationError(
                f"{self.path}: {name}{where} must be a table of options: [{name}]"
            )
        close = difflib.get_close_matches(name.replace("_", "-"), similar, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return ConfigurationError(
            f"{self.path}: {name}{where} is neither an option nor a command{hint}"
        )


def options_of(command: Any) -> dict[str, tuple[Any, bool]]:
    """Return the options of a command by long name, each with whether the name negates it."""
    found: dict[str, tuple[Any, bool]] = {}
    for parameter in command.params:
        if parameter.param_type_name != "option":
            continue
        for names, is_negative in ((parameter.opts, False), (parameter.secondary_opts, True)):
            found |= {name[2:]: (parameter, is_negative) for name in names if name.startswith("--")}
    return found


def _leaves(commands: Mapping[str, Any]) -> Iterator[Any]:
    for command in commands.values():
        group: Mapping[str, Any] | None = getattr(command, "commands", None)
        if group is None:
            yield command
        else:
            yield from _leaves(group)


def _text(value: object) -> str:
    """Return a value of TOML as it would be written on the command line."""
    if is_array(value) or is_object(value):
        # The value of a field that is a list, which `--set` reads as JSON.
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).lower() if isinstance(value, bool) else str(value)
