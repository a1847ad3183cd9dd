"""The file ``results.jsonl``: it only grows, line by line, and mends its end after a crash. Blocking.

Several processes may append to it. Each line tells of one request; where several tell of the same,
the last one counts, and a line that would only repeat the last one is not written. The last lines are
found by an index in a temporary database, so the memory stays small however long the file is.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast, get_args

from foxapi_async._typeguards import is_array
from foxapi_async.bulk.keys import key_digest
from foxapi_async.bulk.locking import locked
from foxapi_async.bulk.result import Result, ResultStatus, facts_digest, facts_of, result_line
from foxapi_async.bulk.seen import no_room, temporary_database
from foxapi_async.errors import ConfigurationError

__all__ = ["ResultsFile", "lasting"]

_BLOCK: Final = 256 * 1024
_STATUSES: Final = frozenset(get_args(ResultStatus))
_PAID: Final = ("completed", "unsaved", "unfinished", "failed", "unknown")
"""What may have been billed."""


class ResultsFile:
    """The results of a job, open to append.

    Args:
        path: The file; it is made if it is not there. What a crash has left of its last line is
            completed if it is whole, else removed.

    Raises:
        ConfigurationError: It cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.damaged: int = 0
        """Lines in the middle that could not be read."""
        self._read_to = 0
        self._turn = threading.Lock()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(path, flags, 0o666)
        except OSError as error:
            raise self._trouble(error) from error
        try:
            self._index = temporary_database(
                "CREATE TABLE last (key BLOB PRIMARY KEY, facts BLOB, line INTEGER, status TEXT,"
                " files INTEGER, place INTEGER) WITHOUT ROWID"
            )
            with locked(self._file):
                self._mend()
                self._catch_up()
        except OSError as error:
            os.close(self._file)
            raise self._trouble(error) from error
        except BaseException:
            os.close(self._file)
            raise

    def close(self) -> None:
        """Put everything on disk and close the file."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._trouble(error) from error
        finally:
            os.close(self._file)
            self._index.close()

    def append(self, results: Sequence[Result]) -> int:
        """Write those results that tell something new; return how many those were.

        Raises:
            ConfigurationError: The file cannot be written; it is left without half a line.
        """
        try:
            with self._turn, locked(self._file):
                self._mend()  # another process may have died in the middle of a line
                self._catch_up()
                now = datetime.now(UTC)
                new = [result for result in results if self._is_new(result)]
                self._write("".join(result_line(result, now) for result in new).encode())
                self._catch_up()
        except OSError as error:
            raise self._trouble(error) from error
        return len(new)

    def select(self, *, good: bool, most: int) -> Iterator[dict[str, Any]]:
        """Yield the last line of each request that is completed (or that is not), as in the job."""
        places = self._index.execute(
            "SELECT place FROM last WHERE (status = 'completed') = ? ORDER BY line, place LIMIT ?",
            (good, most),
        ).fetchall()
        for (place,) in places:
            described = _described(self._line_at(place))
            if described is not None:
                yield described

    def counts(self) -> dict[str, int]:
        """Return of how many requests the last line has each status, whatever job they are of."""
        rows = self._index.execute("SELECT status, count(*) FROM last GROUP BY status").fetchall()
        return {str(status): int(number) for status, number in rows}

    def files(self) -> int:
        """Return how many files the completed requests have."""
        row = self._index.execute(
            "SELECT total(files) FROM last WHERE status = 'completed'"
        ).fetchone()
        return int(row[0])

    def count_paid(self) -> int:
        """Return of how many requests the last line tells of something that may have been billed."""
        return sum(number for status, number in self.counts().items() if status in _PAID)

    def paid_before(self, key: str) -> str | None:
        """Return the last status of a request that may have been billed; None for any other."""
        with self._turn:
            row = self._index.execute(
                "SELECT status FROM last WHERE key = ?", (key_digest(key),)
            ).fetchone()
        return row[0] if row is not None and row[0] in _PAID else None

    def _is_new(self, result: Result) -> bool:
        row = self._index.execute(
            "SELECT facts, status FROM last WHERE key = ?", (key_digest(result.key),)
        ).fetchone()
        if row is None:
            return True
        # A journal that could not be written when the task was accepted knows less than this file.
        knows_less = row[1] == "completed" and result.status == "unknown"
        return not knows_less and row[0] != facts_of(result)

    def _write(self, content: bytes) -> None:
        if not content:
            return
        end = os.fstat(self._file).st_size
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, end)
            raise

    def _mend(self) -> None:
        size = os.fstat(self._file).st_size
        if size == 0 or self._read(size - 1, size) == b"\n":
            return
        start = self._start_of_last_line(size)
        if _described(self._read(start, size)) is not None:
            os.write(self._file, b"\n")
        else:
            os.ftruncate(self._file, start)

    def _start_of_last_line(self, size: int) -> int:
        end = size
        while end > 0:
            begin = max(end - _BLOCK, 0)
            found = self._read(begin, end).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
        return 0

    def _catch_up(self) -> None:
        """Take in what was written since, by this process or another."""
        size = os.fstat(self._file).st_size
        if size < self._read_to:
            raise ConfigurationError(f"{self.path} was cut short while the job ran; start again")
        rest = b""
        at = self._read_to
        while at + len(rest) < size:
            begin = at + len(rest)
            block = rest + self._read(begin, min(begin + _BLOCK, size))
            *lines, rest = block.split(b"\n")
            for line in lines:
                self._note(line, at)
                at += len(line) + 1
        self._read_to = at

    def _note(self, line: bytes, place: int) -> None:
        described = _described(line)
        if described is None:
            self.damaged += bool(line.strip())
            return
        number = described.get("line")
        status = described["status"] if described["status"] in _STATUSES else "other"
        files = described.get("files")
        try:
            self._index.execute(
                "INSERT OR REPLACE INTO last VALUES (?, ?, ?, ?, ?, ?)",
                (
                    key_digest(described["key"]),
                    facts_digest(described),
                    number if isinstance(number, int) and abs(number) < 2**62 else 0,
                    status,
                    len(files) if is_array(files) else 0,
                    place,
                ),
            )
        except sqlite3.Error as error:
            raise no_room(error) from error

    def _line_at(self, place: int) -> bytes:
        line = b""
        while b"\n" not in line and (block := self._read(place, place + _BLOCK)):
            line += block
            place += len(block)
        return line.partition(b"\n")[0]

    def _read(self, begin: int, end: int) -> bytes:
        # Not pread, which Windows has not. What is written goes to the end wherever this stands.
        os.lseek(self._file, begin, os.SEEK_SET)
        parts: list[bytes] = []
        while begin < end and (block := os.read(self._file, end - begin)):
            parts.append(block)
            begin += len(block)
        return b"".join(parts)

    def _trouble(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"{self.path} cannot be written: {error.strerror or error}")


def _described(line: bytes) -> dict[str, Any] | None:
    """Return what a line says; None if it is damaged."""
    try:
        value = json.loads(line)
        if not isinstance(value, dict):
            return None
        described = cast("dict[str, Any]", value)
        facts_digest(described)
    except (ValueError, RecursionError):
        return None
    words = (described.get("key"), described.get("status"))
    return described if all(isinstance(word, str) for word in words) else None


def lasting(results: Sequence[Result]) -> list[Result]:
    """Return the results that are worth a line: the others are decided by a later run."""
    return [
        result
        for result in results
        if result.status != "unfinished"
        and (result.status != "not_submitted" or result.error_code == "InvalidRequestError")
    ]
