"""Which format a job file has: by its name, unless its content says otherwise. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import PurePath
from typing import Final, Literal

from foxapi_async._typeguards import is_object
from foxapi_async.bulk.input.rows.table_rows import DELIMITERS, separator_of, split_header

FileFormat = Literal["jsonl", "json", "csv", "txt"]

_BY_SUFFIX: Final[dict[str, FileFormat]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "txt",
}

_JSON_ARRAY: Final = re.compile(r'\[\s*[{"\]]|\[\s*\Z')
"""Not ``[[``, with which a prompt begins that references a profile."""


class UnclearFormatError(Exception):
    """A file may be a table or a text of prompts, so somebody must say which."""


def detect_format(name: str, head: str, columns: Collection[str]) -> FileFormat:
    """Return the format of a file.

    Args:
        name: Its name, with or without ``.gz``.
        head: Its beginning; the last line of it may be cut off.
        columns: The names, in small letters, one of which the header of a table must have.

    Raises:
        UnclearFormatError: It may be a table or a text of prompts.
    """
    named = _BY_SUFFIX.get(PurePath(name.lower().removesuffix(".gz")).suffix)
    whole, _, _ = head.rpartition("\n") if "\n" in head else (head, "", "")
    lines = [line.strip("\r ") for line in whole.split("\n") if line.strip()]
    if named == "txt":
        lines = [line for line in lines if not line.startswith("#")]
    first = lines[0] if lines else ""
    if (found := _json_format(named, first, head, columns)) is not None:
        return found
    if separator_of(first) is not None or named == "csv":
        return "csv"
    if named != "json" and _is_table(first, columns, named):
        return "csv"
    if named in {"json", "jsonl"}:
        return named
    if first and _may_be_table(lines, columns):
        raise UnclearFormatError(
            "may be a table or a text of prompts: say which with --format csv or --format txt; the "
            'column with the prompts is called "prompt", or named with --field prompt=COLUMN'
        )
    return "txt"


def _json_format(
    named: FileFormat | None, first: str, head: str, columns: Collection[str]
) -> FileFormat | None:
    if _JSON_ARRAY.match(head.lstrip()):
        return "json"
    if first.startswith("{"):
        if "\n" not in head or _is_json_object(first):
            return "jsonl"
        # An object of several lines. A line of JSON lines that is broken is reported as such.
        return "json" if named == "json" or first == "{" else named or "jsonl"
    if named in {None, "json"} and first.startswith('"') and _is_prompt(first, columns):
        return "jsonl"
    return None


def _is_json_object(line: str) -> bool:
    try:
        return is_object(json.loads(line))
    except (ValueError, RecursionError):
        return False


def _is_prompt(line: str, columns: Collection[str]) -> bool:
    """Return whether a line is a prompt as a JSON string, and not the header of one column."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, str) and value.casefold() not in columns


def _is_table(first: str, columns: Collection[str], named: FileFormat | None) -> bool:
    """Return whether the first line certainly is a header."""
    if named == "txt":
        # What Excel saves as "Unicode text". A prompt may well contain commas, but no tab.
        return "\t" in first and _names_column(first, "\t", columns)
    return any(_names_column(first, delimiter, columns) for delimiter in DELIMITERS)


def _names_column(line: str, delimiter: str, columns: Collection[str]) -> bool:
    return any(name.casefold() in columns for name in split_header(line, delimiter))


def _may_be_table(lines: list[str], columns: Collection[str]) -> bool:
    if any(_names_column(lines[0], delimiter, columns) for delimiter in DELIMITERS):
        return True
    several = len(lines) > 1
    return several and any(
        len({line.count(delimiter) for line in lines}) == 1 and delimiter in lines[0]
        for delimiter in "\t;"
    )
