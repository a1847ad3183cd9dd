"""Names of files: they cannot leave their folder and are legal on every system. Pure."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from itertools import count
from typing import Final

from foxapi_async.files.sniff import same_extension

MAX_NAME: Final = 150
"""Bytes of UTF-8 in a safe name, and of the encoding of file names; file systems allow 255, and an
extension follows."""

ENCODING: Final = sys.getfilesystemencoding()

_PLAIN: Final = re.compile(r"[\w .~-]*", re.ASCII)
_TAG: Final = re.compile(r"-[0-9a-f]{12}\Z")
_ILLEGAL: Final = frozenset('/\\<>:"|?*')
_JOINERS: Final = frozenset("\u200c\u200d")
"""Not printable, but parts of words and of emoji."""

# Windows takes these for devices, whatever extension follows:
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?: *\..*| *)\Z",
    re.IGNORECASE | re.DOTALL,
)
_EXTENSION: Final = re.compile(r"\.([A-Za-z0-9]{1,10})\Z")

_WRITTEN_BY_JOBS: Final = re.compile(
    r"index(?:-failures)?(?:-\d+)?\.html?|contact-sheet|results\.(?:jsonl|csv|parquet)|results-table\.jsonl"
    r"|journal\.sqlite(?:-\w+|\.\w+\.owner)?"
    r"|records\.json|jobs(?:-\d+)?\.(?:jsonl?|csv|txt)(?:\.gz)?"
    r"|runs\.jsonl(?:\.lock|\.\w+\.(?:owner|progress|progress\.tmp))?",
    re.IGNORECASE,
)
"""The contact sheet, the results and their table, the journal and the run log with their side files, and a
job from standard input, in a job's directory."""


def safe_name(text: str, encoding: str = ENCODING) -> str:
    """Return a safe file name that is as close to a text as possible.

    It is not empty, has no separator, control character, leading dot, space or dash, and no trailing
    dot or space, is not a device of Windows, has at most 150 bytes, and can be encoded by ``encoding``.
    A text that needs a change gets 12 hexadecimal digits of its hash, so that distinct texts have
    distinct names.
    """
    name = clean(text, encoding)
    if name == text and not _TAG.search(text):
        return text
    tag = "-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return _shortened(name, MAX_NAME - len(tag), encoding) + tag


def clean(text: str, encoding: str = ENCODING, most: int = MAX_NAME) -> str:
    """Return a safe file name of at most ``most`` bytes; distinct texts may become equal."""
    name = text
    if not _PLAIN.fullmatch(text):
        # First of all: what an encoding lacks becomes "?", and "¥" a backslash in EUC-JP.
        name = text.encode(encoding, "replace").decode(encoding)
        name = "".join(c if _is_legal(c) else "_" for c in name)
    if name[:1] in {".", " ", "-", ""}:
        name = "_" + name[1:]
    name = _shortened(name, most, encoding)
    if _RESERVED.match(name):
        name = _shortened("_" + name, most, encoding)
    return name


def is_written_by_jobs(name: str) -> bool:
    """Return whether a job writes a file of its own under this name into its directory."""
    return _WRITTEN_BY_JOBS.fullmatch(name) is not None


def without_image_extension(name: str) -> str:
    """Return a name without extensions of images: the true one follows when the file is there."""
    while (match := _EXTENSION.search(name)) and match.start() > 0:
        if same_extension(match[1], "") is None:
            break
        name = name[: match.start()]
    return name


def file_name(
    name: str | None, task_id: str | None, index: int, extension: str, *, several: bool
) -> str:
    """Return the file name of an output: the given name, with the index if it is for several outputs.

    Without a name it is ``<task_id>-<index>``. An extension of images in the name is replaced by the
    true one, which is given without a dot.
    """
    if name is None:
        return f"{safe_name(task_id or 'output')}-{index}.{extension}"
    stem, kept = name, extension
    match = _EXTENSION.search(name)
    if match is not None and match.start() > 0:
        is_same = same_extension(match[1], extension)
        if is_same is not None:
            stem = name[: match.start()]
            kept = match[1] if is_same else extension
    return f"{safe_name(stem)}-{index}.{kept}" if several else f"{safe_name(stem)}.{kept}"


def numbered(name: str, number: int) -> str:
    """Return the name to try when a name is taken: ``a.png``, ``a~2.png``, ``a~3.png``, …."""
    if number <= 1:
        return name
    stem, dot, extension = name.rpartition(".")
    return f"{stem}~{number}.{extension}" if dot and stem else f"{name}~{number}"


def free_names(name: str) -> Iterator[str]:
    """Yield the names to try for a file: the given one, then numbered ones; none that jobs write to."""
    names = (numbered(name, number) for number in count(1))
    return (each for each in names if not is_written_by_jobs(each))


def _is_legal(character: str) -> bool:
    return (character.isprintable() or character in _JOINERS) and character not in _ILLEGAL


def _shortened(name: str, most: int, encoding: str) -> str:
    cut = name.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")
    cut = cut.encode(encoding, "replace")[:most].decode(encoding, "ignore")
    kept = cut.rstrip(". ")
    return kept if kept or not cut else "_"
