"""Gives a fetched picture its prompt before it gets its name. Blocking.

The prompt is put in before the file is published, and the same bytes come out each time. So a process that
dies in between leaves nothing that the next run would take for another file, even if that run embeds
prompts and the process did not, or the other way round.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.files.metadata import NotEmbeddableError, Pieces, embedded
from foxapi_async.files.pace import is_out_of_descriptors
from foxapi_async.files.partfile import PartFile

STAGING_NAME: Final = ".embedding"
"""The folder in the directory of a job where pictures are fetched to; empty between two runs."""

_LARGEST: Final = 128 * 1024 * 1024
"""Bytes of a picture that is read into memory."""

_STALE_AFTER: Final = (
    900.0  # Seconds after which a staged file belongs to a process that was killed
)


def publish_with_prompt(
    source: Path, folder: Path, name: str, line: JobLine, task_id: str
) -> tuple[Path, str | None]:
    """Move a fetched file to its folder with the prompt of its line in its metadata.

    Return the path, and why the prompt was not put in (None if it was): the file is then as it came.
    """
    part = PartFile(folder, name)
    try:
        there = _content(folder / name)
        if there is not None and there == _content(source):
            return folder / name, None  # by a run that did not embed, and was killed
        reason = _copy(source, part, line, task_id)
        path = part.publish(name)
    except BaseException:
        part.discard()
        raise
    finally:
        # Also after a failure: the disk may be full, and the next run fetches it again.
        with suppress(OSError):
            source.unlink(missing_ok=True)
    return path, reason


def without_copy(fetched: Path, wanted: Path, line: JobLine, task_id: str) -> Path:
    """Return the wanted path, and remove the fetched file, if the one there is the same with its prompt.

    Otherwise return the path of the fetched file.
    """
    if fetched == wanted:
        return fetched
    there, content = _content(wanted), _content(fetched)
    if there is None or content is None:
        return fetched
    try:
        is_same = there == b"".join(_with_prompt(content, line, task_id))
    except NotEmbeddableError:
        return fetched
    if is_same:
        with suppress(OSError):
            fetched.unlink(missing_ok=True)
    return wanted if is_same else fetched


def remove_staged(directory: Path, now: float) -> None:
    """Remove what killed processes have left in the staging folder, and the folder if it is empty."""
    folder = directory / STAGING_NAME
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                if now - path.lstat().st_mtime > _STALE_AFTER:
                    path.unlink()
        folder.rmdir()


def _copy(source: Path, part: PartFile, line: JobLine, task_id: str) -> str | None:
    if source.stat().st_size > _LARGEST:
        with source.open("rb") as file:
            while block := file.read(1 << 20):
                part.write(block)
        return "the file is larger than 128 MiB"
    content = source.read_bytes()
    try:
        for piece in _with_prompt(content, line, task_id):
            part.write(piece)
    except NotEmbeddableError as error:
        part.write(content)
        return str(error)
    return None


def _with_prompt(content: bytes, line: JobLine, task_id: str) -> Pieces:
    payload = line.request.payload()
    prompt = payload.get("prompt")
    facts: dict[str, Any] = {"key": line.key, "task_id": task_id, "request": payload}
    return embedded(content, prompt if isinstance(prompt, str) else "", facts)


def _content(path: Path) -> bytes | None:
    """Return the content of a file that is there and not too large."""
    try:
        return path.read_bytes() if path.stat().st_size <= _LARGEST else None
    except OSError as error:
        if is_out_of_descriptors(error):  # it says nothing about the file
            raise
        return None
