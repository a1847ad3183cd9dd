"""The options that several commands share, each written down once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AsJson",
    "BaseUrl",
    "Folder",
    "KeyFile",
    "Quiet",
    "Timeout",
    "Verbose",
]

_SHARED = "Common options"

AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=_SHARED),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Only warnings and errors on stderr.", rich_help_panel=_SHARED
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="The log on stderr, at DEBUG.", rich_help_panel=_SHARED),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="A file with the API key alone. Else FOXAPI_API_KEY, FOXAPI_API_KEY_FILE, "
        "~/.config/foxapi/key.",
        rich_help_panel=_SHARED,
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="Where the API is. Else FOXAPI_BASE_URL, https://api.foxapi.cc.",
        rich_help_panel=_SHARED,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Save the files here; made if need be."),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.001,
        help="How long to wait for a task; then it goes on at the server (exit code 7).",
    ),
]
