"""The names of the files of a job by a pattern: checked for all lines, and clashes numbered. Blocking."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import attrs

from foxapi_async import JobFileError
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.job import Job
from foxapi_async.bulk.results.name_pattern import FileName, NamePattern, values_of
from foxapi_async.bulk.temporary_index import index_error, temporary_database
from foxapi_async.errors import Problem

_KEPT: Final = 1000  # Problems that are kept; the others are only counted
_SHOWN: Final = 20  # Problems, lines or fields in the text of an error
_FOLDERS: Final = 10_000  # Folders that are remembered in memory; the database has all
_FIELDS: Final = 200  # Names of fields that are remembered for the text of an error


def check_file_names(job: Job, pattern: str, directory: Path) -> None:
    """Check that a pattern gives every file of a job a name below a directory, before anything is paid.

    Raises:
        InvalidRequestError: The pattern cannot be used.
        JobFileError: It uses a field that no line or not every line has, or a value does not suit its
            format; or the job file was changed.
    """
    FileNames.of_job(job.whole, NamePattern.parse(pattern), directory).close()


@contextmanager
def checking_names(
    job: Job, pattern: str | None, directory: Path
) -> Generator[Callable[[JobLine], None] | None, None, None]:
    """Do what `check_file_names` does with the lines of the job that are read within the block.

    Yield what takes each line; None if there is nothing to check, or everything was read already because
    only some of the lines are selected.
    """
    if pattern is not None and job.selection is not None:
        check_file_names(job, pattern, directory)
    if pattern is None or job.selection is not None:
        yield None
        return
    with closing(FileNames(NamePattern.parse(pattern), directory)) as names:
        yield names.add
        names.check(job.path)


class FileNames:
    """The names of the files of a job. Clashes are numbered in the order of the lines: ``a``, ``a~2``, ….

    Names that differ only in case or in the spelling of accented letters clash, because many file
    systems take them for one.
    """

    def __init__(self, pattern: NamePattern, directory: Path) -> None:
        self.pattern: Final = pattern
        self._directory = directory
        self._lock = threading.Lock()
        self._problems = _Problems(pattern)
        self._checked: set[tuple[str, ...]] = set()
        self._database = temporary_database(
            "CREATE TABLE names (digest BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID",
            "CREATE TABLE folders (digest BLOB PRIMARY KEY) WITHOUT ROWID",
            "CREATE TABLE clashes (line INTEGER, place INTEGER, number INTEGER,"
            " PRIMARY KEY (line, place)) WITHOUT ROWID",
        )

    @classmethod
    def of_job(cls, job: Job, pattern: NamePattern, directory: Path) -> Self:
        """Return the names of the files of a job; raise JobFileError as `check_file_names` does."""
        names = cls(pattern, directory)
        try:
            with closing(job.lines()) as lines:
                for line in lines:
                    names.add(line)
            names.check(job.path)
        except BaseException:
            names.close()
            raise
        return names

    def add(self, line: JobLine) -> None:
        """Name the files of the next line of the job."""
        outputs = line.request.num_outputs
        values = values_of(line, 0)
        if not self._problems.add_fields(line, values):
            return
        for index in range(outputs):
            values["index"] = index
            try:
                self._add(line, values, index, several=outputs > 1)
            except ValueError as error:
                self._problems.add(line.number, str(error))
                break
            except sqlite3.Error as error:
                raise index_error(error) from error

    def check(self, source: Path) -> None:
        """Raise JobFileError if something is wrong with a line; ``source`` is the file of the job."""
        self._problems.raise_if_any(source)

    def close(self) -> None:
        """Remove the index."""
        self._database.close()

    def name_of(self, line: JobLine, index: int, *, several: bool) -> FileName:
        """Return the name of an output of a line; ``several`` adds the index if the pattern has none."""
        name = self.pattern.render(values_of(line, index), index=index if several else None)
        select = "SELECT number FROM clashes WHERE line = ? AND place = ?"
        with self._lock:
            row = self._database.execute(select, (line.number, index)).fetchone()
        return name if row is None else _numbered(name, row[0])

    def _add(self, line: JobLine, values: Mapping[str, Any], index: int, *, several: bool) -> None:
        name = self.pattern.render(values, index=index if several else None)
        self._check_folders(name.folders)
        number = self._count(name)
        # A numbered name may be taken by a line that has it as its own.
        while number > 1 and self._count(_numbered(name, number)) > 1:
            number = self._count(name)
        if number > 1:
            self._database.execute(
                "INSERT OR REPLACE INTO clashes VALUES (?, ?, ?)", (line.number, index, number)
            )

    def _count(self, name: FileName) -> int:
        """Count a name and return how often it has occurred, this time included."""
        digest = (_digest(*name.folders, name.stem),)
        execute = self._database.execute
        if execute("INSERT OR IGNORE INTO names VALUES (?, 1)", digest).rowcount:
            return 1
        execute("UPDATE names SET times = times + 1 WHERE digest = ?", digest)
        select = "SELECT times FROM names WHERE digest = ?"
        return int(execute(select, digest).fetchone()[0])

    def _check_folders(self, folders: tuple[str, ...]) -> None:
        """Raise ValueError if a folder cannot be made because a file has its name."""
        if not folders or folders in self._checked:
            return
        if len(self._checked) < _FOLDERS:
            self._checked.add(folders)
        insert = "INSERT OR IGNORE INTO folders VALUES (?)"
        if not self._database.execute(insert, (_digest(*folders),)).rowcount:
            return
        path = self._directory
        for folder in folders:
            path /= folder
            if path.exists() and not path.is_dir():
                raise ValueError(f"the folder {path} cannot be made: there is a file of that name")


class _Problems:
    """Collects what is wrong with the values of a pattern's fields."""

    def __init__(self, pattern: NamePattern) -> None:
        self._pattern = pattern
        self._problems: list[Problem] = []
        self._more = 0
        self._known: dict[str, None] = {}
        self._lines = 0
        self._missing: Counter[str] = Counter()
        self._missing_lines: dict[str, list[int]] = {name: [] for name in pattern.fields}

    def add(self, line: int, message: str) -> None:
        if len(self._problems) < _KEPT:
            self._problems.append(Problem(line, "--name", message))
        else:
            self._more += 1

    def add_fields(self, line: JobLine, values: dict[str, Any]) -> bool:
        """Take note of the fields of a line, and return whether the pattern has all that it uses."""
        self._lines += 1
        if len(self._known) < _FIELDS:
            self._known.update(dict.fromkeys(values))
        missing = [name for name in self._pattern.fields if name not in values]
        for name in missing:
            self._missing[name] += 1
            if len(self._missing_lines[name]) < _SHOWN:
                self._missing_lines[name].append(line.number)
        return not missing

    def raise_if_any(self, source: Path) -> None:
        texts: list[str] = []
        for name, number in self._missing.items():
            if number == self._lines:
                texts.append(f"no line has a field {name!r}; there are {self._fields()}")
            else:
                lines = ", ".join(map(str, self._missing_lines[name]))
                more = number - len(self._missing_lines[name])
                rest = f" and {more:,} more" if more else ""
                texts.append(f"{name!r} is missing in line {lines}{rest}; give every line a value")
        shown = self._problems[:_SHOWN]
        hidden = len(self._problems) + self._more - len(shown)
        texts += [str(problem) for problem in shown]
        texts += [f"… and {hidden:,} more"] if hidden else []
        if not texts:
            return
        head = (
            f"{source}: the pattern of names {self._pattern.text!r} does not suit every line; nothing "
            "was sent"
        )
        raise JobFileError(
            "\n  ".join([head, *texts]),
            problems=tuple(self._problems),
            more=self._more,
            field="name",
            value=self._pattern.text,
        )

    def _fields(self) -> str:
        known = list(self._known)
        return ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")


def _numbered(name: FileName, number: int) -> FileName:
    return attrs.evolve(name, stem=f"{name.stem}~{number}")


def _digest(*parts: str) -> bytes:
    # Some file systems take both spellings of an accented letter for one.
    text = unicodedata.normalize("NFC", "/".join(parts)).casefold()
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
