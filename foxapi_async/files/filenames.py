"""What a file is called: names that cannot leave their folder and are legal on every system."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from foxapi_async.files.sniff import same_extension

__all__ = ["clean", "file_name", "numbered", "safe_name"]

LONGEST: Final = 150
"""Bytes of UTF-8 that a safe name has at most; file systems take 255, and an extension follows."""

_PLAIN: Final = re.compile(r"[\w .~-]*", re.ASCII)
_TAG: Final = re.compile(r"-[0-9a-f]{12}\Z")
_ILLEGAL: Final = frozenset('/\\<>:"|?*')
_JOINERS: Final = frozenset("\u200c\u200d")
"""Not printable by themselves, but parts of words and of emoji."""

# Windows takes these for devices, whatever extension follows:
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?: *\..*| *)\Z",
    re.IGNORECASE | re.DOTALL,
)
_EXTENSION: Final = re.compile(r"\.([A-Za-z0-9]{1,10})\Z")


def safe_name(text: str) -> str:
    """Return a name for a file that is as much like a text as can be.

    It is never empty, has no separator, control character, leading dot, space or dash, trailing dot
    or space, is no device of Windows, and takes at most 150 bytes of UTF-8. A text with all that is
    returned as it is; otherwise 12 hexadecimal digits of a hash are added, so that distinct texts
    have distinct names.
    """
    name = clean(text)
    if name == text and not _TAG.search(text):
        return text
    tag = "-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return _shortened(name, LONGEST - len(tag)) + tag


def clean(text: str) -> str:
    """Return a legal name for a file; unlike with `safe_name`, distinct texts may become equal."""
    name = text if _PLAIN.fullmatch(text) else "".join(c if _is_legal(c) else "_" for c in text)
    if name[:1] in {".", " ", "-", ""}:
        name = "_" + name[1:]
    name = _shortened(name, LONGEST)
    if _RESERVED.match(name):
        name = _shortened("_" + name, LONGEST)
    return name


def file_name(
    given: str | None, task_id: str | None, index: int, extension: str, *, several: bool
) -> str:
    """Return what an output is called on disk.

    Args:
        given: The name that the caller wants, None for ``<task_id>-<index>``. An image extension in
            it gives way to the true one.
        task_id: The task that the output belongs to.
        index: Its position.
        extension: The true extension, without a dot.
        several: Whether other outputs are saved under the same given name.
    """
    if given is None:
        return f"{safe_name(task_id or 'output')}-{index}.{extension}"
    stem, kept = given, extension
    match = _EXTENSION.search(given)
    if match is not None and match.start() > 0:
        verdict = same_extension(match[1], extension)
        if verdict is not None:
            stem = given[: match.start()]
            kept = match[1] if verdict else extension
    return f"{safe_name(stem)}-{index}.{kept}" if several else f"{safe_name(stem)}.{kept}"


def numbered(name: str, number: int) -> str:
    """Return the name to try when a name is taken: ``a.png``, ``a~2.png``, ``a~3.png``, …."""
    if number <= 1:
        return name
    stem, dot, extension = name.rpartition(".")
    return f"{stem}~{number}.{extension}" if dot and stem else f"{name}~{number}"


def _is_legal(character: str) -> bool:
    return (character.isprintable() or character in _JOINERS) and character not in _ILLEGAL


def _shortened(name: str, longest: int) -> str:
    cut = name.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")
    kept = cut.rstrip(". ")
    return kept if kept or not cut else "_"
