"""A job that comes from a stream, which can be read only once: kept in a file. Blocking."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final

from foxapi_async import ConfigurationError
from foxapi_async.bulk.job import Job

STREAM: Final = "standard input"
"""What errors call the job."""

_GZIP: Final = b"\x1f\x8b"


@contextmanager
def spooled(stream: BinaryIO) -> Generator[Path, None, None]:
    """Read a stream to its end into a temporary file, which is removed after the block.

    Raises:
        ConfigurationError: The stream cannot be read, or the file cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix="foxapi-jobs-")
    except OSError as error:
        raise _not_spooled(error) from error
    path = Path(name)
    try:
        try:
            with os.fdopen(descriptor, "wb") as file:
                shutil.copyfileobj(stream, file)
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            raise _not_spooled(error) from error
        yield path
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def keep(job: Job, directory: Path) -> Job:
    """Copy the file of a job into an existing directory, and return the job that is read from there.

    The file is called ``jobs`` with the extension of its format, such as ``jobs.csv`` or
    ``jobs.jsonl.gz``. A file with other content stays: the new one becomes ``jobs-2.csv``, and so on.

    Raises:
        ConfigurationError: It cannot be written.
    """
    try:
        with job.path.open("rb") as source:
            is_compressed = source.read(len(_GZIP)) == _GZIP
            source.seek(0)
            ending = f".{job.format}{'.gz' if is_compressed else ''}"
            target = _copy(source, job.path, directory, ending)
    except OSError as error:
        raise ConfigurationError(
            f"cannot keep the job in {directory}: {error.strerror or error}; nothing was sent"
        ) from error
    return job.moved_to(target)


def _copy(source: BinaryIO, path: Path, directory: Path, ending: str) -> Path:
    names = (f"jobs{'' if number == 1 else f'-{number}'}{ending}" for number in count(1))
    for target in map(directory.joinpath, names):
        try:
            file = target.open("xb")
        except FileExistsError:
            if target.is_file() and filecmp.cmp(path, target, shallow=False):
                return target
            continue
        try:
            with file:
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return target
    raise AssertionError  # numbers do not end


def _not_spooled(error: Exception) -> ConfigurationError:
    why = getattr(error, "strerror", None) or error
    return ConfigurationError(
        f"{STREAM} cannot be copied to a temporary file ({why}); nothing was sent. Write the job to a "
        "file, and run that"
    )
