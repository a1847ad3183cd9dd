"""Task ids that are safe in a URL path."""

from __future__ import annotations

import re
from typing import Final

from foxapi_async.errors import InvalidRequestError

# The union of what two careful clients of this API accept (section 2 of the API reference).
_TASK_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,256}|[A-Za-z0-9][A-Za-z0-9._:-]{0,255}")


def is_task_id(value: object) -> bool:
    """Return whether a value can be a task id: no slash, space, query, and not a dot segment."""
    return isinstance(value, str) and value not in {".", ".."} and bool(_TASK_ID.fullmatch(value))


def check_task_id(value: object) -> str:
    """Return a task id from outside.

    Raises:
        InvalidRequestError: It is not a task id.
    """
    if not isinstance(value, str) or not is_task_id(value):
        raise InvalidRequestError(
            f"task_id is {value!r}; it must be 1 to 256 letters, digits or . _ ~ : -, "
            "as the server gave it",
            field="task_id",
            value=value,
        )
    return value
