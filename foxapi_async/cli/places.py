"""Places that commands save in and read from: a directory, or the URL of a folder in an object store."""

from __future__ import annotations

from pathlib import Path

import typer

from foxapi_async import ConfigurationError
from foxapi_async.files.object_path import ObjectPath, destination


def place_of(given: str | Path) -> Path:
    """Return the place that an option names; raise BadParameter for a URL that is none of a store."""
    try:
        return destination(given)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None


def folder_of(given: str | Path) -> Path:
    """Return the directory that an option names; raise BadParameter for a URL."""
    place = place_of(given)
    if isinstance(place, ObjectPath):
        raise typer.BadParameter("it must be a directory on this machine")
    return place


def records_of(given: str | Path) -> Path:
    """Return the directory with the records of a job that was run with this ``-o``."""
    place = place_of(given)
    if not isinstance(place, ObjectPath):
        return place
    from foxapi_async.bulk.store.records_folder import records_folder  # noqa: PLC0415 - loads aiohttp

    return records_folder(place)


def check_store(place: ObjectPath) -> None:
    """Check, without a request, that objects can be saved; raise ConfigurationError if not."""
    from foxapi_async.files.object_store import open_store  # noqa: PLC0415 - loads aiohttp
    from foxapi_async.options import Retry, Timeout  # noqa: PLC0415

    open_store(place, Retry(), Timeout())
