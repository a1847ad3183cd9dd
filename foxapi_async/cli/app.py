"""The `foxapi` program: its commands, its help, and how it starts."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import IO, Annotated, Any, Final, cast

import typer
from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text
from typer import Option

from foxapi_async import FoxAPIError
from foxapi_async.cli.commands.balance import balance
from foxapi_async.cli.commands.demo import demo
from foxapi_async.cli.commands.doctor import doctor
from foxapi_async.cli.commands.emulator import emulator
from foxapi_async.cli.commands.generate import generate
from foxapi_async.cli.commands.profile import create as create_profile
from foxapi_async.cli.commands.profile import list_profiles
from foxapi_async.cli.commands.report import report
from foxapi_async.cli.commands.resolve import resolve
from foxapi_async.cli.commands.run import run as run_jobs
from foxapi_async.cli.commands.tasks import status, upload, wait
from foxapi_async.cli.commands.unknown import unknown
from foxapi_async.cli.commands.watch import watch
from foxapi_async.cli.commands.worker import worker
from foxapi_async.cli.configured_commands import ConfiguredCommands
from foxapi_async.cli.console import Console, standard_output
from foxapi_async.cli.context import command
from foxapi_async.cli.credentials import KEY_SOURCES, key_option_in
from foxapi_async.cli.exit_codes import MEANINGS, ExitCode, exit_code_for
from foxapi_async.version import __version__


class _Commands(ConfiguredCommands):
    """Adds the exit codes below the commands; typer would reflow a table in an epilog."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        codes = Table.grid(padding=(0, 1))
        codes.add_column(justify="right", width=4)
        codes.add_column()
        for code in ExitCode:
            codes.add_row(str(code.value), Text(MEANINGS[code]))
        console = RichConsole(file=cast("IO[str]", standard_output()), highlight=False)
        console.print(" Exit codes:\n", codes)


app: typer.Typer = typer.Typer(
    name="foxapi",
    help="Generate images with FoxAPI: submit, wait, download; nothing is billed twice.\n\n"
    "Results go to stdout, everything else to stderr. "
    f"The API key is never an argument: {KEY_SOURCES}.",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
each: Callable[..., ExitCode]
for each in (generate, run_jobs, status, wait, upload, balance, doctor, worker):
    app.command()(command(each))
for each in (watch, report, resolve, unknown, demo, emulator):
    app.command()(command(each, local=True))


profiles: typer.Typer = typer.Typer(
    help="Make PHOTA profiles, which prompts reference by id in double brackets.",
    no_args_is_help=True,
)
profiles.command("create")(command(create_profile))
profiles.command("list")(command(list_profiles, local=True))
app.add_typer(profiles, name="profile")


def _version(wanted: bool) -> None:  # noqa: FBT001 - called by typer
    if wanted:
        console = Console()
        console.result(f"foxapi-async {__version__}")
        raise typer.Exit(int(console.finish(ExitCode.OK)))


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


_CANNOT_PRINT: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    if (option := key_option_in(arguments)) is not None:
        Console().error(
            f"there is no {option}: every user of this machine can read arguments, and the shell's "
            f"history keeps them. Instead, {KEY_SOURCES}"
        )
        return ExitCode.USAGE
    try:
        app(list(arguments), prog_name="foxapi")
    except FoxAPIError as error:
        Console().error(str(error))
        return exit_code_for(error)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else ExitCode.OK
    except OSError as error:
        if error.errno not in _CANNOT_PRINT:
            raise
        # Typer prints help and usage errors itself, to the bare streams.
        console = Console()
        if not arguments or not {"-h", "--help"}.isdisjoint(arguments):
            console.output.write_error = error
        return console.finish(ExitCode.OK) or ExitCode.USAGE
    return ExitCode.OK
