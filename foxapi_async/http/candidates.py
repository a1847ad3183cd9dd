"""Task ids that an ambiguous answer to a POST names, and whether such a task is the one submitted. Pure.

A proxy may wrap the answer of the API, cut it, or answer with that to somebody else's request. So an id
in such an answer is a candidate only: the server must confirm that the task was created by this POST.
"""

from __future__ import annotations

import re
from typing import Final

from foxapi_async._typeguards import is_object
from foxapi_async.http.codec import kept_text
from foxapi_async.http.ids import TASK_ID
from foxapi_async.http.retry_rules import named_values
from foxapi_async.models import Task

MOST: Final = 4
"""Candidates of one answer that are looked at."""

MOST_LOOKED_AT: Final = 1024 * 1024
"""The most bytes of an answer's text that are searched for ids; fields of its JSON are always looked at."""

_EARLIER: Final = 2.0
_LATER: Final = 1.0
"""Seconds by which ``created`` may lie before the POST or after now: the clocks differ."""

_FORM: Final = re.compile(r"(?<![\w-])task-[a-z]+-[0-9]{6,12}-[A-Za-z0-9]{6,16}(?![\w-])")
"""The form of all ids that were seen: task-unified-1760000000-k3v9x2ab."""
_FIELD: Final = re.compile(
    r"""["'](?:task_)?id\\{0,16}["']\s{0,99}:\s{0,99}\\{0,16}["']([^"'\\\s]{1,256})\\{0,16}["']"""
)
"""A field ``id`` or ``task_id`` in broken JSON, or in JSON within a text. Repetitions are bounded, so that the time
grows with the length of the text and not with its square."""


def find_candidates(text: str, payload: object) -> tuple[str, ...]:
    """Return the ids that an answer names, at most `MOST`: first those in known fields of its JSON.

    ``payload`` is the decoded text; anything but an object if it cannot be decoded.
    """
    found = [value for value in named_values(payload) if isinstance(value, str)]
    found += _FORM.findall(text)
    if not is_object(payload):
        found += _FIELD.findall(text)
    return tuple(value for value in dict.fromkeys(found) if TASK_ID.fullmatch(value))[:MOST]


def kept_answer(said: str, payload: object) -> str | None:
    """Return as much of an ambiguous answer as is kept; the ids in what is cut off come first."""
    kept = kept_text(said)
    if kept is None or len(kept) == len(said):
        return kept
    cut_off = [each for each in find_candidates(said, payload) if each not in kept]
    if not cut_off:
        return kept
    named = ", ".join(f'"task_id": "{each}"' for each in cut_off)
    return kept_text(f"Further on it names {named}\n\n{kept}")


def is_ours(task: Task, *, model: str, posted: float, now: float) -> bool:
    """Return whether a task can only come from a POST for ``model`` that left at ``posted``.

    Times are seconds since 1970 by the server's clock.
    """
    if task.created is None:
        return False
    created = task.created.timestamp()
    if not posted - _EARLIER <= created <= now + _LATER:
        return False
    return task.model is None or _family(task.model) == _family(model)


def _family(model: str) -> str:
    # The model of an answer may have a vendor prefix, a variant, or a date that the request lacks:
    # "google/veo-3.1[fast|audio]" for "veo-3.1" (section 13 of the API reference).
    name = model.strip().casefold().rpartition("/")[2].partition("[")[0]
    return re.sub(r"[-@:](?:\d{8}|\d{4}-\d{2}-\d{2}|latest)\Z", "", name)
