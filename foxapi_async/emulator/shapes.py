"""The JSON of a task: the answer to a submission, and both formats of the answer to a poll."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from foxapi_async.emulator.answers import JSON
from foxapi_async.emulator.store import Record
from foxapi_async.emulator.task_lifecycle import ORDINARY, Sentinel

Shape: TypeAlias = Literal["results", "output", "strings"]
Link: TypeAlias = Callable[[int], str]
"""Returns the URL of a task's output by its index."""

_WORDS = "Good morning."


def submitted(record: Record) -> dict[str, JSON]:
    """Return the answer to a submission, with `usage` instead of `task_info` without an estimate."""
    if isinstance(record.estimate, Sentinel):
        return {
            "id": record.id,
            "object": f"{record.kind}.generation.task",
            "type": record.kind,
            "model": record.model,
            "status": "pending",
            "usage": {"credits_reserved": record.credits},
        }
    return {
        "created": record.created_unix,
        "id": record.id,
        "model": record.model,
        "object": f"{record.kind}.generation.task",
        "progress": 0,
        "status": "pending",
        "task_info": {"can_cancel": True, "estimated_time": record.estimate},
        "type": record.kind,
    }


def polled(
    record: Record, now: float, *, synced: bool, shape: Shape, size: tuple[int, int], link: Link
) -> JSON:
    """Return the answer to a poll, changed as the fate of the task requires."""
    standing = record.standing(now)
    fate = record.fate
    body: dict[str, JSON] = {
        "id": record.id,
        "object": f"{record.kind}.generation.task",
        "type": record.kind,
        "model": record.model,
        "status": standing.status,
        "progress": standing.progress,
        "created": record.created_unix,
    }
    shape = fate.shape or shape
    if standing.status in {"pending", "processing"}:
        _running(body, record, shape)
    else:
        results = None
        if standing.status == "completed" and not _still_empty(record, now, synced=synced):
            results = _results(record, link)
        if shape == "output":
            _older(body, record, results, size)
        else:
            _current(body, record, results, bare=shape == "strings")
    if record.polls <= len(fate.looks):
        told = fate.looks[record.polls - 1]
        body.update({"status": told} if isinstance(told, str) else told)
    if fate.spelling is not None:
        body["status"] = fate.spelling(str(body["status"]))
    return body


def _running(body: dict[str, JSON], record: Record, shape: Shape) -> None:
    if not isinstance(record.estimate, Sentinel):
        body["task_info"] = {"can_cancel": True, "estimated_time": record.estimate}
    if shape != "output":
        body.update(results=None, error=None, usage=_usage(record))


def _usage(record: Record) -> JSON:
    return {"credits_reserved": record.credits, "user_group": "default"}


def _still_empty(record: Record, now: float, *, synced: bool) -> bool:
    fate = record.fate
    if synced and fate.empty_when_synced:
        return True
    if record.empty_polls < fate.empty_looks:
        record.empty_polls += 1
        return True
    return now < record.finish + fate.empty_for


def _error(record: Record, *, typed: bool) -> JSON:
    if record.fate.error is not ORDINARY:
        return record.fate.error
    error: dict[str, JSON] = {
        "code": "generation_failed",
        "message": "the upstream provider could not generate this",
    }
    return {**error, "type": "task_error"} if typed else error


def _current(
    body: dict[str, JSON], record: Record, results: list[JSON] | None, *, bare: bool
) -> None:
    if bare and results is not None:
        body["results"] = [_link_of(item) for item in results]
    else:
        body["results"] = results
    body["error"] = _error(record, typed=True) if body["status"] == "failed" else None
    body["usage"] = _usage(record)


def _older(
    body: dict[str, JSON], record: Record, results: list[JSON] | None, size: tuple[int, int]
) -> None:
    body["task_info"] = {"can_cancel": False, "estimated_time": 0}
    if results is not None:
        links = [_link_of(item) for item in results]
        output: dict[str, JSON] = {"url": links[0] if links else None, "urls": links}
        if record.kind == "image":
            output |= {"width": size[0], "height": size[1]}
        body["output"] = output
    if body["status"] == "failed":
        body["error"] = _error(record, typed=False)


def _link_of(item: JSON) -> JSON:
    return item.get("url") if isinstance(item, Mapping) else item


def _results(record: Record, link: Link) -> list[JSON]:
    fate = record.fate
    if fate.items is not None:
        return list(fate.items)
    count = record.outputs if fate.outputs is None else fate.outputs
    if record.model == "phota-create-profile":
        return [{"result_type": "profile", "profile_id": f"pf_{record.id[-8:]}"}]
    if record.model == "scribe-v2":
        return [_transcript()]
    return [{"url": link(index)} for index in range(count)]


def _transcript() -> JSON:
    words: list[JSON] = [
        {"text": "Good", "start": 0.1, "end": 0.4, "type": "word"},
        {"text": "morning.", "start": 0.5, "end": 0.9, "type": "word"},
    ]
    return {
        "text": _WORDS,
        "language_code": "eng",
        "language_probability": 0.98,
        "words": words,
    }
