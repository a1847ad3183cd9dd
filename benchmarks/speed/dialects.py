"""Answers of the benchmark server in the formats of FoxAPI and of the services of other clients.

Each answer contains little more than what the parser of its client requires, so that large answers
slow down no client.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from benchmarks.speed.orders import Order, Orders

Json = dict[str, Any]


class Describe(Protocol):
    """Describes a task in the format of one service."""

    def __call__(self, order: Order, base: str, *, ended: bool) -> Json: ...


_IMAGE = "/image.png"
_CREATED_AT = "2026-01-01T00:00:00Z"


def _foxapi(order: Order, base: str, *, ended: bool) -> Json:
    answer: Json = {
        "created": 1760000000,
        "id": order.id,
        "model": "phota-image",
        "object": "image.generation.task",
        "progress": 100 if ended else 0,
        "status": "completed" if ended else "processing",
        "type": "image",
    }
    if ended:
        answer["results"] = [{"url": base + _IMAGE}]
        answer["usage"] = {"credits_reserved": 30000, "user_group": "default"}
    return answer


def _replicate(order: Order, base: str, *, ended: bool) -> Json:
    get = f"{base}/v1/predictions/{order.id}"
    return {
        "id": order.id,
        "model": "owner/name",
        "version": "v1",
        "status": "succeeded" if ended else "starting",
        "input": {},
        "output": [base + _IMAGE] if ended else None,
        "logs": "",
        "error": None,
        "metrics": None,
        "created_at": _CREATED_AT,
        "started_at": None,
        "completed_at": None,
        "urls": {"get": get, "cancel": f"{get}/cancel"},
    }


def _runway(order: Order, base: str, *, ended: bool) -> Json:
    answer: Json = {
        "id": order.id,
        "createdAt": _CREATED_AT,
        "status": "SUCCEEDED" if ended else "RUNNING",
    }
    return {**answer, "output": [base + _IMAGE]} if ended else {**answer, "progress": 0.5}


def _openai(order: Order, base: str, *, ended: bool) -> Json:
    del base
    return {
        "id": order.id,
        "object": "video",
        "created_at": 1,
        "completed_at": 2 if ended else None,
        "expires_at": None,
        "error": None,
        "model": "sora-2",
        "progress": 100 if ended else 10,
        "prompt": "x",
        "remixed_from_video_id": None,
        "seconds": "4",
        "size": "720x1280",
        "status": "completed" if ended else "in_progress",
    }


def _fal(order: Order, base: str, *, ended: bool) -> Json:
    del order, base
    if ended:
        return {"status": "COMPLETED", "logs": None, "metrics": {}}
    return {"status": "IN_PROGRESS", "logs": None}


_FAL = "/fal-ai/fast-sdxl"
_SUBMIT = {
    "/v1/images/generations": ("foxapi", _foxapi, 200),
    "/v1/predictions": ("replicate", _replicate, 201),
    "/v1/text_to_image": ("runway", _runway, 200),
    "/v1/videos": ("openai", _openai, 200),
    _FAL: ("fal", _fal, 200),
}
_DESCRIBE: dict[str, Describe] = {name: describe for name, describe, _ in _SUBMIT.values()}


def submit(orders: Orders, path: str, base: str) -> tuple[int, Json, float] | None:
    """Create a task; return status, answer and true duration, or None if there is no such path."""
    if path not in _SUBMIT:
        return None
    dialect, describe, status = _SUBMIT[path]
    order = orders.submit(dialect)
    if dialect == "fal":
        here = f"{base}{_FAL}/requests/{order.id}"
        answer = {
            "request_id": order.id,
            "response_url": here,
            "status_url": f"{here}/status",
            "cancel_url": f"{here}/cancel",
        }
    else:
        answer = describe(order, base, ended=False)
    if dialect == "foxapi":
        answer["status"] = "pending"
        if orders.estimate is not None:
            answer["task_info"] = {"can_cancel": True, "estimated_time": orders.estimate}
    return status, answer, order.seconds


def poll(orders: Orders, path: str, base: str) -> Json | None:
    """Answer a GET of a task, None if there is no such task."""
    head, _, last = path.rpartition("/")
    is_status = last == "status"
    order = orders.find(head.rpartition("/")[2] if is_status else last)
    if order is None:
        return None
    if order.dialect == "fal" and not is_status:
        return {"images": [{"url": base + _IMAGE}]}
    return _DESCRIBE[order.dialect](order, base, ended=order.poll())


def poll_answer(order: Order, *, ended: bool) -> Json:
    """Return the answer of FoxAPI to a poll."""
    return _foxapi(order, "https://cdn.example", ended=ended)


def encode(answer: Json) -> bytes:
    """Return an answer as a body."""
    return json.dumps(answer, separators=(",", ":")).encode()
