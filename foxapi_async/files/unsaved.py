"""Why a completed task left no files."""

from __future__ import annotations

from foxapi_async.errors import DownloadError
from foxapi_async.http.outputs import missing_picture
from foxapi_async.models import Task


def no_picture(task: Task, kind: str | None) -> DownloadError | None:
    """Return the error for a completed task that made no picture, though its kind is to make some."""
    said = missing_picture(task, kind)
    if said is None:
        return None
    return DownloadError(
        f"task {task.id} is completed and billed, but the server sent no picture; it sent {said}",
        task_id=task.id,
    )


def late(task: Task) -> DownloadError:
    """Return the error for a task whose files were not saved in time."""
    return DownloadError(
        f"task {task.id} is completed, but not all of its files were saved within the timeout; "
        "it is paid for and can be downloaded again",
        task_id=task.id,
    )
