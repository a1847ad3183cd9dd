"""`foxapi report`: the table of results of a directory of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from foxapi_async import ConfigurationError
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import count
from foxapi_async.cli.journal_option import JournalOption, journal_of
from foxapi_async.cli.money import number_text
from foxapi_async.cli.places import records_of


def report(
    context: CommandContext,
    *,
    directory: Annotated[
        Path,
        Argument(
            metavar="DIR", parser=records_of, help="The directory of a job: the -o of `foxapi run`."
        ),
    ],
    form: Annotated[
        Literal["csv", "jsonl", "parquet"],
        Option("--format", help="The format. Parquet needs the extra: foxapi-async\\[parquet]."),
    ] = "csv",
    output: Annotated[
        Path | None,
        Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The table; DIR/results.csv by default (results-table.jsonl, results.parquet).",
        ),
    ] = None,
    journal: JournalOption = None,
) -> ExitCode:
    """Write the table of results: one row per line of the jobs, with its status and its files.

    Nothing is sent and nothing is billed. Prints the path of the table. Paths of files in it are
    relative to it; several files of a line are separated by |.
    """
    from foxapi_async.bulk import write_table  # noqa: PLC0415 - loads aiohttp

    console = context.console
    if not directory.expanduser().is_dir():
        raise ConfigurationError(f"{directory} is not a directory")
    chosen = journal_of(context, journal, directory.expanduser())
    table = write_table(
        directory.expanduser(),
        format=form,
        output=None if output is None else output.expanduser(),
        journal=None if chosen is None else chosen.journal,
    )
    for note in table.notes:
        console.warning(note)
    statuses = sorted(table.statuses.items(), key=lambda item: -item[1])
    parts = [f"{number:,} {status.replace('_', ' ')}" for status, number in statuses]
    console.info(f"{count(table.rows, 'line')}: {', '.join(parts)}")
    reserved = "" if table.credits is None else f", {number_text(table.credits)} credits reserved"
    if reserved and table.without_credits:
        # A run that was killed could not write down what it had seen.
        reserved += f", not known for {count(table.without_credits, 'task')}"
    console.info(f"{count(table.images, 'image')} on disk{reserved}")
    console.result(str(table.path))
    console.document(
        table=str(table.path),
        format=table.format,
        rows=table.rows,
        statuses=dict(table.statuses),
        images=table.images,
        credits=table.credits,
        without_credits=table.without_credits,
        jobs=list(table.jobs),
        notes=list(table.notes),
        exit_code=ExitCode.OK,
    )
    return ExitCode.OK
