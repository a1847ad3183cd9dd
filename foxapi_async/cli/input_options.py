"""The options of `foxapi run` about the job file: how to read it, and from where."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import attrs
from typer import Argument, Option

from foxapi_async import ConfigurationError, InvalidRequestError
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.formatting import as_utf_8

if TYPE_CHECKING:
    from foxapi_async.bulk import Job

_PANEL = "Input"

Jobs = Annotated[
    Path,
    Argument(
        metavar="JOBS",
        help="A prompt per line (.txt), JSON lines or an array (.jsonl, .json), or a table with a "
        "header (.csv, .tsv), each perhaps .gz; - for standard input, which is kept as DIR/jobs.*.",
    ),
]
Format = Annotated[
    Literal["jsonl", "json", "csv", "txt"] | None,
    Option(
        "--format",
        help="How to read JOBS. Default: by its name, unless its content says otherwise.",
        rich_help_panel=_PANEL,
    ),
]
Fields = Annotated[
    list[str] | None,
    Option(
        "--field",
        metavar="NAME=COLUMN",
        help="Take a field from this column: prompt=Text. May be repeated.",
        rich_help_panel=_PANEL,
    ),
]
Defaults = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="NAME=VALUE",
        help="The value of a field for all lines that have none: resolution=4K. May be repeated.",
        rich_help_panel=_PANEL,
    ),
]
Template = Annotated[
    str | None,
    Option(
        "--template",
        metavar="TEXT",
        help="Make the prompts from columns: '{Prompt}, watercolor'.",
        rich_help_panel=_PANEL,
    ),
]
Folder = Annotated[
    Path | None,
    Option(
        "--folder",
        metavar="DIR",
        help="Where relative paths of local files in JOBS start from. Default: the directory of JOBS; "
        "the current one for standard input.",
        rich_help_panel=_PANEL,
    ),
]


@attrs.frozen(kw_only=True)
class InputOptions:
    """How to read a job file."""

    format: Literal["jsonl", "json", "csv", "txt"] | None = None
    fields: Sequence[str] | None = None
    defaults: Sequence[str] | None = None
    template: str | None = None
    folder: Path | None = None


def read_job(context: CommandContext, jobs: Path, options: InputOptions, heaviest: int) -> Job:
    """Check a job file, or standard input if it is ``-``.

    Raises:
        JobFileError: It has problems.
        InvalidRequestError: An option is wrong.
    """
    from foxapi_async.bulk import Job  # noqa: PLC0415 - loads aiohttp
    from foxapi_async.bulk.standard_input import STREAM  # noqa: PLC0415

    fields = _pairs("--field", "NAME=COLUMN", options.fields)
    defaults = _pairs("--set", "NAME=VALUE", options.defaults)
    is_stream = str(jobs) == "-"
    folder = options.folder
    if folder is None and is_stream:
        folder = Path.cwd()
    return Job.read(
        _spool(context) if is_stream else jobs,
        name=STREAM if is_stream else None,
        format=options.format,
        heaviest=heaviest,
        folder=folder,
        fields=fields,
        defaults=defaults,
        template=options.template and as_utf_8(options.template),
    )


def keep_job(context: CommandContext, job: Job, jobs: Path, directory: Path) -> Job:
    """Keep a job from standard input in the directory, and repeat the command with that file."""
    from foxapi_async.bulk.standard_input import keep  # noqa: PLC0415 - loads aiohttp

    if str(jobs) != "-":
        return job
    kept = keep(job, directory)
    context.console.info(f"the job from standard input is kept in {kept.path}")
    context.replace_argument("jobs", kept.path)
    if job.files.is_used:
        context.replace_argument("folder", job.files.folder)
    return kept


def _spool(context: CommandContext) -> Path:
    from foxapi_async.bulk.standard_input import spooled  # noqa: PLC0415 - loads aiohttp

    if sys.stdin is None:
        raise ConfigurationError("standard input is closed; give the file of a job instead of -")
    if sys.stdin.isatty():
        context.console.info("type a prompt per line; Ctrl-D ends the job")
    assert context.invocation is not None
    # Removed when the command ends; by then the job is in the directory, or was refused.
    return context.invocation.with_resource(spooled(sys.stdin.buffer))


def _pairs(option: str, form: str, given: Sequence[str] | None) -> dict[str, str]:
    """Return the pairs of an option that is repeated.

    Raises:
        InvalidRequestError: One is not of the form, or a name is given twice.
    """
    pairs: dict[str, str] = {}
    for text in map(as_utf_8, given or ()):
        name, separator, value = text.partition("=")
        name = name.strip()
        if not separator or not name:
            raise InvalidRequestError(
                f"{option} {text!r} is not of the form {form}", field=option.strip("-"), value=text
            )
        if name in pairs:
            raise InvalidRequestError(
                f"{option} gives {name!r} twice: {pairs[name]!r} and {value!r}",
                field=option.strip("-"),
                value=text,
            )
        pairs[name] = value
    return pairs
