"""The command line of a command, as it was given, to be repeated."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, cast

import typer

from foxapi_async._typeguards import is_object

RUN_COMMAND: Final = "the command of the last run"
"""The name under which a journal keeps it: an object with ``command`` and ``cwd``."""

_PASSWORD: Final = re.compile(r"(^|//)[^/]*@")
"""The user and password of a URL, or of a proxy without a scheme; the password may have an "@"."""


def without_password(url: str) -> str:
    """Return a URL as it may be printed."""
    return _PASSWORD.sub(r"\1", url)


def command_again(context: typer.Context, *, without: Collection[str] = ()) -> str:
    """Return the command line with the options that were given, quoted for a shell.

    Left out are options of configuration files and of the environment, which apply again by themselves,
    those in ``without`` (by the names of their parameters), and the passwords of URLs.
    """
    words = ["foxapi", context.info_name or ""]
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        # By name, because typer brings its own copy of click.
        if name not in without and source is not None and source.name == "COMMANDLINE":
            words += _words(parameter, context.params[name])
    return shlex.join(words)


def to_remember(command: str) -> dict[str, str]:
    """Return what a journal keeps of a command under `RUN_COMMAND`."""
    return {"command": command, "cwd": str(Path.cwd())}


def remembered(value: object) -> str | None:
    """Return the command that was kept, for a shell in any directory; None if it is none."""
    command, directory = (
        (value.get("command"), value.get("cwd")) if is_object(value) else (None, None)
    )
    if not isinstance(command, str) or not isinstance(directory, str):
        return None
    return command if str(Path.cwd()) == directory else f"cd {shlex.quote(directory)} && {command}"


def _words(parameter: Any, value: Any) -> Iterator[str]:
    values = cast("list[object]", value if isinstance(value, list) else [value])
    if parameter.param_type_name == "argument":
        # What begins with a dash would be an option.
        yield from (as_argument(each) for each in values)
        return
    option = min(parameter.opts, key=len)
    for each in values:
        if isinstance(each, bool):
            yield option if each else parameter.secondary_opts[0]
            continue
        text = without_password(str(each)) if parameter.metavar == "URL" else str(each)
        # Only a long option takes its value after "=": `-o=-x` is the value "=-x".
        long = max(parameter.opts, key=len)
        yield from [f"{long}={text}"] if text.startswith("-") else [option, text]


def as_argument(path: object) -> str:
    """Return a path as an argument of a command: one that begins with a dash would be an option."""
    return f"./{path}" if re.match("-.", str(path)) else str(path)
