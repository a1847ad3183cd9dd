"""`foxapi resolve`: settle an unknown submission by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from foxapi_async import InvalidRequestError
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.journal_option import JournalOption, journal_of
from foxapi_async.cli.places import records_of


def resolve(
    context: CommandContext,
    *,
    key: Annotated[
        str, Argument(metavar="KEY", help="The key of the request, as in results.jsonl.")
    ],
    task_id: Annotated[
        str, Argument(metavar="TASK_ID", help="The id of its task, as the service shows it.")
    ],
    output: Annotated[
        Path | None,
        Option(
            "--output",
            "-o",
            metavar="DIR",
            parser=records_of,
            help="The directory of the job, or its URL; its journal is used.",
        ),
    ] = None,
    journal: JournalOption = None,
) -> ExitCode:
    """Record the task of a request that may have been billed and whose id did not arrive.

    Nothing is sent and nothing is billed. The next `foxapi run` with this journal waits for the task
    and saves its images. Exit code 0 if it is recorded; 2 if the key is not unknown, the id is not
    one or belongs to another key; 3 if the journal cannot be used.
    """
    chosen = journal_of(context, journal, None if output is None else output.expanduser())
    if chosen is None:
        raise InvalidRequestError(
            "which journal? Give the directory of the job with -o DIR, or --journal",
            field="journal",
        )
    chosen.check_exists("; nothing was changed")
    entry = chosen.journal.resolve(key, task_id)
    context.console.result(task_id)
    context.console.info(
        f"key {key} is {entry.status} as task {task_id}; the next `foxapi run` with this journal "
        "waits for it and saves its images"
    )
    context.console.document(
        key=entry.key,
        task_id=entry.task_id,
        status=str(entry.status),
        model=entry.model,
        num_outputs=entry.num_outputs,
        exit_code=ExitCode.OK,
    )
    return ExitCode.OK
