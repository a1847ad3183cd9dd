"""The key of a line that names none, and short digests of keys. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

from foxapi_async.requests import Request

__all__ = ["content_digest", "default_key", "key_digest"]

_WORDS: Final = re.compile(r"[\W_]+")
_LONGEST_SLUG: Final = 40
"""Characters of the prompt in a key: enough to tell pictures apart in a folder."""

_DIGEST: Final = 16
"""Bytes: among a million keys two are equal with a chance of one in 10^26."""


def content_digest(request: Request) -> bytes:
    """Return what stands for a request: equal if and only if it is the same POST."""
    said = [request.path, request.payload()]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST).digest()


def default_key(request: Request, content: bytes, ordinal: int) -> str:
    """Return the key of a request by its content and its place among equal ones.

    It stays the same when lines are appended, or when lines with other content come or go.

    Args:
        request: The request; its prompt begins the key, so that a person recognises the picture.
        content: Its `content_digest`.
        ordinal: 1 for the first line with this content, 2 for the second, and so on.
    """
    # 16 digits, so that it does not look like the tag of a safe file name.
    key = f"{_slug(request.payload().get('prompt'))}{content.hex()[:16]}"
    return key if ordinal == 1 else f"{key}-{ordinal}"


def key_digest(key: str) -> bytes:
    """Return what stands for a key in an index."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _slug(prompt: Any) -> str:
    if not isinstance(prompt, str):
        return ""
    words = _WORDS.sub("-", prompt[:200].casefold()).strip("-")[:_LONGEST_SLUG].rstrip("-")
    return f"{words}-" if words else ""
