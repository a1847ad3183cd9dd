"""Task ids that are safe in a URL path."""

from __future__ import annotations

import re
from typing import Final

from foxapi_async.errors import InvalidRequestError

# The union of what two careful clients of this API accept (section 2 of the API reference).
TASK_ID: Final = re.compile(
    r"(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,256}|[A-Za-z0-9][A-Za-z0-9._:-]{0,255}"
)
"""A task id: no slash, space or query, and not a dot segment."""


def check_task_id(value: object) -> str:
    """Return a task id from outside, or raise `InvalidRequestError`."""
    if not isinstance(value, str) or not TASK_ID.fullmatch(value):
        raise InvalidRequestError(
            f"task_id is {value!r}; it must be 1 to 256 letters, digits or . _ ~ : -, "
            "as the server gave it",
            field="task_id",
            value=value,
        )
    return value
