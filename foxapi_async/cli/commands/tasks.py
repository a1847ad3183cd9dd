"""`foxapi status`, `wait` and `upload`: free calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from foxapi_async import Polling, Task, TaskStatus, UploadedFile
from foxapi_async.cli.context import CommandContext, Directory, Timeout, prepare_directory
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import file_size, task_json, task_lines
from foxapi_async.cli.job_status import is_job_directory, print_job_status
from foxapi_async.cli.journal_option import METAVAR, VARIABLE, JournalOption, journal_of
from foxapi_async.cli.places import records_of
from foxapi_async.cli.signals import run_interruptible
from foxapi_async.cli.task_runner import TaskRunner


def status(
    context: CommandContext,
    *,
    task_id: Annotated[
        str, Argument(metavar="ID|DIR", help="The id of a task, or the directory or URL of a job.")
    ],
    journal: JournalOption = None,
) -> ExitCode:
    """Print how far a task is, by one poll, or how far the job of a directory is. Nothing is billed.

    Exit code 1 if the task failed or was cancelled, 0 otherwise. Of a directory nothing is asked at the
    service: progress, rate, what is left, when it will be done, and pauses, of the runs that are at work,
    else of the last run.
    """
    if "://" in task_id or is_job_directory(task_id):
        directory = records_of(task_id)
        chosen = journal_of(context, journal, directory)
        return print_job_status(context.console, directory, chosen)

    async def retrieve() -> Task:
        async with context.session() as session:
            return await session.retrieve(task_id)

    task = run_interruptible(retrieve())
    for line in task_lines(task):
        context.console.result(line)
    failed = task.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}
    code = ExitCode.TASK_FAILED if failed else ExitCode.OK
    context.console.document(**task_json(task), exit_code=code)
    return code


def wait(
    context: CommandContext,
    *,
    task_ids: Annotated[list[str], Argument(metavar="ID...", help="The ids of the tasks.")],
    output: Directory = None,
    journal: Annotated[
        str | None,
        Option(
            "--journal",
            metavar=METAVAR,
            help="The journal that the tasks are in, if any: it learns how they end. Default: "
            f"{VARIABLE}.",
        ),
    ] = None,
    timeout: Timeout = None,
) -> ExitCode:
    """Wait for existing tasks and fetch their results. Nothing is billed.

    With -o the files are saved and their paths are printed on stdout; without it the links are
    printed, which expire after a day.
    """
    directory = None if output is None else prepare_directory(output)
    chosen = journal_of(context, journal, None)
    runner = TaskRunner(context, directory, Polling(give_up_after=timeout), journal=chosen)
    return runner.wait(task_ids)


def upload(
    context: CommandContext,
    *,
    file: Annotated[Path, Argument(metavar="FILE", help="The file to upload.")],
    filename: Annotated[
        str | None, Option(metavar="NAME", help="Another name for it at the server.")
    ] = None,
) -> ExitCode:
    """Upload an input file and print its link, for image_urls and the like. It is kept for 72 hours."""

    async def send() -> UploadedFile:
        async with context.session() as session:
            return await session.upload(file.expanduser(), filename=filename)

    stored = run_interruptible(send())
    context.console.result(stored.url)
    size = "" if stored.size is None else f" ({file_size(stored.size)})"
    context.console.info(f"uploaded as {stored.filename or stored.id}{size}; kept for 72 hours")
    context.console.document(
        id=stored.id,
        url=stored.url,
        filename=stored.filename,
        size=stored.size,
        created=None if stored.created is None else stored.created.isoformat(),
        exit_code=ExitCode.OK,
    )
    return ExitCode.OK
