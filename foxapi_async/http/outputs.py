"""Outputs that are no plain links: inline data, and links without a scheme or a host.

FoxAPI documents absolute links. Relays in front of it answer with base64 in a field such as ``b64_json``, with
``data:`` URLs (RFC 2397), or with links that are relative to the API.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast
from urllib.parse import unquote, unquote_to_bytes

from yarl import URL

from foxapi_async._typeguards import is_array, is_object
from foxapi_async.environment import is_loopback
from foxapi_async.models import Output, Task, safe_repr

INLINE: Final = "inline:"
"""How the `Output.url` of inline data begins, once the data itself has been put aside."""

INLINE_FIELDS: Final = frozenset(
    {
        *("b64_json", "b64", "base64", "image_base64", "image_b64", "b64_image"),
        *("audio_base64", "video_base64"),
    }
)
"""Fields that hold a file as base64."""

PLAIN: Final = ("https://", "http://")
"""How absolute links begin; all that the documentation knows are."""
_SIGNATURES: Final = (
    *("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "Qk0", "PHN2Zy", "PD94bWwg"),
    *("SUQz", "T2dnU", "AAAAGGZ0eX", "AAAAHGZ0eX", "AAAAIGZ0eX", "JVBERi", "UEsDB"),
)
"""How base64 of PNG, JPEG, GIF, WebP or WAV, BMP, SVG, MP3, Ogg, MP4 or AVIF, PDF and ZIP begins."""

_SHORTEST: Final = 64
"""Characters; a shorter text is not a picture."""
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\s-]{64}")

_DATA_URL: Final = re.compile(r"data:([^,]{0,200}),", re.IGNORECASE)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\d)")
_HOST: Final = re.compile(
    r"(?:(?:[\w-]+\.)+[A-Za-z]{2,}|\d{1,3}(?:\.\d{1,3}){3}|localhost|\[[0-9a-f:]+\])(?::\d+)?(?=[/?])",
    re.IGNORECASE,
)

_UPWARDS: Final = re.compile(r"\A(?:\.{0,2}/)*")
"""What leads to the origin at the beginning of a relative link."""

_SLICE: Final = 1024 * 1024
_DEEPEST: Final = 16
_NESTED: Final = 2  # Objects around the content of an output
_URL_SAFE: Final = str.maketrans("-_", "+/")


def is_inline(output: Output) -> bool:
    """Return whether the content of an output was part of an answer."""
    if output.url is not None and output.url.startswith((INLINE, *PLAIN)):
        return output.url.startswith(INLINE)
    return inline_text(output) is not None


def absolute(link: str, base: URL) -> str:
    """Return a link with scheme and host: those of the API, or https in front of a host.

    A loopback host has the scheme of the API. What names another scheme is returned as it is.
    """
    if link.startswith(PLAIN):
        return link
    named = link.removeprefix("//")
    # Without slashes in front, "film.mov?sig=1" is rather a file than a host.
    host = _HOST.match(f"{named}/" if named != link else named)
    if host is not None and (named != link or link[host.end()] == "/"):
        name = host[0].rpartition(":")[0] if re.search(r":\d+\Z", host[0]) else host[0]
        is_local = is_loopback(name.strip("[]"))
        return f"{base.scheme if is_local else 'https'}://{named}"
    if link.startswith("//"):
        return f"https:{link}"
    # A server must not name the inline data of another task.
    if _SCHEME.match(link) and not link.startswith(INLINE):
        return link
    return f"{str(base.origin()).rstrip('/')}/{_UPWARDS.sub('', link)}"


def inline_text(output: Output) -> str | None:
    """Return the text that holds the content of an output, None if it holds none.

    That is a ``data:`` URL or base64, in the place of the link or, without one, in a field.
    """
    if output.url is not None:
        return output.url if _is_content(output.url) else None
    return _content_of(output.data)


def decoded(text: str) -> Iterator[bytes]:
    """Yield the content of an inline text in pieces; raise `ValueError` if it cannot be decoded."""
    start = 0
    if (prefix := _DATA_URL.match(text)) is not None:
        start = prefix.end()
        if not prefix[1].lower().rstrip().endswith(";base64"):
            yield unquote_to_bytes(text[start:])
            return
    if "%" in text:
        text, start = unquote(text[start:]), 0
    rest = ""
    for at in range(start, len(text), _SLICE):
        piece = rest + "".join(text[at : at + _SLICE].split()).translate(_URL_SAFE)
        whole = len(piece) - len(piece) % 4
        rest = piece[whole:]
        yield base64.b64decode(piece[:whole], validate=True)
    if rest:
        yield base64.b64decode(rest + "=" * (-len(rest) % 4), validate=True)


def without_inline(value: Any, name: str = "", depth: int = 0) -> Any:
    """Return a JSON value in which short notes stand in the place of inline data.

    What is nested deeper than any result stays as it is.
    """
    if depth > _DEEPEST:
        return value
    if isinstance(value, str):
        is_content = _is_content(value) or (name in INLINE_FIELDS and len(value) >= _SHORTEST)
        return f"({len(value)} characters, kept apart)" if is_content else value
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        return {key: without_inline(each, key, depth + 1) for key, each in fields.items()}
    if is_array(value):
        return [without_inline(each, name, depth + 1) for each in value]
    return value


def missing_picture(task: Task, kind: str | None) -> str | None:
    """Return what the server said in the place of pictures, None if there are some or none are due.

    ``kind`` is that of the request, for a task that has no type. Some image models make no picture but,
    for example, a profile: an output that has an id.
    """
    outputs = task.outputs
    if (task.type or kind) != "image" or any(output.url is not None for output in outputs):
        return None
    names = {name for output in outputs for name in output.data}
    if "result_type" in names or any(name.endswith("_id") for name in names):
        return None
    return safe_repr([dict(output.data) for output in outputs])[:300]


def _content_of(data: Mapping[str, Any], depth: int = 0) -> str | None:
    for name, value in data.items():
        found = None
        if isinstance(value, str) and (name in INLINE_FIELDS or _is_content(value)):
            found = value
        elif is_object(value) and depth < _NESTED:  # {"inlineData": {"mimeType": …, "data": …}}
            found = _content_of(value, depth + 1)
        if found:
            return found
    return None


def _is_content(text: str) -> bool:
    if len(text) < _SHORTEST:
        return text[:5].lower() == "data:"
    if text[:5].lower() == "data:":
        return True
    return text.startswith(_SIGNATURES) and _BASE64.match(text) is not None
