"""Local files where a request takes a URL: checked, and named by their content. Blocking.

A request with a local file holds a stand-in for it, ``https://upload.invalid/sha256/…``: a URL that is
made from the content of the file alone. Keys and the journal are made from it, so a new link for the
same content is not another request, and a changed file is one. `InputUploads` replaces the stand-in
with a link right before the request is sent.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import stat
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import attrs

from foxapi_async._typeguards import is_array, is_object, is_tuple
from foxapi_async.bulk.temporary_index import index_error, temporary_database
from foxapi_async.files.sniff import HEAD, recognise
from foxapi_async.requests import STAND_IN

LARGEST: Final = 256 * 1024 * 1024
"""Bytes of an input file. The service documents no limit; a larger file was named by mistake."""

_URL_FIELD: Final = re.compile(r"(?:\A|_)urls?\Z", re.IGNORECASE)
_NO_INPUTS: Final = frozenset({"callback_url", "webhook_url"})
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # Two letters: "C:" is a drive
_LOOKS_LIKE_A_PATH: Final = re.compile(r"[/\\]|\.[A-Za-z0-9]{2,5}\Z")
_LONGEST_PATH: Final = 1024
"""Characters: a longer text is inline data, which some models take."""

_MOST_FAULTS: Final = 1000
_MOST_RECENT: Final = 4096  # Files that are kept in memory beside the database

_SELECT: Final = "SELECT path, size, state, sha256, format, is_image, problem FROM files WHERE "


class LocalFileError(ValueError):
    """A value is neither a URL nor a usable file."""


@attrs.frozen
class LocalFile:
    """An input file as it was checked: its size in bytes and its SHA-256 in hex."""

    path: Path
    size: int
    sha256: str
    format: str | None
    is_image: bool
    state: str
    """What changes whenever the file is written: if it is unchanged, so is the content."""

    @property
    def stand_in(self) -> str:
        """The URL that stands for the content of the file until it is uploaded."""
        return STAND_IN + self.sha256


class LocalFiles:
    """The local files that the requests of a job name; for several threads.

    Relative paths start from ``folder``. Each file is read once; what was found is kept in a temporary
    database, so the memory does not grow with the number of files.
    """

    def __init__(self, folder: Path) -> None:
        # Made absolute now, because the current folder may change.
        self.folder: Final = Path(os.path.abspath(folder))  # noqa: PTH100 - keeps symlinks
        self._lock: Final = threading.Lock()
        self._opened: sqlite3.Connection | None = None
        # Many lines often name the same file.
        self._recent: Final[dict[str, LocalFile | LocalFileError]] = {}
        self._recently_wanted: Final[set[str]] = set()
        self.faults: Final = Counter[str]()
        """How often `replace` has raised an error with each text; only the first of many are kept."""

    @property
    def is_used(self) -> bool:
        """Whether a request has named a file."""
        return self._opened is not None

    def replace(self, field: str, value: Any, *, strict: bool = True) -> Any:
        """Return the value of a field with a stand-in for each local file in it.

        Only fields whose names end with ``url`` or ``urls`` are looked at. Links stay as they are. With
        ``strict`` any other text must name a file, otherwise only texts that look like a path.

        Raises:
            LocalFileError: A text is neither a URL nor a usable file.
        """
        if not takes_url(field):
            return value
        try:
            return self._replaced_in(field, value, strict=strict)
        except LocalFileError as error:
            if str(error) in self.faults or len(self.faults) < _MOST_FAULTS:
                self.faults[str(error)] += 1
            raise

    def is_input(self, field: str, text: str) -> bool:
        """Return whether a text is the path of an existing file, in a field that takes a URL."""
        return takes_url(field) and _SCHEME.match(text) is None and self._is_file(text)

    def _is_file(self, text: str) -> bool:
        try:
            return self._path(text).is_file()
        except (OSError, ValueError):
            return False

    def find(self, sha256: str) -> LocalFile | None:
        """Return a file with this content."""
        rows = self._execute(_SELECT + "sha256 = ? LIMIT 1", sha256)
        return next((_file_of(row) for row in rows), None)

    def count_wanted(self, stand_ins: Iterable[str]) -> None:
        """Note that requests are to be submitted that need the files of these stand-ins."""
        for stand_in in stand_ins:
            if stand_in not in self._recently_wanted:
                self._execute("INSERT OR IGNORE INTO wanted VALUES (?)", stand_in[len(STAND_IN) :])
                if len(self._recently_wanted) >= _MOST_RECENT:
                    self._recently_wanted.clear()
                self._recently_wanted.add(stand_in)

    def forget_wanted(self) -> None:
        """Undo `count_wanted`."""
        self._recently_wanted.clear()
        if self._opened is not None:
            self._execute("DELETE FROM wanted")

    def wanted(self, batch: int) -> Iterator[dict[str, int]]:
        """Yield the SHA-256 and the size of each wanted file, in batches."""
        last = ""
        while self._opened is not None:
            rows = self._execute(
                "SELECT w.sha256, (SELECT size FROM files f WHERE f.sha256 = w.sha256) FROM wanted w"
                " WHERE w.sha256 > ? ORDER BY w.sha256 LIMIT ?",
                last,
                batch,
            )
            if not rows:
                return
            yield {sha256: size or 0 for sha256, size in rows}
            last = rows[-1][0]

    def _replaced_in(self, field: str, value: Any, *, strict: bool) -> Any:
        if is_array(value) or is_tuple(value):
            return type(value)(self._replaced(field, item, strict=strict) for item in value)
        return self._replaced(field, value, strict=strict)

    def _replaced(self, field: str, value: Any, *, strict: bool) -> Any:
        if not isinstance(value, str) or not value.strip():
            return value
        is_file_url = value[:5].lower() == "file:"
        if not is_file_url:
            is_other = len(value) > _LONGEST_PATH or _SCHEME.match(value) is not None
            is_word = (
                not strict and not _LOOKS_LIKE_A_PATH.search(value) and not self._is_file(value)
            )
            if is_other or is_word:
                return value
        file = self._recent.get(value)
        if file is None:
            try:
                file = self._checked(value)
            except LocalFileError as error:
                file = error
            if len(self._recent) >= _MOST_RECENT:
                self._recent.clear()
            self._recent[value] = file
        if isinstance(file, LocalFileError):
            raise LocalFileError(str(file))
        _check_format(field, value, file)
        return file.stand_in

    def _checked(self, text: str) -> LocalFile:
        path = self._path(text)
        name = hashlib.blake2b(str(path).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        rows = self._execute(_SELECT + "name = ?", name)
        if not rows:
            found: LocalFile | None = None
            problem = None
            try:
                found = read_file(path)
            except (OSError, ValueError) as error:
                problem = _reason(text, path, error)
            row = (
                str(path).encode("utf-8", "surrogatepass"),
                found and found.size,
                found and found.state,
                found and found.sha256,
                found and found.format,
                found and found.is_image,
                problem,
            )
            self._execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", name, *row
            )
            rows = [row]
        if (problem := rows[0][-1]) is not None:
            raise LocalFileError(problem)
        return _file_of(rows[0])

    def _path(self, text: str) -> Path:
        if text[:5].lower() == "file:":
            parts = urlsplit(text)
            if parts.netloc not in {"", "localhost"}:
                raise LocalFileError(
                    f"{text!r} names a file of another machine ({parts.netloc}); write file:///…"
                )
            text = url2pathname(parts.path)
        elif text.startswith(("~/", "~\\")):
            text = os.path.expanduser(text)  # noqa: PTH111 - leaves it unchanged if there is no home
        return self.folder / text

    def _execute(self, statement: str, *parameters: Any) -> list[Any]:
        try:
            with self._lock:
                if self._opened is None:
                    self._opened = temporary_database(
                        "CREATE TABLE files (name BLOB PRIMARY KEY, path BLOB, size INTEGER, state TEXT,"
                        " sha256 TEXT, format TEXT, is_image INTEGER, problem TEXT) WITHOUT ROWID",
                        "CREATE INDEX contents ON files (sha256)",
                        "CREATE TABLE wanted (sha256 TEXT PRIMARY KEY) WITHOUT ROWID",
                    )
                    weakref.finalize(self, self._opened.close)
                return self._opened.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise index_error(error) from error


@lru_cache(maxsize=1000)
def takes_url(field: str) -> bool:
    """Return whether a field takes the URL of an input, by its name."""
    return _URL_FIELD.search(field) is not None and field.lower() not in _NO_INPUTS


def stand_ins_of(payload: object) -> list[str]:
    """Return the stand-ins in the payload of a request, each once."""
    found: dict[str, None] = {}
    for value in payload.values() if is_object(payload) else ():
        for item in value if is_array(value) or is_tuple(value) else (value,):
            if isinstance(item, str) and item.startswith(STAND_IN):
                found[item] = None
    return list(found)


def read_file(path: Path) -> LocalFile:
    """Return what a file is; read it to its end, in bounded memory.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a regular file, or empty, or too large; or its name is impossible here.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for a writer
        raise ValueError("it is a folder" if path.is_dir() else "it is not a regular file")
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if not 0 < found.st_size <= LARGEST:
            size = f"it has {found.st_size:,} bytes; at most {LARGEST:,} are allowed"
            raise ValueError(size if found.st_size else "it is empty")
        head = file.read(HEAD)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    known = recognise(head)
    return LocalFile(
        path=path,
        size=found.st_size,
        sha256=sha256,
        format=known and known.extension,
        is_image=known is not None and known.is_image,
        state=state_of(found),
    )


def state_of(found: os.stat_result) -> str:
    """Return what changes whenever a file is written or replaced."""
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"


def _file_of(row: tuple[Any, ...]) -> LocalFile:
    path, size, state, sha256, form, is_image, _ = row
    return LocalFile(
        Path(path.decode("utf-8", "surrogatepass")), size, sha256, form, bool(is_image), state
    )


def _reason(text: str, path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"{text!r} is neither a URL nor a file: there is no file {path}"
    why = (isinstance(error, OSError) and error.strerror) or error
    return f"{text!r} is no URL, and as a file it cannot be used: {why} ({path})"


def _check_format(field: str, text: str, file: LocalFile) -> None:
    name = field.lower()
    if "archive" in name and file.format != "zip":
        raise LocalFileError(f"{text!r} is not a ZIP file by its first bytes ({file.path})")
    if ("image" in name or "mask" in name) and "archive" not in name and not file.is_image:
        known = f"a {file.format} file" if file.format else "of no known format"
        raise LocalFileError(
            f"{text!r} is not a picture by its first bytes; it is {known} ({file.path})"
        )
