"""The service's JSON, and our values: the one place that knows how it spells things.

Reading is tolerant: a task is only its ``id``, unknown fields stay in ``raw``, and a wrong type in
an unimportant field becomes None. What leaves no usable answer raises `InvalidResponseError`.
Shapes: sections 3, 4, 6 and 7 of the API reference.
"""

from __future__ import annotations

import json
import logging
import math
import reprlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Final

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from foxapi_async._typeguards import is_array, is_object
from foxapi_async.errors import InvalidResponseError
from foxapi_async.http.ids import is_task_id
from foxapi_async.models import Output, Task, TaskError, TaskInfo, TaskStatus, UploadedFile

__all__ = ["decode", "encode", "excerpt", "one_line", "read_task", "read_upload", "task_to_json"]

_log = logging.getLogger("foxapi_async")

_EXCERPT: Final = 200
_MOST_DIGITS: Final = 4000
_STATUS_WORDS: Final = {
    **{status.value: status for status in TaskStatus if status is not TaskStatus.OTHER},
    "canceled": TaskStatus.CANCELLED,
}
_URL_FIELDS: Final = ("url", "image_url", "video_url", "audio_url")
_LABELS: Final = frozenset(
    {
        *("content_type", "width", "height", "duration", "resolution", "seed", "index"),
        *("result_type", "map_type", "degraded_reason"),
    }
)
"""What describes an output but is none by itself."""

_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})

_compact: Final = json.JSONEncoder(separators=(",", ":")).encode

_unknown_words: set[str] = set()


def encode(payload: Mapping[str, Any]) -> bytes:
    """Return the body of a POST: compact JSON, in ASCII."""
    return _compact(payload).encode()


def decode(body: bytes) -> object:
    """Return what a body says.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        try:
            return json.loads(body)
        except ValueError:
            # Python refuses numbers of more digits than this; no field of ours needs one.
            return json.loads(body, parse_int=_whole_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) < _MOST_DIGITS else math.inf


def excerpt(body: bytes) -> str:
    """Return the first characters of a body, on one line and fit for a log."""
    return one_line(body[: 4 * _EXCERPT].decode("utf-8", "replace"), longest=_EXCERPT)


def one_line(text: str, *, longest: int = 500) -> str:
    """Return a text of the server's on one line, without control characters, and not too long."""
    # Cut before it is cleaned as well: a server may send megabytes.
    start = text[: 4 * longest]
    line = " ".join("".join(c if c.isprintable() else " " for c in start).split())
    return line if len(line) <= longest else line[:longest] + "…"


def read_task(payload: object, *, asked: str | None = None) -> Task:
    """Return the task that a decoded answer describes.

    Args:
        payload: What `decode` returned.
        asked: The id that was asked for, None after a submission.

    Raises:
        InvalidResponseError: Not an object, no usable id, or another task's id.
    """
    if not is_object(payload):
        raise InvalidResponseError(
            f"the answer is a JSON {type(payload).__name__}, not a task", task_id=asked
        )
    task_id: object = payload.get("id")
    if not is_task_id(task_id):
        raise InvalidResponseError(
            f"the answer has no usable task id: {_short(task_id)}", task_id=asked
        )
    if asked is not None and task_id != asked:
        raise InvalidResponseError(
            f"asked for task {asked}, the answer is about {task_id}", task_id=asked
        )
    outputs = tuple(_outputs(payload))
    task: Task = _task_reader()({**payload, "outputs": outputs, "raw": payload}, Task)
    if task.status is not TaskStatus.FAILED:
        return task
    error = task.error or TaskError()
    if error.code is None and error.message is None:
        return attrs.evolve(task, error=attrs.evolve(error, code="unknown_error"))
    return task


def read_upload(payload: object) -> UploadedFile:
    """Return the stored file that a decoded answer describes.

    Raises:
        InvalidResponseError: Not an object, or no URL.
    """
    if not is_object(payload):
        raise InvalidResponseError("the answer to the upload is not a JSON object")
    if _text(payload.get("url")) is None:
        raise InvalidResponseError("the answer to the upload has no url")
    return _converter().structure({"id": None, **payload, "raw": payload}, UploadedFile)


def task_to_json(task: Task) -> dict[str, Any]:
    """Return a task as a JSON object, in the shape in which the service describes one."""
    written: dict[str, Any] = _converter().unstructure(task)
    return written


def is_usable(output: Output) -> bool:
    """Return whether an output is something, rather than labels of nothing."""
    return output.url is not None or any(
        value not in _NOTHING and name not in _LABELS and name not in _URL_FIELDS
        for name, value in output.data.items()
    )


