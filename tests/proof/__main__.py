"""Writes docs/faults.md from the fault matrix: ``python -m tests.proof``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.proof.fault_matrix import COLUMNS, MATRIX, MEANING, Ends

DOCUMENT: Final = Path(__file__).parent.parent.parent / "docs" / "faults.md"

_TOP: Final = """\
# What happens when

How each call ends when the service, or something in front of it, does not answer as documented. A cell says how the call
ends if the fault hits one request or every second one; what follows "always" is how it ends if the fault hits all of
them. An empty cell does not occur. In every case a POST is repeated only if it is certain that no task was created, so
no row bills a request twice.

`tests/proof/test_fault_matrix.py` runs every cell against the emulator, and this page is written from the
same data: `python -m tests.proof`.

| word | means |
| --- | --- |
"""

_TABLE: Final = """
| the answer, or what happens instead | submit | wait | download | upload |
| --- | --- | --- | --- | --- |
"""


def document() -> str:
    """Return the text of docs/faults.md."""
    words = "".join(f"| {word} | {meaning} |\n" for word, meaning in MEANING.items())
    rows = (
        " | ".join([row.fault, *(_in_words(getattr(row, column)) for column in COLUMNS)])
        for row in MATRIX
    )
    return _TOP + words + _TABLE + "".join(f"| {row} |\n" for row in rows)


def _in_words(ends: Ends | None) -> str:
    if ends is None:
        return ""
    once, sometimes, always = (
        word.replace("|", " or ") for word in (ends.once, ends.sometimes, ends.always)
    )
    if once == sometimes == always:
        return once
    if once == sometimes:
        return f"{once}; always: {always}"
    return f"{once}; every second: {sometimes}; always: {always}"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
