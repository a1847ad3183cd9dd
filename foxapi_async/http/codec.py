"""JSON of the API to values of the package, and payloads to JSON.

Reading is tolerant: only ``id`` is required, unknown fields are kept in ``raw``, and a wrong type in
another field becomes None. An answer that is not usable raises `InvalidResponseError`.
The shapes are in sections 3, 4, 6 and 7 of the API reference.
"""

from __future__ import annotations

import html
import json
import logging
import math
import re
import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, cast

from foxapi_async._typeguards import is_array, is_object
from foxapi_async._validators import check_texts
from foxapi_async.errors import InvalidRequestError, InvalidResponseError
from foxapi_async.http.ids import TASK_ID
from foxapi_async.models import (
    Output,
    Task,
    TaskError,
    TaskInfo,
    TaskStatus,
    UploadedFile,
    without_queries,
)

_log = logging.getLogger("foxapi_async")

_EXCERPT: Final = 200
_HTML: Final = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE
)
_TITLE: Final = re.compile(r"<title[^<>]{0,99}>\s*([^<>\s][^<>]*)</title", re.IGNORECASE)
_TAGS: Final = re.compile(
    r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[^<>]*(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_MOST_KEPT: Final = 16 * 1024
_MOST_DIGITS: Final = 4000
_STATUSES: Final[Mapping[object, TaskStatus]] = {
    **{status.value: status for status in TaskStatus if status is not TaskStatus.OTHER},
    "canceled": TaskStatus.CANCELLED,
    None: TaskStatus.PENDING,
}
_RELAYED: Final[Mapping[object, TaskStatus]] = {
    word: status
    for status, words in {
        TaskStatus.PENDING: "queued in_queue queueing waiting submitted accepted created scheduled "
        "not_start not_started notstart starting",
        TaskStatus.PROCESSING: "in_progress inprogress progressing running working started executing "
        "generating",
        TaskStatus.COMPLETED: "success successful succeed succeeded complete done finish finished",
        TaskStatus.FAILED: "failure fail error errored timeout timed_out expired rejected aborted",
    }.items()
    for word in words.split()
}
"""Words of relays between the API and the caller, lower-case and joined by underscores. They are
not documented, so an end counts only with results or an error beside it."""

_URL_FIELDS: Final = ("url", "image_url", "video_url", "audio_url")
_LABELS: Final = frozenset(
    {
        *("content_type", "width", "height", "duration", "resolution", "seed", "index"),
        *("result_type", "map_type", "degraded_reason"),
    }
)
"""Fields that describe an output but do not make one."""

_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})

_compact: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode

_unknown_words: set[str] = set()


def encode(payload: Mapping[str, Any]) -> bytes:
    """Return the body of a POST: compact JSON in ASCII; raise `InvalidRequestError` if that is impossible."""
    if not isinstance(payload, dict):
        raise InvalidRequestError(
            f"payload() of a request returned a {type(payload).__name__}; it must return a dict",
            value=payload,
        )
    try:
        body = _compact(payload)
    except _NOT_JSON as error:
        field, value = _invalid_field(payload)
        raise InvalidRequestError(
            f"the payload of a request cannot be sent as JSON, field {field!r}: {error}; allowed are "
            "dicts with text keys, lists, texts, finite numbers, booleans and None",
            field=field,
            value=value,
        ) from error
    # In ASCII such a character is an escape, as is an emoji; most bodies have neither.
    if "\\ud" in body or "\\u0000" in body:
        check_texts("payload()", payload)
    return body.encode()


_NOT_JSON: Final = (TypeError, ValueError, RecursionError)


def _invalid_field(payload: Mapping[str, Any]) -> tuple[str | None, object]:
    for name, value in payload.items():
        try:
            _compact({name: value})
        except _NOT_JSON:
            return str(name), value
    return None, payload


def to_text(body: bytes) -> str:
    """Return a body as text, in the encoding that it has as JSON; invalid bytes are replaced."""
    return body.decode(json.detect_encoding(body), "replace")


def decode(body: bytes) -> object:
    """Return the JSON value of a body; raise `ValueError` if it is not JSON.

    Invalid bytes in a string are replaced: the rest of the answer is worth more. A number that JSON
    cannot express (NaN, Infinity, 1e999) becomes None, so that what is kept can be written as JSON.
    """
    # Most answers begin like this, and these two bytes are not the beginning of another encoding.
    encoding = "utf-8" if body.startswith(b'{"') else json.detect_encoding(body)
    try:
        try:
            return _decoder.decode(body.decode(encoding, "surrogatepass"))
        except ValueError:
            # An invalid byte, or an integer of more digits than Python parses; no field that is read
            # needs one.
            return _tolerant_decoder.decode(to_text(body))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _whole_number(digits: str) -> int | None:
    return int(digits) if len(digits) < _MOST_DIGITS else None


