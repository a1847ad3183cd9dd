"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated, Any, Final, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from foxapi_async.cli.carry_out import carry_out
from foxapi_async.cli.command import Setup, prepare
from foxapi_async.cli.doctor import run_doctor
from foxapi_async.cli.ending import end
from foxapi_async.cli.errands import show_status, upload_file
from foxapi_async.cli.exits import MEANINGS, Exit
from foxapi_async.cli.keys import ADVICE, key_as_argument
from foxapi_async.cli.options import AsJson, BaseUrl, Folder, KeyFile, Quiet, Timeout, Verbose
from foxapi_async.cli.requesting import Asked, prompt_from
from foxapi_async.cli.run_command import run_jobs
from foxapi_async.cli.screen import Screen
from foxapi_async.cli.streams import standard_output
from foxapi_async.options import Limits, Polling
from foxapi_async.version import __version__

__all__ = ["app", "run"]


class _Commands(TyperGroup):
    """The commands, and below them the exit codes, in columns that an epilog would not keep."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        codes = Table.grid(padding=(0, 1))
        codes.add_column(justify="right", width=4)
        codes.add_column()
        for code, meaning in MEANINGS.items():
            codes.add_row(str(code.value), Text(meaning))
        console = Console(file=cast("IO[str]", standard_output()), highlight=False)
        console.print(" Exit codes:\n", codes)


app: typer.Typer = typer.Typer(
    name="foxapi",
    help="Generate images with FoxAPI: submit, wait wisely, never pay twice.\n\n"
    "Results go to stdout, everything else to stderr. "
    f"The API key never is an argument: {ADVICE}.",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    if (option := key_as_argument(arguments)) is not None:
        Screen().fail(
            f"there is no {option}: arguments can be read by everybody on this machine and stay in "
            f"the shell's history. Instead, {ADVICE}"
        )
        return Exit.USAGE
    try:
        app(list(arguments), prog_name="foxapi")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.OK
    except OSError as error:
        if error.errno not in _CANNOT_PRINT:
            raise
        # Typer's own words, which no stream of ours has borne: help, or what is wrong with the usage.
        screen = Screen()
        screen.output.trouble = error if _asks_for_help(arguments) else None
        return screen.finish(Exit.OK) or Exit.USAGE
    return Exit.OK


def _asks_for_help(arguments: Sequence[str]) -> bool:
    return not arguments or not {"-h", "--help"}.isdisjoint(arguments)


_CANNOT_PRINT: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def _version(wanted: bool) -> None:  # noqa: FBT001 - called by typer
    if wanted:
        screen = Screen()
        screen.result(f"foxapi-async {__version__}")
        raise typer.Exit(int(screen.finish(Exit.OK)))


@app.callback()
def _root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
def generate(
    *,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="What to show; - reads it from standard input."),
    ] = None,
    outputs: Annotated[
        int | None, typer.Option("-n", metavar="N", help="Images to make; each is billed.")
    ] = None,
    aspect_ratio: Annotated[
        str | None,
        typer.Option(metavar="W:H", help="1:1 (default), 2:3, 3:2, 3:4, 4:3, 9:16 or 16:9."),
    ] = None,
    resolution: Annotated[
        str | None,
        typer.Option(metavar="RES", help="1K (default) or 4K, which costs twice as much."),
    ] = None,
    output: Folder = Path(),
    split: Annotated[
        bool,
        typer.Option(
            "--split",
            help="One task for each image instead of one task for all: images arrive one by one, "
            "and one failure costs one image.",
        ),
    ] = False,
    model: Annotated[
        str | None, typer.Option(metavar="ID", help="Another model than phota-image.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="What it makes: image, video, audio, document or llm."),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A field of the request, sent as it is; JSON or text. Can be repeated.",
        ),
    ] = None,
    timeout: Timeout = None,
    key_file: KeyFile = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Generate images and save them. Each image is billed.

    The paths of the files go to stdout. Ctrl-C ends the wait, not the tasks: their ids are named.
    """
    setup = Setup(Screen(as_json=as_json, quiet=quiet, verbose=verbose), key_file, base_url)

    def do() -> Exit:
        asked = Asked(
            prompt=prompt_from(prompt),
            outputs=outputs,
            aspect_ratio=aspect_ratio,
            resolution=resolution,
            model=model,
            kind=kind,
            params=param or (),
        )
        request = asked.request()
        requests = request.split() if split else [request]
        polling = Polling(give_up_after=timeout)
        heaviest = max(Limits().outputs, *(each.num_outputs for each in requests))
        return carry_out(
            setup,
            lambda work, session: work.submit(session, requests),
            directory=prepare(output or Path()),
            limits=Limits(outputs=heaviest),
            polling=polling,
        )

    end(setup.screen, do)