def _outputs(payload: Mapping[str, Any]) -> Iterator[Output]:
    kind = _text(payload.get("type"))
    seen: set[str] = set()
    index = 0
    for data in _items(payload):
        url = next((text for name in _URL_FIELDS if (text := _text(data.get(name)))), None)
        output = Output(index, url, data, payload["id"], kind)
        if (url is not None and url in seen) or not is_usable(output):
            continue
        if url is not None:
            seen.add(url)
        index += 1
        yield output


def _items(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    results, output = payload.get("results"), payload.get("output")
    if is_array(results) and results:
        for item in results:
            if is_object(item):
                yield item
            elif isinstance(item, str):
                yield {"url": item}
    elif is_object(output):
        urls: object = output.get("urls")
        shared = {name: value for name, value in output.items() if name not in {"url", "urls"}}
        listed = urls if is_array(urls) and urls else [output.get("url")]
        for url in listed:
            yield {"url": url, **shared}


def _status(value: object, _: type) -> TaskStatus:
    if value is None:
        return TaskStatus.PENDING
    said = value.strip().lower() if isinstance(value, str) else value
    known = _STATUS_WORDS.get(said) if isinstance(said, str) else None
    if known is not None:
        return known
    word = _short(said)
    # Bounded, so that a server that makes up words cannot fill the log or the memory.
    if word not in _unknown_words and len(_unknown_words) < 100:  # noqa: PLR2004
        _unknown_words.add(word)
        _log.warning("unknown task status %s: taken as not finished", word)
    return TaskStatus.OTHER


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _seconds(value: object, _: object) -> float | None:
    number = _number(value)
    return number if number is not None and number >= 0 else None


def _percent(value: object, _: object) -> int | None:
    number = _number(value)
    return None if number is None else int(min(100, max(0, number)))


def _size(value: object, _: object) -> int | None:
    number = _number(value)
    return None if number is None or number < 0 else int(number)


def _moment(value: object, _: object) -> datetime | None:
    number = _number(value)
    try:
        return None if number is None else datetime.fromtimestamp(number, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _text(value: object, _: object = None) -> str | None:
    return value if isinstance(value, str) and value else None


def _flag(value: object, _: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _object(value: object, _: object) -> dict[str, Any]:
    return value if is_object(value) else {}


def _as_it_is(value: Any, _: object) -> Any:
    return value


def _short(value: object) -> str:
    return _brief.repr(value)


# Bounded in depth too: repr() of what json.loads() has read may raise RecursionError.
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 80
_brief.maxlevel = 2


def _error(value: object, _: object) -> TaskError | None:
    if isinstance(value, str) and value:
        return TaskError(message=value)
    return _converter().structure(value, TaskError) if isinstance(value, dict) else None


def _info(value: object, _: object) -> TaskInfo:
    if not is_object(value):
        return _shared_info(None, None)
    return _shared_info(
        _flag(value.get("can_cancel"), None), _seconds(value.get("estimated_time"), None)
    )


@lru_cache(maxsize=64)
def _shared_info(can_cancel: bool | None, estimated_time: float | None) -> TaskInfo:  # noqa: FBT001
    # Most tasks say the same, and a hundred thousand of them may be in flight.
    return TaskInfo(can_cancel, estimated_time)


def _code(value: object, _: object) -> str | None:
    number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if number else _text(value)


def _timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


# What cattrs compiles is compiled for the first answer, not when the package is imported.
@cache
def _converter() -> cattrs.Converter:
    def field(read: Any) -> Any:
        return override(struct_hook=read)

    converter = cattrs.Converter(detailed_validation=False)
    text, moment = field(_text), field(_moment)
    converter.register_structure_hook(TaskInfo, _info)
    converter.register_structure_hook(
        TaskError,
        make_dict_structure_fn(TaskError, converter, code=field(_code), message=text, type=text),
    )
    converter.register_structure_hook(
        Task,
        make_dict_structure_fn(
            Task,
            converter,
            id=field(_as_it_is),
            status=field(_status),
            model=text,
            progress=field(_percent),
            created=moment,
            type=text,
            object=text,
            task_info=field(_info),
            outputs=field(_as_it_is),
            error=field(_error),
            usage=field(_object),
            raw=field(_as_it_is),
        ),
    )
    converter.register_structure_hook(
        UploadedFile,
        make_dict_structure_fn(
            UploadedFile,
            converter,
            id=text,
            url=text,
            filename=text,
            size=field(_size),
            created=moment,
            raw=field(_as_it_is),
        ),
    )
    converter.register_unstructure_hook(Output, lambda output: dict(output.data))
    converter.register_unstructure_hook(datetime, _timestamp)
    converter.register_unstructure_hook(
        Task,
        make_dict_unstructure_fn(
            Task, converter, outputs=override(rename="results"), raw=override(omit=True)
        ),
    )
    return converter


# Looked up once: that is a good part of what an answer costs.
@cache
def _task_reader() -> Callable[[Any, type[Task]], Task]:
    return _converter().get_structure_hook(Task)
