"""Files beside the pictures of a job that say what they show: ``fox.json`` or ``fox.txt``. Blocking."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import attrs

from foxapi_async import InvalidRequestError
from foxapi_async._typeguards import is_object
from foxapi_async.bulk.results.results_file import Result
from foxapi_async.bulk.results.run_notes import RunNotes
from foxapi_async.bulk.results.saved_files import path_of
from foxapi_async.bulk.run_options import SidecarFormat
from foxapi_async.files.filenames import is_written_by_jobs
from foxapi_async.files.replacing import replacing
from foxapi_async.journal.entry import Entry, SavedFile

_FORMATS: Final[tuple[SidecarFormat, ...]] = get_args(SidecarFormat)
_LONGEST: Final = (
    4 * 1024 * 1024
)  # Bytes of an existing file that is compared; sidecars are shorter


def check_sidecar(form: str | None, *, in_store: bool) -> None:
    """Raise InvalidRequestError if there is no such format of sidecars, or no place for them."""
    if form is not None and in_store:
        raise InvalidRequestError(
            f"sidecar is {form!r}, but files beside the pictures are not written into object stores; "
            "embed puts the prompt into the pictures, and the copy of results.jsonl has all of it",
            field="sidecar",
            value=form,
        )
    if form is not None and form not in _FORMATS:
        raise InvalidRequestError(
            f"sidecar is {form!r}; it must be one of {', '.join(_FORMATS)}",
            field="sidecar",
            value=form,
        )


@attrs.frozen(eq=False)
class Sidecars:
    """Writes the sidecars of the files of a job; what cannot be written is noted."""

    directory: Path
    form: SidecarFormat
    notes: RunNotes

    def write(self, results: Sequence[Result], entries: Mapping[str, Entry]) -> None:
        """Write the sidecars of results with these journal entries, unless they are there already."""
        for result in results:
            entry = entries.get(result.key)
            submitted = None if entry is None else entry.submitted
            created = None if submitted is None else submitted.isoformat(timespec="seconds")
            for file in result.files:
                try:
                    self._write(result, file, created)
                except (OSError, ValueError) as error:  # ValueError: a name that cannot be encoded
                    reason = getattr(error, "strerror", None) or error
                    self.notes.add(f"a sidecar cannot be written: {reason}", result.line)

    def _write(self, result: Result, file: SavedFile, created: str | None) -> None:
        picture = path_of(self.directory, file)
        if self.form == "json":
            facts = _facts(result, file, created)
            content = json.dumps(facts, indent=2, ensure_ascii=False, default=str)
        elif result.prompt is None:
            return
        else:
            content = result.prompt
        text = (content + "\n").encode("utf-8", "backslashreplace")
        # Never over a file of somebody else, which may be a result that was paid for.
        for path in (
            picture.with_suffix(f".{self.form}"),
            picture.with_name(f"{picture.name}.{self.form}"),
        ):
            if is_written_by_jobs(path.name):
                continue
            old = _content(path)
            if old == text:
                return
            if old is None or self._is_own(old, result, picture):
                with replacing(path) as new:
                    new.write(text)
                return
        self.notes.add("a sidecar was not written: another file has its name", result.line)

    def _is_own(self, old: bytes, result: Result, picture: Path) -> bool:
        if self.form == "txt":
            return False  # An edited caption stays
        try:
            facts = json.loads(old)
        except ValueError:
            return False
        own = (result.key, picture.name)
        return is_object(facts) and (facts.get("key"), facts.get("file")) == own


def _content(path: Path) -> bytes | None:
    """Return what is in a file, at most a certain length; None if it does not exist."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST)
    except FileNotFoundError:
        return None


def _facts(result: Result, file: SavedFile, created: str | None) -> Mapping[str, Any]:
    return {
        "file": file.path.rpartition("/")[2],
        "prompt": result.prompt,
        "key": result.key,
        "line": result.line,
        "own": dict(result.own),
        "model": result.request.model,
        "request": result.request.payload(),
        "task_id": result.task_id,
        "index": file.index,
        "created": created,
        "sha256": file.sha256,
        "size": file.size,
    }