app.command("run")(run_jobs)


@app.command()
def status(
    *,
    task_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the task.")],
    key_file: KeyFile = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Ask once how far a task is. Nothing is billed.

    Exit code 1 if it failed or was cancelled, 0 otherwise.
    """
    setup = Setup(Screen(as_json=as_json, quiet=quiet, verbose=verbose), key_file, base_url)
    end(setup.screen, lambda: show_status(setup, task_id))


@app.command()
def wait(
    *,
    task_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The ids of the tasks.")],
    output: Folder = None,
    timeout: Timeout = None,
    key_file: KeyFile = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Wait for tasks that exist, and bring their results home. Nothing is billed.

    With -o the files are saved and their paths go to stdout; without it the links do, which expire
    after a day.
    """
    setup = Setup(Screen(as_json=as_json, quiet=quiet, verbose=verbose), key_file, base_url)
    end(
        setup.screen,
        lambda: carry_out(
            setup,
            lambda work, session: work.attach(session, task_ids),
            directory=None if output is None else prepare(output),
            polling=Polling(give_up_after=timeout),
        ),
    )


@app.command()
def upload(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to store.")],
    filename: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another name for it at the server.")
    ] = None,
    key_file: KeyFile = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Store an input file and print its link, for image_urls and the like. It is kept for 72 hours."""
    setup = Setup(Screen(as_json=as_json, quiet=quiet, verbose=verbose), key_file, base_url)
    end(setup.screen, lambda: upload_file(setup, file, filename))


@app.command()
def doctor(
    *,
    key_file: KeyFile = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check key, network, models and clock. Only free calls are made: nothing is billed."""
    screen = Screen(as_json=as_json, quiet=quiet, verbose=verbose)
    end(screen, lambda: run_doctor(screen, key_file, base_url))


@app.command()
def demo(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the pictures go.")
    ] = Path("foxapi-demo"),
    speed: Annotated[
        float, typer.Option(metavar="FACTOR", help="How many times faster than real tasks live.")
    ] = 3.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the main job on a FoxAPI of its own: no key, no network, nothing is paid."""
    from foxapi_async.cli.demo import run_demo  # noqa: PLC0415 - needs Pillow

    screen = Screen(as_json=as_json, quiet=quiet, verbose=verbose)
    end(screen, lambda: run_demo(screen, output, speed=speed))


@app.command()
def emulator(
    *,
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.")] = 0,
    speed: Annotated[
        float, typer.Option(metavar="FACTOR", help="How many times faster than real tasks live.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Decides durations, failures and pictures.")] = 0,
    duration: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="What every task takes; else about 20, varying."),
    ] = None,
    fail_rate: Annotated[
        float, typer.Option(metavar="SHARE", help="The share of tasks that fail, 0 to 1.")
    ] = 0.0,
    max_images_in_flight: Annotated[
        int | None, typer.Option(metavar="N", help="More are answered 429.")
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(metavar="RATE", help="More are answered 429.")
    ] = None,
    credits_: Annotated[
        int | None,
        typer.Option("--credits", metavar="N", help="The balance; an image costs 30,000."),
    ] = None,
    latency: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long every answer takes.")
    ] = 0.0,
    picture_scale: Annotated[
        float, typer.Option(metavar="FACTOR", help="Smaller pictures: 0.25 for a quarter.")
    ] = 1.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a local FoxAPI in the foreground: real HTTP, pictures of its own, nothing is paid.

    Ctrl-C stops it and prints what it counted.
    """
    from foxapi_async.cli.serve import run_emulator  # noqa: PLC0415 - the emulator is not small

    screen = Screen(as_json=as_json, quiet=quiet, verbose=verbose)
    end(
        screen,
        lambda: run_emulator(
            screen,
            port=port,
            speed=speed,
            seed=seed,
            duration=duration,
            fail_rate=fail_rate,
            max_images_in_flight=max_images_in_flight,
            requests_per_second=requests_per_second,
            credits=credits_,
            latency=latency,
            picture_scale=picture_scale,
        ),
    )
