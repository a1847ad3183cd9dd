"""The group of all commands: gives them their defaults from configuration files."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperGroup

from foxapi_async.cli.config_file import JOB_FILE, ConfigFile, user_file

_FILES_READ: Final = "foxapi_async.config_files"
"""The name in ``Context.meta`` under which a command finds the configuration files that were read."""


def files_read(context: Any) -> list[Path]:
    """Return the configuration files that were read for a command, from its context."""
    return list(context.meta.get(_FILES_READ, ()))


def configured_options(context: Any) -> list[str]:
    """Return the options of a command that a configuration file has set."""
    return [
        max(parameter.opts, key=len)
        for parameter in context.command.params
        if (source := context.get_parameter_source(parameter.name)) is not None
        and source.name == "DEFAULT_MAP"
    ]


_HELP: Final = frozenset({"-h", "--help"})


class ConfiguredCommands(TyperGroup):
    """Reads the configuration files for a command that is about to be called.

    Raises:
        ConfigurationError: A file cannot be used.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, and set the defaults of its options."""
        name, command, rest = found = super().resolve_command(ctx, args)
        # Neither help nor completion may fail because of a file.
        if name is not None and command is not None and not ctx.resilient_parsing:
            before_dashes = rest[: rest.index("--")] if "--" in rest else rest
            if _HELP.isdisjoint(before_dashes):
                self._set_defaults(ctx, name, command, rest)
        return found

    def invoke(self, ctx: Any) -> Any:
        """Call the command; an error of a value names the file that it is from."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            parameter: Any = error.param
            if error.ctx is not None and parameter is not None:
                option = max(parameter.opts, key=len)
                if option in configured_options(error.ctx):
                    files = " or ".join(str(path) for path in files_read(error.ctx))
                    error.message += f" (from {files})"
            raise

    def _set_defaults(self, ctx: Any, name: str, command: Any, rest: list[str]) -> None:
        files = [ConfigFile.read(user_file(os.environ), is_trusted=True)]
        if (folder := _folder_of_job(ctx, name, command, rest)) is not None:
            files.append(ConfigFile.read(folder / JOB_FILE, is_trusted=False))
        read = [file for file in files if file is not None]
        ctx.meta[_FILES_READ] = [file.path for file in read]
        group = getattr(command, "commands", None)
        defaults: dict[str, Any] = {}
        for file in read:
            file.check(self.commands)
            if group is None:
                defaults |= file.defaults_of(command, name, os.environ)
                continue
            for inner, each in group.items():
                found = file.defaults_of(each, name, os.environ, inner)
                defaults[inner] = defaults.get(inner, {}) | found
        if defaults:
            ctx.default_map = {name: defaults}


def _folder_of_job(ctx: Any, name: str, command: Any, rest: list[str]) -> Path | None:
    if not any(parameter.name == "jobs" for parameter in command.params):
        return None
    jobs = None
    # What is wrong with the command line is told when it is read for good.
    with suppress(Exception):
        probe = command.make_context(name, list(rest), parent=ctx, resilient_parsing=True)
        jobs = probe.params.get("jobs")
    if jobs is None:
        return None
    return Path() if str(jobs) == "-" else Path(jobs).expanduser().parent
