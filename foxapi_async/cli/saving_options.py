"""The options of `foxapi run` about the files that it saves."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from typer import Option

Name = Annotated[
    str | None,
    Option(
        "--name",
        metavar="PATTERN",
        help="How to name the files, with folders: '{category}/{line:05}-{key}-{index}'. Fields: line, "
        "key, index, model, prompt, those of the request, and own columns. Default: the key.",
        rich_help_panel="Files",
    ),
]

Table = Annotated[
    bool,
    Option(
        "--table/--no-table",
        help="Whether to write the table results.csv.",
        rich_help_panel="Files",
    ),
]

Sidecar = Annotated[
    Literal["json", "txt"] | None,
    Option(
        "--sidecar",
        help="Write a file beside each one: NAME.json with all that is known of it, or NAME.txt with "
        "the prompt. Also beside the files of earlier runs.",
        rich_help_panel="Files",
    ),
]
Embed = Annotated[
    bool,
    Option(
        "--embed",
        help="Put the prompt into the metadata of the pictures that are fetched: PNG text, JPEG and "
        "WebP XMP.",
        rich_help_panel="Files",
    ),
]


@attrs.frozen(kw_only=True)
class SavingOptions:
    """How a job saves its files."""

    name: str | None = None
    table: bool = True
    sidecar: Literal["json", "txt"] | None = None
    embed: bool = False
