"""The submissions of a job that may have been billed and whose task is not known. Blocking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from foxapi_async import ConfigurationError
from foxapi_async._typeguards import is_object
from foxapi_async.journal.entry import Entry, JournalStatus
from foxapi_async.journal.protocol import SessionJournal


def doubtful_lines(
    journal: SessionJournal, results: Path | None
) -> Iterator[tuple[Entry, int | None]]:
    """Yield the unknown entries of a journal, oldest first, each with its line in the job.

    The line is None if ``results``, the file with the results of the job, does not name it.

    Raises:
        ConfigurationError: One of the files cannot be read.
    """
    numbers = {} if results is None else _line_numbers(results)
    for entry in journal.stream(JournalStatus.UNKNOWN):
        yield entry, numbers.get(entry.key)


def _line_numbers(results: Path) -> dict[str, int]:
    numbers: dict[str, int] = {}
    try:
        with results.open("rb") as file:
            for line in file:
                # Only these lines are decoded: a file may have millions.
                if b'"unknown"' in line and (found := _key_and_number(line)) is not None:
                    numbers[found[0]] = found[1]
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigurationError(f"cannot read {results}: {error.strerror or error}") from error
    return numbers


def _key_and_number(line: bytes) -> tuple[str, int] | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not is_object(fields):
        return None
    key, number = fields.get("key"), fields.get("line")
    return (key, number) if isinstance(key, str) and isinstance(number, int) else None
