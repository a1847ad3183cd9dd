"""`foxapi resolve`: settle an unknown submission by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from foxapi_async import ConfigurationError, InvalidRequestError, Journal
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.exit_codes import ExitCode


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
            "--output", "-o", metavar="DIR", help="The directory of the job; its journal is used."
        ),
    ] = None,
    journal: Annotated[
        Path | None, Option(metavar="FILE", help="The journal; DIR/journal.sqlite by default.")
    ] = None,
) -> ExitCode:
    """Record the task of a request that may have been billed and whose id did not arrive.

    Nothing is sent and nothing is billed. The next `foxapi run` with this journal waits for the task
    and saves its images. Exit code 0 if it is recorded; 2 if the key is not unknown, the id is not
    one or belongs to another key; 3 if the journal cannot be used.
    """
    from foxapi_async.bulk import JOURNAL_NAME  # noqa: PLC0415 - loads aiohttp

    path = journal
    if path is None and output is not None:
        path = output / JOURNAL_NAME
    if path is None:
        raise InvalidRequestError(
            "which journal? Give the directory of the job with -o DIR, or --journal FILE",
            field="journal",
        )
    path = path.expanduser()
    if not path.is_file():
        raise ConfigurationError(f"there is no journal {str(path)!r}; nothing was changed")
    entry = Journal(path).resolve(key, task_id)
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
