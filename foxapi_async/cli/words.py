"""How things are put: numbers, tasks and advice as plain words, tasks as JSON. Pure functions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from foxapi_async.cli.exits import Exit
from foxapi_async.errors import APIStatusError, FoxAPIError, TaskTimeoutError
from foxapi_async.models import Task, TaskStatus

__all__ = [
    "continuing",
    "count",
    "error_json",
    "seconds",
    "size",
    "spoken",
    "standing",
    "task_json",
    "task_lines",
]

_KIB: Final = 1024


def count(number: int, thing: str) -> str:
    """Return a number with its noun: "1 image", "2 images"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def seconds(value: float) -> str:
    """Return a duration: "4.2 s", "83 s", "12 min"."""
    if value < 60:  # noqa: PLR2004
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"  # noqa: PLR2004


def size(bytes_: int) -> str:
    """Return a size: "812 B", "48 KiB", "1.4 MiB"."""
    if bytes_ < _KIB:
        return f"{bytes_} B"
    if bytes_ < _KIB * _KIB:
        return f"{bytes_ / _KIB:.0f} KiB"
    return f"{bytes_ / _KIB / _KIB:.1f} MiB"


def standing(task: Task) -> str:
    """Return the status of a task in the server's own word."""
    if task.status is TaskStatus.OTHER:
        return str(task.raw.get("status", "unknown"))
    return str(task.status.value)


def task_lines(task: Task) -> list[str]:
    """Return a task for a person, one fact a line."""
    lines = [f"{'status':<10} {standing(task)}"]
    facts: Mapping[str, object] = {
        "id": task.id,
        "progress": None if task.progress is None else f"{task.progress} %",
        "model": task.model,
        "created": None if task.created is None else f"{task.created:%Y-%m-%d %H:%M:%S} UTC",
        "estimate": _estimate(task),
        "reserved": _reserved(task),
    }
    lines += [f"{name:<10} {fact}" for name, fact in facts.items() if fact is not None]
    if task.error is not None:
        words = (task.error.code, task.error.message)
        lines.append(f"{'error':<10} {': '.join(word for word in words if word)}")
    lines += [
        f"{'output ' + str(output.index):<10} {output.url or dict(output.data)}"
        for output in task.outputs
    ]
    return lines


def task_json(task: Task, files: Mapping[int, Path] | None = None) -> dict[str, object]:
    """Return a task for a program; ``files`` are the paths of its outputs by index."""
    described: dict[str, object] = {
        "id": task.id,
        "task_status": standing(task),
        "progress": task.progress,
        "model": task.model,
        "created": None if task.created is None else task.created.isoformat(),
        "outputs": [
            {
                "index": output.index,
                "url": output.url,
                "data": dict(output.data),
                "file": None if files is None else _text(files.get(output.index)),
            }
            for output in task.outputs
        ],
        "usage": dict(task.usage),
    }
    if task.error is not None:
        described["task_error"] = {
            "code": task.error.code,
            "message": task.error.message,
            "type": task.error.type,
        }
    return described


def error_json(error: FoxAPIError, code: Exit) -> dict[str, object]:
    """Return an error for a program, with the exit code that it leads to."""
    described: dict[str, object] = {
        "error": type(error).__name__,
        "message": str(error),
        "exit_code": int(code),
    }
    if error.task_id is not None:
        described["task_id"] = error.task_id
    if isinstance(error, APIStatusError):
        described |= {"status": error.status, "code": error.code, "request_id": error.request_id}
    return described


def spoken(error: FoxAPIError) -> str:
    """Return an error in the words of the command line, where its own are meant for Python."""
    if isinstance(error, TaskTimeoutError):
        still = "not finished" if error.task is None else f"still {standing(error.task)}"
        why = "" if error.__cause__ is None else f" (the last look failed: {error.__cause__})"
        return f"task {error.task_id} is {still} when the wait ends{why}"
    return str(error)


def continuing(ids: Sequence[str], directory: Path | None, options: Sequence[str] = ()) -> str:
    """Return the command that brings home what is paid for, ready to be pasted into a shell."""
    target = [] if directory is None else ["-o", os.fspath(directory)]
    return shlex.join(["foxapi", "wait", *ids, *target, *options])


def _estimate(task: Task) -> str | None:
    estimated = task.task_info.estimated_time
    return None if estimated is None else f"about {seconds(estimated)} from the submission"


def _reserved(task: Task) -> str | None:
    credits_reserved = task.usage.get("credits_reserved")
    return None if credits_reserved is None else f"{credits_reserved} credits"


def _text(path: Path | None) -> str | None:
    return None if path is None else os.fspath(path)
