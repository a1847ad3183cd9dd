"""What is wrong with one line of a job file."""

from __future__ import annotations

import attrs

__all__ = ["Problem"]


@attrs.frozen
class Problem:
    """Something wrong in a job file.

    ``line`` counts from 1, ``field`` is the name of the field (None if the line as a whole is wrong).
    """

    line: int
    field: str | None
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", {self.field}" if self.field is not None else "")
        return f"{where}: {self.message}"
