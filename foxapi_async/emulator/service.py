"""The logic of the service, without HTTP."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl

from attrs import define, field, frozen

from foxapi_async.emulator import schema
from foxapi_async.emulator.answers import JSON, Reply, error_reply, json_reply
from foxapi_async.emulator.files import Signer, UploadStore, expired_reply, file_reply
from foxapi_async.emulator.gallery import Gallery, extension, other_file
from foxapi_async.emulator.limits import RetryAfter, retry_after_headers
from foxapi_async.emulator.pictures import CONTENT_TYPES, EXTENSIONS, Format, Picture, size_of
from foxapi_async.emulator.shapes import Shape, polled, submitted
from foxapi_async.emulator.store import Ledger, Record
from foxapi_async.emulator.task_lifecycle import (
    Duration,
    Estimate,
    Fate,
    Sentinel,
    announce,
    draw_duration,
)

RESULTS = "/files/"
UPLOADS = "/files/uploads/"

CREDITS_1K = 30_000
CREDITS_4K = 60_000
"""Credits for each image; 4K costs twice as much as 1K."""

_LONGEST_PAUSE = 60.0
"""Seconds; the most that `Retry-After` says when too many images are in flight."""


@frozen(kw_only=True)
class Conduct:
    """The behaviour of the service without a script; see `Emulator` for each field."""

    duration: Duration
    estimate: Estimate
    speed: float
    fail_rate: float
    credits: int | None
    max_images_in_flight: int | None
    max_outputs: int | None
    retry_after: RetryAfter
    shape: Shape
    unavailable_models: frozenset[str]
    url_lifetime: float
    picture_scale: float
    picture_format: Format
    seed: int


@define(eq=False)
class Service:
    """Tasks, uploads and files behind the routes."""

    conduct: Conduct
    ledger: Ledger
    uploads: UploadStore
    signer: Signer
    gallery: Gallery
    clock: Callable[[], float]
    wall: Callable[[], float]
    files_url: str = ""
    lives: random.Random = field(factory=random.Random)

    def submit(self, path: str, asked: Mapping[str, JSON], fate: Fate) -> Reply:
        """Create and bill a task, or refuse it."""
        if refusal := schema.check(path, asked) or self._refusal(asked):
            return error_reply(refusal.status, refusal.message, code=refusal.code)
        limit, balance = self.conduct.max_images_in_flight, self.balance
        now = self.clock()
        in_flight = self.ledger.in_flight(now)
        if limit is not None and in_flight + schema.outputs(asked) > limit:
            return self.too_many("too many images in flight", self._pause(now))
        if balance is not None and _price(asked) > balance:
            return error_reply(402, "the balance is too low")
        record = self._new_record(path, asked, fate)
        self.ledger.enter(record)
        return json_reply(submitted(record))

    def poll(self, task_id: str, *, synced: bool) -> Reply:
        """Return the answer to a poll."""
        record = self.ledger.tasks.get(task_id)
        if record is None:
            return error_reply(404, f"task {task_id} does not exist")
        record.polls += 1
        record.synced_polls += synced
        now = self.clock()
        if now < record.created + record.fate.hidden_for:
            return error_reply(404, f"task {task_id} does not exist")
        body = polled(
            record,
            now,
            synced=synced,
            shape=self.conduct.shape,
            size=self._size(record),
            link=lambda index: self._link(record, index),
        )
        return json_reply(body)

    async def file(self, path: str, query: str, headers: Mapping[str, str]) -> Reply:
        """Return an uploaded file, or a result if its link is valid."""
        if path.startswith(UPLOADS):
            stored = self.uploads.get(path, self.wall())
            if stored is None:
                return error_reply(404, "no such file")
            return file_reply(stored.content, stored.content_type, headers)
        if not self.signer.holds(path, dict(parse_qsl(query)), self.wall()):
            return expired_reply()
        task_id, _, name = path.removeprefix(RESULTS).partition("/")
        record = self.ledger.tasks.get(task_id)
        if record is None:
            return error_reply(404, "no such file")
        index, _, suffix = name.partition(".")
        if record.kind != "image":
            content, content_type = other_file(record.kind, record.model)
            return file_reply(content, content_type, headers)
        content = await self.gallery.picture(self._picture(record, int(index)))
        return file_reply(content, CONTENT_TYPES[suffix], headers)

    def models(self) -> Reply:
        """Return the available models."""
        names: Sequence[str] = [
            name for name in schema.CLOSED if name not in self.conduct.unavailable_models
        ]
        data = [
            {"id": name, "owned_by": "emulator", "supported_endpoint_types": ["image-generation"]}
            for name in names
        ]
        return json_reply({"object": "list", "data": data})

    def account(self) -> Reply:
        """Return the balance of the key and of its user."""
        used, left = self.ledger.credits_reserved, self.balance
        token: JSON = {
            "remaining_credits": left or 0,
            "used_credits": used,
            "unlimited_credits": left is None,
        }
        user: JSON = {"remaining_credits": left or 0, "used_credits": used}
        data: JSON = {"token": token, "user": user}
        return json_reply({"success": True, "message": "", "data": data})

    def pricing(self) -> Reply:
        """Return the price list; a profile has ratios in place of a price per call."""
        prices: dict[str, float] = {
            "phota-image": 0.06,
            "phota-image-edit": 0.08,
            "phota-image-enhance": 0.1,
        }
        data: list[JSON] = [
            {
                "model_name": name,
                "quota_type": 1 if name in prices else 0,
                "model_price": prices.get(name, 0),
                "model_ratio": 0 if name in prices else 2.5,
                "completion_ratio": 0,
                "enable_groups": ["default"],
                "vendor_id": 1,
                "tags": "",
                "supported_endpoint_types": ["image-generation"],
            }
            for name in schema.CLOSED
        ]
        return json_reply({"success": True, "data": data, "group_ratio": {"default": 1}})

    @property
    def balance(self) -> int | None:
        """Return the remaining credits; None if they are unlimited."""
        if self.conduct.credits is None:
            return None
        return self.conduct.credits - self.ledger.credits_reserved

    def too_many(self, message: str, wait: float) -> Reply:
        """Return a 429 with `Retry-After` in the configured format."""
        # Clients compare a date with the wall clock, not with the clock of the event loop.
        headers = retry_after_headers(self.conduct.retry_after, wait, time.time())
        return error_reply(429, message, headers=headers)

    def _pause(self, now: float) -> float:
        return min(_LONGEST_PAUSE, self.ledger.next_end(now) - now)

    def _refusal(self, payload: Mapping[str, JSON]) -> schema.Refusal | None:
        model, limit = payload["model"], self.conduct.max_outputs
        if model in self.conduct.unavailable_models:
            return schema.Refusal(
                f"model {model} does not exist or is not enabled", "model_not_found"
            )
        if limit is not None and schema.outputs(payload) > limit:
            return schema.Refusal(f"num_outputs is not valid: at most {limit}")
        own = self.files_url + UPLOADS
        for address in schema.addresses(payload):
            if address.startswith(own) and not self.uploads.get(
                address.removeprefix(self.files_url), self.wall()
            ):
                return schema.Refusal("an input file cannot be read", "invalid_image_url")
        return None

    def _new_record(self, path: str, payload: Mapping[str, JSON], fate: Fate) -> Record:
        conduct, rng = self.conduct, self.lives
        seconds = draw_duration(
            conduct.duration if isinstance(fate.duration, Sentinel) else fate.duration, payload, rng
        )
        estimate = conduct.estimate if isinstance(fate.estimate, Sentinel) else fate.estimate
        fails = rng.random() < conduct.fail_rate
        # As in the Date header of the answer, whatever the clock of the event loop says.
        now, unix = self.clock(), int(time.time())
        return Record(
            id=self.ledger.new_id(unix),
            kind=schema.PATHS[path],
            payload=payload,
            outputs=schema.outputs(payload),
            credits=_price(payload),
            created=now,
            created_unix=unix,
            finish=now + seconds / conduct.speed,
            ends_as=fate.ends_as or ("failed" if fails else "completed"),
            estimate=announce(estimate, payload, seconds, conduct.speed),
            fate=fate,
        )

    def _size(self, record: Record) -> tuple[int, int]:
        ratio = str(record.payload.get("aspect_ratio", "1:1"))
        return size_of(ratio, _resolution(record.payload), self.conduct.picture_scale)

    def _picture(self, record: Record, index: int) -> Picture:
        return Picture(
            prompt=str(record.payload.get("prompt", "")),
            model=record.model,
            task_id=record.id,
            index=index,
            outputs=record.outputs,
            size=self._size(record),
            format=self._format(record),
            seed=self.conduct.seed,
        )

    def _format(self, record: Record) -> Format:
        asked = record.payload.get("output_format")
        for known in EXTENSIONS:
            if asked == known:
                return known
        return self.conduct.picture_format

    def _link(self, record: Record, index: int) -> str:
        suffix = extension(record.kind, EXTENSIONS[self._format(record)])
        path = f"{RESULTS}{record.id}/{index}.{suffix}"
        return self.files_url + self.signer.sign(
            path, math.ceil(self.wall() + self.conduct.url_lifetime)
        )


def _resolution(payload: Mapping[str, JSON]) -> str:
    default = "4K" if payload.get("model") == "phota-image-enhance" else "1K"
    return str(payload.get("resolution", default))


def _price(payload: Mapping[str, JSON]) -> int:
    each = CREDITS_4K if _resolution(payload) == "4K" else CREDITS_1K
    return each * schema.outputs(payload)
