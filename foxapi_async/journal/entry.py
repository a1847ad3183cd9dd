"""A submission as the journal knows it, and the form in which it is stored."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from foxapi_async.errors import ConfigurationError, InvalidRequestError
from foxapi_async.phota import CLASSES
from foxapi_async.requests import GenerationRequest, Request

_MAX_SHOWN: Final = 80
"""Characters of a value in a message; longer values are cut."""


class JournalStatus(enum.StrEnum):
    """The status of a journal entry; `transitions` shows how they follow each other."""

    PLANNED = "planned"
    """Recorded; nothing was sent."""
    SENDING = "sending"
    """The POST is under way, or the process that sent it has not recorded how it ended."""
    ACCEPTED = "accepted"
    """The task exists and its id is known."""
    COMPLETED = "completed"
    """The task completed; the journal knows of no saved files."""
    FAILED = "failed"
    """The task failed or was cancelled."""
    SAVED = "saved"
    """The files of the task are on disk."""
    REJECTED = "rejected"
    """The server refused the request; nothing was billed."""
    UNKNOWN = "unknown"
    """A task may have been created and billed; its id is not known."""


AFTER_CRASH: Final[Mapping[JournalStatus, JournalStatus]] = {
    JournalStatus.SENDING: JournalStatus.UNKNOWN
}
"""What a status means once the process that set it is dead; the others keep their meaning."""


@attrs.frozen
class SavedFile:
    """A file that an output was saved to.

    ``path`` is as the caller gave it, ``size`` in bytes, ``sha256`` in lower-case hex, ``index`` the
    position of the output in its task.
    """

    path: str
    size: int
    sha256: str
    index: int | None = None


@attrs.frozen(kw_only=True)
class Entry:
    """One submission.

    ``key`` is the caller's, or a random one if ``keyed`` is False. ``payload`` is the JSON object of
    the POST to ``path``. ``task_id``, ``submitted`` (when the id became known) and
    ``estimated_time`` (seconds) are None until the server has answered. ``error_code`` and ``error``
    give the reason of a rejected, failed, unknown or unsent submission, ``response`` what the server
    said to an unknown one (at most 16 KiB, without the API key). Times are in UTC.
    """

    key: str
    status: JournalStatus
    model: str
    kind: str
    path: str
    payload: Mapping[str, Any] = attrs.field(hash=False)
    num_outputs: int
    keyed: bool = True
    task_id: str | None = None
    submitted: datetime | None = None
    estimated_time: float | None = None
    error_code: str | None = None
    error: str | None = None
    response: str | None = None
    files: tuple[SavedFile, ...] = ()
    created: datetime
    updated: datetime

    @property
    def is_under_way(self) -> bool:
        """Whether there is a task whose end is not recorded."""
        return self.status is JournalStatus.ACCEPTED

    @property
    def request(self) -> Request:
        """The request: of its own class if that sends the same payload, else a GenerationRequest."""
        fields = {name: value for name, value in self.payload.items() if name != "model"}
        own_class = CLASSES.get(self.model)
        if own_class is not None:
            try:
                request = own_class(**fields)
            except (InvalidRequestError, TypeError):
                pass
            else:
                if request.payload() == self.payload and request.path == self.path:
                    return request
        return GenerationRequest(self.model, fields, self.kind, self.path)

    def is_unchanged_since(self, other: Entry) -> bool:
        """Whether this is still the submission that ``other`` was, in the same status."""
        names = ("status", "task_id", "created")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def after_crash(self) -> Entry:
        """Return the entry as it is once the process that submitted it is dead."""
        return attrs.evolve(self, status=AFTER_CRASH.get(self.status, self.status))


COLUMNS: Final = (
    "key, status, keyed, model, kind, path, payload, num_outputs, task_id, submitted, "
    "estimated_time, error_code, error, files, created, updated, response"
)
"""The columns that `entry_from_row` takes, in its order."""
_DAMAGE: Final = (ArithmeticError, AttributeError, OSError, RecursionError, TypeError, ValueError)
"""What reading a row raises whose values are of other types or out of range."""


def entry_from_row(row: Sequence[Any]) -> Entry:
    """Return the entry of a row of `COLUMNS`; ConfigurationError if it is damaged."""
    try:
        payload = json.loads(row[6])
        return Entry(
            key=text_of(row[0]),
            status=JournalStatus(row[1]),
            keyed=bool(row[2]),
            # The payload has the exact spelling; the column is for people who read the file.
            model=payload.get("model", row[3]),
            kind=row[4],
            path=row[5],
            payload=payload,
            num_outputs=row[7],
            task_id=row[8],
            submitted=None if row[9] is None else datetime.fromtimestamp(row[9], UTC),
            estimated_time=row[10],
            error_code=row[11],
            error=row[12],
            response=row[16],
            files=tuple(SavedFile(**file) for file in json.loads(row[13])) if row[13] else (),
            created=datetime.fromtimestamp(row[14], UTC),
            updated=datetime.fromtimestamp(row[15], UTC),
        )
    except _DAMAGE as error:
        key = row[0].decode(errors="backslashreplace") if isinstance(row[0], bytes) else row[0]
        raise ConfigurationError(
            f"the entry of the key {key!r} is damaged: another program has changed the file; "
            f"continue with a copy of the journal ({type(error).__name__}: {error})"
        ) from error


def json_line(entry: Entry) -> str:
    """Return the entry as one line of JSON in ASCII, without the line ending."""
    fields: dict[str, Any] = attrs.asdict(entry, recurse=False)
    fields["files"] = [attrs.asdict(file) for file in entry.files]
    for name in ("created", "updated", "submitted"):
        moment: datetime | None = fields[name]
        fields[name] = moment and moment.isoformat()
    return json.dumps(fields)


def bytes_of(key: str) -> bytes:
    """Return a key as it is stored; any str can be stored, lone surrogates and NUL included."""
    return key.encode("utf-8", "surrogatepass")


def text_of(key: bytes) -> str:
    """Return the key that `bytes_of` stored."""
    return key.decode("utf-8", "surrogatepass")


def storable(text: str) -> str:
    """Return a text that SQLite can store: lone surrogates are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def difference(
    path: str, payload: Mapping[str, Any], new_path: str, new_payload: Mapping[str, Any]
) -> str:
    """Return how two requests differ, field by field; "" if they are the same POST.

    The order of fields does not count; 1, 1.0 and true are different values.
    """
    before = {"path": path, **payload}
    now = {"path": new_path, **new_payload}
    if _canonical(before) == _canonical(now):
        return ""
    return ", ".join(
        f"{name} {_shown(before, name)} → {_shown(now, name)}"
        for name in dict.fromkeys([*before, *now])
        if _canonical(before.get(name, ...)) != _canonical(now.get(name, ...))
    )


def _canonical(value: object) -> str:
    return "" if value is ... else json.dumps(value, sort_keys=True)


def _shown(fields: Mapping[str, Any], name: str) -> str:
    if name not in fields:
        return "nothing"
    text = _canonical(fields[name])
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
