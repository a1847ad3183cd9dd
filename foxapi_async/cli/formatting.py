"""Numbers, tasks and errors as text for people and as JSON for programs. Pure functions."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from foxapi_async import (
    APIStatusError,
    FoxAPIError,
    SubmissionUnknownError,
    Task,
    TaskStatus,
    TaskTimeoutError,
)
from foxapi_async._to_json import to_json


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON that every parser accepts: NaN is null, half a surrogate pair an escape."""
    return json.dumps(to_json(value), indent=indent, allow_nan=False)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: "1 image", "2 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration: "4.2 s", "83 s", "12 min"."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"  # noqa: PLR2004


def rate_text(per_minute: float) -> str:
    """Return a rate of images: "12 images/min", "1.5 images/min"."""
    digits = 0 if per_minute >= 10 else 1  # noqa: PLR2004
    return f"{per_minute:.{digits}f} images/min"


def remaining_time(remaining: float, per_minute: float | None) -> str | None:
    """Return roughly how long the rest takes: "40 s", "12 min", "3 h 20 min"; None if unknown."""
    if not per_minute or not remaining:
        return None
    minutes = remaining / per_minute
    if minutes < 1.5:  # noqa: PLR2004
        return f"{60 * minutes:.0f} s"
    if minutes < 90:  # noqa: PLR2004
        return f"{minutes:.0f} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours:.0f} h {rest:.0f} min" if hours < 48 else f"{hours / 24:.1f} days"  # noqa: PLR2004


def file_size(number: int) -> str:
    """Return a number of bytes: "812 B", "48 KiB", "1.4 MiB"."""
    if number < 2**10:
        return f"{number} B"
    return f"{number / 2**10:.0f} KiB" if number < 2**20 else f"{number / 2**20:.1f} MiB"


def status_text(task: Task) -> str:
    """Return the status of a task in the server's own word."""
    unknown = task.status is TaskStatus.OTHER
    return str(task.raw.get("status", "unknown") if unknown else task.status.value)


def task_lines(task: Task) -> list[str]:
    """Return a task for a person, one fact per line."""
    estimated = task.task_info.estimated_time
    reserved = task.usage.get("credits_reserved")
    facts: Mapping[str, object] = {
        "status": status_text(task),
        "id": task.id,
        "progress": None if task.progress is None else f"{task.progress} %",
        "model": task.model,
        "created": None if task.created is None else f"{task.created:%Y-%m-%d %H:%M:%S} UTC",
        "estimate": None if estimated is None else f"about {duration(estimated)} after submission",
        "reserved": None if reserved is None else f"{reserved} credits",
    }
    lines = [f"{name:<10} {fact}" for name, fact in facts.items() if fact is not None]
    if task.error is not None:
        parts = (task.error.code, task.error.message)
        lines.append(f"{'error':<10} {': '.join(part for part in parts if part)}")
    outputs = [f"output {each.index:<3} {each.url or dict(each.data)}" for each in task.outputs]
    return lines + outputs


def task_json(task: Task, files: Mapping[int, Path] | None = None) -> dict[str, object]:
    """Return a task for a program; ``files`` are the paths of its outputs by index."""
    fields = task.to_dict()
    paths = {index: str(path) for index, path in (files or {}).items()}
    described: dict[str, object] = {
        "id": task.id,
        "task_status": status_text(task),
        **{name: fields[name] for name in ("progress", "model", "created")},
        "outputs": [
            {name: output[name] for name in ("index", "url", "data")}
            | {"file": paths.get(output["index"])}
            for output in fields["outputs"]
        ],
        "usage": fields["usage"],
    }
    if task.error is not None:
        described["task_error"] = fields["error"]
    return described


def error_json(error: FoxAPIError, exit_code: int) -> dict[str, object]:
    """Return an error for a program, with the exit code that it leads to."""
    described: dict[str, object] = {
        "error": type(error).__name__,
        "message": str(error),
        "exit_code": int(exit_code),
    }
    if error.task_id is not None:
        described["task_id"] = error.task_id
    if isinstance(error, APIStatusError):
        described |= {"status": error.status, "code": error.code, "request_id": error.request_id}
    if isinstance(error, SubmissionUnknownError):
        described["response"] = error.response
    return described


def error_text(error: FoxAPIError) -> str:
    """Return an error for the command line; its own text may name Python calls."""
    if isinstance(error, TaskTimeoutError):
        status = "not finished" if error.task is None else f"still {status_text(error.task)}"
        failed = "no poll succeeded, the last one" if error.no_poll_succeeded else "the last poll"
        cause = "" if error.__cause__ is None else f" ({failed} failed: {error.__cause__})"
        if error.task is not None and error.task.status is TaskStatus.OTHER and error.task.outputs:
            cause += (
                f"; the status is unknown, but {count(len(error.task.outputs), 'output')} are there"
            )
        return f"task {error.task_id} is {status} at the end of the wait{cause}"
    return str(error)


def wait_command(ids: Sequence[str], directory: Path | None, options: Sequence[str] = ()) -> str:
    """Return the command that waits for tasks and saves their files, quoted for a shell."""
    target = [] if directory is None else ["-o", str(directory)]
    return shlex.join(["foxapi", "wait", *ids, *target, *options])


def as_utf_8(text: str) -> str:
    """Return an argument of the command line as it was meant."""
    # Where the locale knows only ASCII, Python keeps other bytes as surrogates, which no API takes.
    try:
        return text.encode("ascii", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text
