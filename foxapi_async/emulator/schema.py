"""Validation of submissions: the schemas of `phota-*`, and what all models share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from attrs import frozen

from foxapi_async.emulator.answers import JSON

Kind: TypeAlias = Literal["image", "video", "audio", "document"]

PATHS: Mapping[str, Kind] = {
    "/v1/images/generations": "image",
    "/v1/videos/generations": "video",
    "/v1/audios/generations": "audio",
    "/v1/audio/generations": "audio",
    "/v1/run/generations": "document",
}
SINGULAR_AUDIO_PATH = "/v1/audio/generations"
SINGULAR_AUDIO_MODELS = frozenset({"suno-v4"})
RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9")
RESOLUTIONS = ("1K", "4K")


@frozen
class Refusal:
    """Why a submission is rejected."""

    message: str
    code: str | None = None
    status: int = 422


Check: TypeAlias = Callable[[str, JSON], Refusal | None]


def _text(name: str, value: JSON) -> Refusal | None:
    if isinstance(value, str) and value.strip():
        return None
    return Refusal(f"{name} must be a text that is not empty")


def _count(name: str, value: JSON) -> Refusal | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return None
    return Refusal(f"{name} is not valid: it must be an integer of at least 1")


def _share(name: str, value: JSON) -> Refusal | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return None
    return Refusal(f"{name} must be a number between 0 and 1")


def _one_of(*words: str) -> Check:
    def check(name: str, value: JSON) -> Refusal | None:
        if isinstance(value, str) and value in words:
            return None
        return Refusal(f"{name} must be one of {', '.join(words)}")

    return check


def _texts(name: str, value: JSON) -> Refusal | None:
    if isinstance(value, list) and all(isinstance(each, str) and each for each in value):
        return None
    return Refusal(f"{name} must be an array of strings")


def _address(name: str, value: JSON) -> Refusal | None:
    if not isinstance(value, str):
        return Refusal(f"{name} must be a string")
    if value.startswith(("http://", "https://")):
        return None
    return Refusal(f"{name} must be a public URL", "invalid_image_url")


def _addresses(name: str, value: JSON) -> Refusal | None:
    if not isinstance(value, list) or not value:
        return Refusal(f"{name} must be an array of URLs that is not empty")
    for each in value:
        if refusal := _address(name, each):
            return refusal
    return None


@frozen
class Schema:
    """The fields of one model; other fields are rejected."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check]

    def check(self, payload: Mapping[str, JSON]) -> Refusal | None:
        """Return the first problem of a payload."""
        for name in self.required:
            if name not in payload:
                return Refusal(f"{name} is required")
        for name, value in payload.items():
            if name == "model":
                continue
            check = self.required.get(name) or self.optional.get(name)
            if check is None:
                return Refusal(f"unknown field {name}")
            if refusal := check(name, value):
                return refusal
        return None


CLOSED: Mapping[str, Schema] = {
    "phota-image": Schema(
        {"prompt": _text},
        {
            "num_outputs": _count,
            "resolution": _one_of(*RESOLUTIONS),
            "aspect_ratio": _one_of(*RATIOS),
        },
    ),
    "phota-image-edit": Schema(
        {"prompt": _text, "image_urls": _addresses},
        {"num_outputs": _count, "resolution": _one_of(*RESOLUTIONS), "profile_ids": _texts},
    ),
    "phota-image-enhance": Schema(
        {"image_url": _address},
        {
            "resolution": _one_of(*RESOLUTIONS),
            "creativity": _share,
            "resemblance": _share,
            "profile_ids": _texts,
        },
    ),
    "phota-create-profile": Schema({"image_archive_url": _address}, {}),
}


def check(path: str, payload: Mapping[str, JSON]) -> Refusal | None:
    """Return the first problem of a submission, or None.

    Models without a schema are accepted with any fields if `num_outputs` is a count.
    """
    model = payload.get("model")
    if not isinstance(model, str) or not model:
        return Refusal("model is required")
    if (path == SINGULAR_AUDIO_PATH) != (model in SINGULAR_AUDIO_MODELS):
        return Refusal(f"model {model} is not served at {path}", status=404)
    schema = CLOSED.get(model)
    if schema is None:
        return _count("num_outputs", payload["num_outputs"]) if "num_outputs" in payload else None
    if PATHS[path] != "image":
        return Refusal(f"model {model} is not served at {path}", "model_not_found")
    return schema.check(payload)


def outputs(payload: Mapping[str, JSON]) -> int:
    """Return the number of outputs of a valid submission."""
    count = payload.get("num_outputs", 1)
    return count if isinstance(count, int) else 1


def addresses(payload: Mapping[str, JSON]) -> tuple[str, ...]:
    """Return the URLs of the input files of a submission."""
    found: list[str] = []
    for name, value in payload.items():
        if name.endswith("_url") and isinstance(value, str):
            found.append(value)
        elif name.endswith("_urls") and isinstance(value, list):
            found.extend(each for each in value if isinstance(each, str))
    return tuple(found)