def excerpt(body: bytes) -> str:
    """Return the beginning of a body as one printable line, without the queries of URLs.

    Of an HTML page, as proxies send it, the title is returned, or the text if it has none.
    """
    text = to_text(body[:_MOST_KEPT])
    if _HTML.match(text):
        title = _TITLE.search(text)
        text = html.unescape(_TAGS.sub(" ", text if title is None else title[1]))
        return f"an HTML page: {one_line(without_queries(text), longest=_EXCERPT)}".rstrip(": ")
    return one_line(without_queries(text[: 4 * _EXCERPT]), longest=_EXCERPT)


def kept_text(text: str) -> str | None:
    """Return as much of what a server said as is kept: 16 KiB in UTF-8; None if it said nothing."""
    if len(text) > _MOST_KEPT // 4:
        text = text.encode("utf-8", "replace")[:_MOST_KEPT].decode("utf-8", "ignore")
    return text or None


def one_line(text: str, *, longest: int = 500) -> str:
    """Return a text as one printable line of at most ``longest`` characters."""
    # Cut before cleaning, too: a server may send megabytes.
    start = text[: 4 * longest]
    line = " ".join("".join(c if c.isprintable() else " " for c in start).split())
    return line if len(line) <= longest else line[:longest] + "…"


def read_task(payload: object, *, asked: str | None = None) -> Task:
    """Return the task of a decoded answer, or raise `InvalidResponseError`; ``asked`` is the requested id, if any."""
    if not isinstance(payload, dict):
        raise InvalidResponseError(
            f"the answer is a JSON {type(payload).__name__}, not a task", task_id=asked
        )
    fields = cast("dict[str, Any]", payload)
    task_id: object = fields.get("id")
    if not isinstance(task_id, str) or not TASK_ID.fullmatch(task_id):
        raise InvalidResponseError(
            f"the answer has no usable task id: {_brief.repr(task_id)}", task_id=asked
        )
    if asked is not None and task_id != asked:
        raise InvalidResponseError(
            f"asked for task {asked}, but the answer is about task {task_id}", task_id=asked
        )
    return _task(fields)


def _task(fields: dict[str, Any]) -> Task:
    model, kind, object_ = fields.get("model"), fields.get("type"), fields.get("object")
    kind = kind if isinstance(kind, str) and kind else None
    progress = _number(fields.get("progress"))
    usage: object = fields.get("usage")
    error = fields.get("error")
    outputs = _outputs(fields, kind) if "results" in fields or "output" in fields else ()
    try:
        status = _STATUSES[fields.get("status")]
    except (KeyError, TypeError):
        status = _unusual_status(fields["status"], outputs, error)
    return Task(
        id=fields["id"],
        status=status,
        model=model if isinstance(model, str) and model else None,
        progress=None if progress is None else int(min(100, max(0, progress))),
        created=_moment(fields.get("created")),
        type=kind,
        object=object_ if isinstance(object_, str) and object_ else None,
        task_info=_info(fields.get("task_info")),
        outputs=outputs,
        error=None if error is None and status is not TaskStatus.FAILED else _error(error, status),
        usage=cast("dict[str, Any]", usage) if isinstance(usage, dict) else {},
        raw=fields,
    )


def read_upload(payload: object) -> UploadedFile:
    """Return the uploaded file that a decoded answer describes, or raise `InvalidResponseError`."""
    if not is_object(payload):
        raise InvalidResponseError("the answer to the upload is not a JSON object")
    url = _text(payload.get("url"))
    if url is None:
        raise InvalidResponseError("the answer to the upload has no url")
    return UploadedFile(
        id=_text(payload.get("id")),
        url=url,
        filename=_text(payload.get("filename")),
        size=_size(payload.get("size")),
        created=_moment(payload.get("created")),
        raw=payload,
    )


def is_usable(output: Output) -> bool:
    """Return whether an output has a URL or data beyond descriptive labels."""
    return output.url is not None or any(
        value not in _NOTHING and name not in _LABELS and name not in _URL_FIELDS
        for name, value in output.data.items()
    )


