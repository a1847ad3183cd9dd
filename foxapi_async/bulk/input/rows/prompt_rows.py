"""Rows of a text with one prompt per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TextIO

from foxapi_async._typeguards import is_object
from foxapi_async.bulk.input.rows.row import NOT_UTF8, Row, bounded_lines, is_undecoded, too_long


def prompt_rows(text: TextIO) -> Iterator[Row]:
    """Yield a row for each line that is neither blank nor a comment, which begins with ``#``."""
    for number, line in enumerate(bounded_lines(text), 1):
        if line is None:
            yield too_long(number)
            continue
        prompt = line.strip()
        if not prompt or prompt.startswith("#"):
            continue
        if is_undecoded(prompt):
            yield Row(number, problem=NOT_UTF8)
        elif _is_json_object(prompt):
            # Somebody forgot that the file is a text. The image of such a prompt is of no use.
            yield Row(
                number,
                problem="is a JSON object in a text of prompts; write all lines as JSON, and give the "
                "file the name .jsonl",
            )
        else:
            yield Row(number, {"prompt": prompt})


def _is_json_object(line: str) -> bool:
    if not (line.startswith("{") and line.endswith("}")):
        return False
    try:
        return is_object(json.loads(line))
    except (ValueError, RecursionError):
        return False
