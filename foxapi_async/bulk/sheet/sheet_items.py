"""What the contact sheet shows of one request, made safe and short. Pure."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import attrs

from foxapi_async._typeguards import is_array, is_object
from foxapi_async.bulk.results.saved_files import saved_paths
from foxapi_async.bulk.sheet.thumbnails import Thumbnail
from foxapi_async.models import without_queries

MediaKind = Literal["image", "video", "audio", "other"]

_KINDS: Final[dict[str, MediaKind]] = {
    **dict.fromkeys(("png", "jpg", "jpeg", "webp", "gif", "avif", "bmp"), "image"),
    **dict.fromkeys(("mp4", "webm", "mov", "m4v", "ogv"), "video"),
    **dict.fromkeys(("mp3", "wav", "ogg", "oga", "opus", "m4a", "aac", "flac", "weba"), "audio"),
}
"""By the extension: what browsers show."""

_JOINERS: Final = frozenset("\u200c\u200d")
"""Not printable, but parts of words and of emoji."""

_PROMPT, _REASON, _VALUE = 2000, 600, 200
"""Characters that can be searched for of a prompt, an error and an own column."""
_COLUMNS: Final = 40
_DATA: Final = 200


@attrs.frozen(kw_only=True)
class SheetFile:
    """A file of a request: ``path`` is relative to the directory, ``link`` the same for a page."""

    path: str
    link: str
    kind: MediaKind
    sha256: str
    thumbnail: Thumbnail | None = None


@attrs.frozen(kw_only=True)
class SheetItem:
    """A request on the contact sheet; its texts are printable, bounded, and not escaped."""

    line: str
    key: str
    status: str
    prompt: str
    own: tuple[tuple[str, str], ...] = ()
    task_id: str = ""
    reason: str = ""
    files: tuple[SheetFile, ...] = ()
    data: str = ""
    """Outputs that are not files."""
    command: str = ""
    """What settles an unknown request."""

    def row(self) -> list[object]:
        """Return what the script of the page reads, as JSON types."""
        files: list[list[object]] = []
        for file in self.files:
            small = file.thumbnail
            name, ratio = (small.name, round(small.ratio, 4)) if small else ("", 1)
            files.append([file.link, file.kind, name, ratio])
        own = [list(column) for column in self.own]
        texts = [self.line, self.key, self.status, self.prompt, self.task_id, self.reason]
        return [*texts, own, files, self.data, self.command]


def read_item(fields: dict[str, Any], directory: Path) -> SheetItem:
    """Return what the sheet shows of a line of ``results.jsonl``; the files are in ``directory``."""
    key, status = str(fields["key"]), str(fields["status"])
    own = fields.get("own")
    columns = list(own.items())[:_COLUMNS] if is_object(own) else []
    return SheetItem(
        line=printable(str(fields.get("line", "")), 20),
        key=printable(key, _VALUE),
        status=printable(status, 20),
        prompt=printable(_unsigned(str(fields.get("prompt") or "")), _PROMPT),
        own=tuple(
            (printable(str(name), 60), printable(_plain(value), _VALUE))
            for name, value in columns
            if value not in (None, "")
        ),
        task_id=printable(str(fields.get("task_id") or ""), _VALUE),
        reason=_reason(fields.get("error")),
        files=tuple(_files(fields)),
        data=_data(fields.get("data")),
        command=_command(key, directory) if status == "unknown" else "",
    )


def sheet_file(path: str, sha256: str) -> SheetFile:
    """Return a file by its path below the directory, without a thumbnail."""
    kind = _KINDS.get(path.rpartition(".")[2].lower(), "other")
    return SheetFile(path=path, link=link_to(path), kind=kind, sha256=sha256)


def printable(text: str, most: int) -> str:
    """Return the beginning of a text in one line, without control and direction characters."""
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else " " for c in text)


def link_to(path: str) -> str:
    """Return the link to a path below the page."""
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:  # no file can have this name
        raw = path.encode("utf-8", "replace")
    return "./" + quote(raw)


def quoted_directory(directory: Path) -> str:
    """Return a directory for a command line."""
    return shlex.quote(str(directory.resolve()))


def _files(fields: dict[str, Any]) -> Iterator[SheetFile]:
    saved = fields.get("files")
    for file in saved if is_array(saved) else []:
        for path in saved_paths({**fields, "files": [file]}):
            digest = file.get("sha256")
            yield sheet_file(path, digest if isinstance(digest, str) else "")


def _reason(error: object) -> str:
    if not is_object(error):
        return ""
    texts = [error.get("message") or error.get("code"), error.get("response")]
    shown = [without_queries(text)[:_REASON] for text in texts if isinstance(text, str) and text]
    return printable("  ·  ".join(shown), _REASON)


def _data(data: object) -> str:
    pairs = (
        f"{name}: {value}"
        for output in (data if is_array(data) else [])
        if is_object(output)
        for name, value in output.items()
        if isinstance(value, str | int | float) and "://" not in str(value)[:_DATA]
    )
    return printable(", ".join(pairs), _DATA)


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _unsigned(text[: 2 * _VALUE])


def _unsigned(text: str) -> str:
    # Only where there is a link: "this/that? yes" is a text.
    return without_queries(text) if "://" in text else text


def _command(key: str, directory: Path) -> str:
    if not key.isprintable() or len(key) > _VALUE:
        return ""
    words = f"{shlex.quote(key)} TASK_ID -o {quoted_directory(directory)}"
    if key.startswith("-"):
        words = f"-o {quoted_directory(directory)} -- {shlex.quote(key)} TASK_ID"
    return f"foxapi resolve {words}"