def _outputs(fields: dict[str, Any], kind: str | None) -> tuple[Output, ...]:
    results: object = fields.get("results")
    items = cast("list[object]", results) if isinstance(results, list) else []
    if isinstance(results, dict) and results:
        items = [cast("object", results)]
    items = items or _older_results(fields.get("output"))
    urls: set[str | None] = set()
    outputs: list[Output] = []
    for item in items:
        given = {"url": item} if isinstance(item, str) else item
        if not isinstance(given, dict):
            continue
        fields_of_item = cast("dict[str, Any]", given)
        for data in _one_per_file(fields_of_item):
            url = None
            for name in _URL_FIELDS:
                url = url or _link(data.get(name))
            output = Output(len(outputs), url, data, fields["id"], kind)
            if is_usable(output) if url is None else url not in urls:
                urls.add(url)
                outputs.append(output)
    return tuple(outputs)


def _one_per_file(item: dict[str, Any]) -> list[dict[str, Any]]:
    for name in (*_URL_FIELDS, "b64_json"):
        if isinstance(listed := item.get(name), list) and listed:
            return [{**item, name: each} for each in cast("list[object]", listed)]
    return [item]


def _link(value: object) -> str | None:
    # {"image_url": {"url": …}} is what chat completions call an image.
    return _text(value.get("url") if is_object(value) else value)


def _older_results(output: object) -> list[object]:
    if not is_object(output):
        return []
    urls: object = output.get("urls")
    shared = {name: value for name, value in output.items() if name not in {"url", "urls"}}
    listed = urls if is_array(urls) and urls else [output.get("url")]
    return [{"url": url, **shared} for url in listed]


def _unusual_status(value: object, outputs: tuple[Output, ...], error: object) -> TaskStatus:
    said = value
    if isinstance(value, str):
        said = re.sub(r"[\s_-]+", "_", value.strip().lower())
        known = _STATUSES.get(said) or _RELAYED.get(said)
        doubtful = said in _RELAYED and (
            (known is TaskStatus.COMPLETED and not outputs)
            or (known is TaskStatus.FAILED and not _names_a_reason(error))
        )
        if known is not None and not doubtful:
            return known
    word = _brief.repr(said)
    # Bounded, so that a server that invents words cannot fill the log or the memory.
    if word not in _unknown_words and len(_unknown_words) < 100:  # noqa: PLR2004
        _unknown_words.add(word)
        _log.warning("unknown task status %s: treated as not finished", word)
    return TaskStatus.OTHER


def _names_a_reason(error: object) -> bool:
    described = _error(error, TaskStatus.OTHER)
    return described is not None and (described.code or described.message) is not None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


# json.loads() with arguments would build a decoder for each answer.
_decoder: Final = json.JSONDecoder(parse_constant=_number, parse_float=_number)
_tolerant_decoder: Final = json.JSONDecoder(
    parse_constant=_number, parse_float=_number, parse_int=_whole_number
)


def _size(value: object) -> int | None:
    number = _number(value)
    return None if number is None or number < 0 else int(number)


def _moment(value: object) -> datetime | None:
    number = _number(value)
    return None if number is None else _utc(number)


@lru_cache(maxsize=1024)
def _utc(seconds: float) -> datetime | None:
    # Every poll of a task tells again when it was created.
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


# Bounded in depth too: repr() of what json.loads() has read may raise RecursionError.
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 80
_brief.maxlevel = 2


def _error(value: object, status: TaskStatus) -> TaskError | None:
    error = None
    if isinstance(value, str) and value:
        error = TaskError(message=value)
    elif is_object(value):
        error = TaskError(
            code_of(value.get("code")), _text(value.get("message")), _text(value.get("type"))
        )
    if status is not TaskStatus.FAILED:
        return error
    if error is None or (error.code is None and error.message is None):
        return TaskError("unknown_error", type=None if error is None else error.type)
    return error


def _info(value: object) -> TaskInfo:
    if not isinstance(value, dict):
        return _shared_info(None, None)
    fields = cast("dict[str, Any]", value)
    can_cancel, seconds = fields.get("can_cancel"), _number(fields.get("estimated_time"))
    return _shared_info(
        can_cancel if isinstance(can_cancel, bool) else None,
        seconds if seconds is not None and seconds >= 0 else None,
    )


@lru_cache(maxsize=64)
def _shared_info(can_cancel: bool | None, estimated_time: float | None) -> TaskInfo:  # noqa: FBT001
    # Most tasks announce the same, and a hundred thousand of them may be in flight.
    return TaskInfo(can_cancel, estimated_time)


def code_of(value: object) -> str | None:
    """Return a text that is not empty or a whole number as a text, else None."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if number else _text(value)
