"""What the benchmark server says, in the words of FoxAPI and of the services that peers talk to.

Every answer holds what its client's parser demands and little more, so that no client is slowed
down by a chatty server.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from benchmarks.speed.orders import Order, Orders

Json = dict[str, Any]


class Say(Protocol):
    """Describes a task in the words of one service."""

    def __call__(self, order: Order, base: str, *, ended: bool) -> Json: ...


_PICTURE = "/picture.png"
_WHEN = "2026-01-01T00:00:00Z"


def _foxapi(order: Order, base: str, *, ended: bool) -> Json:
    said: Json = {
        "created": 1760000000,
        "id": order.id,
        "model": "phota-image",
        "object": "image.generation.task",
        "progress": 100 if ended else 0,
        "status": "completed" if ended else "processing",
        "type": "image",
    }
    if ended:
        said["results"] = [{"url": base + _PICTURE}]
        said["usage"] = {"credits_reserved": 30000, "user_group": "default"}
    return said


def _replicate(order: Order, base: str, *, ended: bool) -> Json:
    get = f"{base}/v1/predictions/{order.id}"
    return {
        "id": order.id,
        "model": "owner/name",
        "version": "v1",
        "status": "succeeded" if ended else "starting",
        "input": {},
        "output": [base + _PICTURE] if ended else None,
        "logs": "",
        "error": None,
        "metrics": None,
        "created_at": _WHEN,
        "started_at": None,
        "completed_at": None,
        "urls": {"get": get, "cancel": f"{get}/cancel"},
    }


def _runway(order: Order, base: str, *, ended: bool) -> Json:
    said: Json = {"id": order.id, "createdAt": _WHEN, "status": "SUCCEEDED" if ended else "RUNNING"}
    return {**said, "output": [base + _PICTURE]} if ended else {**said, "progress": 0.5}


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
_SAY: dict[str, Say] = {name: say for name, say, _ in _SUBMIT.values()}


def submit(orders: Orders, path: str, base: str) -> tuple[int, Json, float] | None:
    """Create a task; return status, answer and true duration, or None if there is no such path."""
    if path not in _SUBMIT:
        return None
    dialect, say, status = _SUBMIT[path]
    order = orders.submit(dialect)
    if dialect == "fal":
        here = f"{base}{_FAL}/requests/{order.id}"
        said = {
            "request_id": order.id,
            "response_url": here,
            "status_url": f"{here}/status",
            "cancel_url": f"{here}/cancel",
        }
    else:
        said = say(order, base, ended=False)
    if dialect == "foxapi":
        said["status"] = "pending"
        if orders.estimate is not None:
            said["task_info"] = {"can_cancel": True, "estimated_time": orders.estimate}
    return status, said, order.seconds


def look(orders: Orders, path: str, base: str) -> Json | None:
    """Answer a GET of a task, None if there is no such task."""
    head, _, last = path.rpartition("/")
    is_status = last == "status"
    order = orders.find(head.rpartition("/")[2] if is_status else last)
    if order is None:
        return None
    if order.dialect == "fal" and not is_status:
        return {"images": [{"url": base + _PICTURE}]}
    return _SAY[order.dialect](order, base, ended=order.look())


def look_of(order: Order, *, ended: bool) -> Json:
    """Return what FoxAPI says of a task."""
    return _foxapi(order, "https://cdn.example", ended=ended)


def encode(said: Json) -> bytes:
    """Return an answer as a body."""
    return json.dumps(said, separators=(",", ":")).encode()
