"""The small commands: one free call each."""

from __future__ import annotations

from pathlib import Path

from foxapi_async.cli import interrupt
from foxapi_async.cli.command import Setup
from foxapi_async.cli.exits import Exit
from foxapi_async.cli.words import size, task_json, task_lines
from foxapi_async.models import Task, TaskStatus, UploadedFile

__all__ = ["show_status", "upload_file"]


def show_status(setup: Setup, task_id: str) -> Exit:
    """Ask for a task once and print what the server says.

    Raises:
        FoxAPIError: No key, no such task, no answer.
    """

    async def ask() -> Task:
        async with setup.session() as session:
            return await session.retrieve(task_id)

    task = interrupt.run(ask())
    for line in task_lines(task):
        setup.screen.result(line)
    failed = task.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}
    code = Exit.TASK_FAILED if failed else Exit.OK
    setup.screen.document({**task_json(task), "exit_code": int(code)})
    return code


def upload_file(setup: Setup, path: Path, filename: str | None) -> Exit:
    """Store a file and print its link.

    Raises:
        FoxAPIError: No key, no such file, or no answer.
    """
    path = path.expanduser()

    async def send() -> UploadedFile:
        async with setup.session() as session:
            return await session.upload(path, filename=filename)

    stored = interrupt.run(send())
    setup.screen.result(stored.url)
    large = "" if stored.size is None else f" ({size(stored.size)})"
    setup.screen.say(f"stored as {stored.filename or stored.id}{large}; kept for 72 hours")
    setup.screen.document(
        {
            "id": stored.id,
            "url": stored.url,
            "filename": stored.filename,
            "size": stored.size,
            "created": None if stored.created is None else stored.created.isoformat(),
            "exit_code": int(Exit.OK),
        }
    )
    return Exit.OK
