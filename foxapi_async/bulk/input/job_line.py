"""One request of a job, and the key that makes it idempotent."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from foxapi_async import Request
from foxapi_async.bulk.input.cells import is_missing
from foxapi_async.bulk.input.rows.row import Cell
from foxapi_async.bulk.temporary_index import Duplicates

_NON_WORDS: Final = re.compile(r"[\W_]+")
_LONGEST_SLUG: Final = 40
"""Characters of the prompt in a key: enough to tell pictures apart in a directory."""

_DIGEST: Final = 16  # Bytes: among a million contents, two are equal with a chance of one in 10^26


@attrs.frozen
class JobLine:
    """One request of a job: its line in the file, from 1, and the key that makes it idempotent.

    ``own`` are the columns that are not sent: JSON values for results and file names.
    """

    number: int
    key: str
    request: Request
    own: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)


def own_key(own: Mapping[str, Any], names: Sequence[str]) -> tuple[str, str] | tuple[None, None]:
    """Return the first of these own columns that can serve as the key, and the key."""
    for name in names:
        value = own[name]
        if isinstance(value, int) and not isinstance(value, bool):
            return name, str(value)
        if isinstance(value, str) and value.strip() and not is_missing(Cell(value)):
            return name, value
    return None, None


def _slug(prompt: str) -> str:
    # The beginning is enough for nearly all prompts, and much faster.
    for characters in (_LONGEST_SLUG + 20, 200):
        text = _NON_WORDS.sub("-", prompt[:characters].casefold()).lstrip("-")
        if len(text) > _LONGEST_SLUG:
            break
    return text.rstrip("-")[:_LONGEST_SLUG].rstrip("-")


_canonical: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def default_key(request: Request, duplicates: Duplicates) -> str:
    """Return the key of a request that has none. It does not change when lines are appended."""
    payload = request.payload()
    # Equal if and only if it is the same POST.
    content = _canonical([request.path, payload]).encode()
    digest = hashlib.blake2b(content, digest_size=_DIGEST).digest()
    # People recognise the picture by the beginning of the prompt.
    prompt = payload.get("prompt")
    slug = _slug(prompt) if isinstance(prompt, str) else ""
    # 16 digits, because `safe_name` marks a name that it has changed with 12.
    key = f"{slug}-{digest.hex()[:16]}" if slug else digest.hex()[:16]
    number = duplicates.count(digest)
    return key if number == 1 else f"{key}-{number}"
