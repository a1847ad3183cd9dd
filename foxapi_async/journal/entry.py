"""What the journal knows of one submission, as a frozen value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self

import attrs

from foxapi_async import phota
from foxapi_async.errors import ConfigurationError, InvalidRequestError
from foxapi_async.journal.transitions import UNFINISHED, JournalStatus
from foxapi_async.requests import GenerationRequest, Request

__all__ = ["COLUMNS", "Entry", "SavedFile", "entry_from_row", "json_line"]


@attrs.frozen
class SavedFile:
    """A file that an output was saved to.

    ``path`` as the caller gave it, ``size`` in bytes, ``sha256`` in lower-case hex, ``index`` the
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
    say why it was rejected, failed, unknown, or not sent. Moments are in UTC.
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
    files: tuple[SavedFile, ...] = ()
    created: datetime
    updated: datetime

    @property
    def is_under_way(self) -> bool:
        """Whether there is a task that nobody has seen end."""
        return self.status in UNFINISHED

    @property
    def request(self) -> Request:
        """The request, rebuilt: one of its own class where that sends the same, else a general one."""
        fields = {name: value for name, value in self.payload.items() if name != "model"}
        own_class = _CLASSES.get(self.model)
        if own_class is not None:
            try:
                request: Request = own_class(**fields)
            except (InvalidRequestError, TypeError):
                pass
            else:
                if request.payload() == self.payload and request.path == self.path:
                    return request
        return GenerationRequest(self.model, fields, self.kind, self.path)

    def stands_as(self, other: Entry) -> bool:
        """Whether nobody has decided anything on it since it was the other."""
        return (self.status, self.task_id, self.created) == (
            other.status,
            other.task_id,
            other.created,
        )

    def with_status(self, status: JournalStatus) -> Self:
        """Return the same entry with another status."""
        return attrs.evolve(self, status=status)


_CLASSES: Final[Mapping[str, Any]] = {
    cls.MODEL: cls
    for cls in (
        phota.PhotaImage,
        phota.PhotaImageEdit,
        phota.PhotaImageEnhance,
        phota.PhotaCreateProfile,
    )
}

COLUMNS: Final = (
    "key, status, keyed, model, kind, path, payload, num_outputs, task_id, submitted, "
    "estimated_time, error_code, error, files, created, updated"
)
"""The columns that `entry_from_row` takes, in its order."""


def entry_from_row(row: Sequence[Any]) -> Entry:
    """Return the entry that a row of `COLUMNS` describes.

    Raises:
        ConfigurationError: It is none that this package has written.
    """
    try:
        return _entry(row)
    except (
        ArithmeticError,
        AttributeError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        key = row[0].decode(errors="backslashreplace") if isinstance(row[0], bytes) else row[0]
        raise ConfigurationError(
            f"the entry of the key {key!r} is damaged: something else has written to the file; go on "
            f"with a copy of it ({type(error).__name__}: {error})"
        ) from error


def _entry(row: Sequence[Any]) -> Entry:
    payload = json.loads(row[6])
    return Entry(
        key=text_of(row[0]),
        status=JournalStatus(row[1]),
        keyed=bool(row[2]),
        # The payload has the exact spelling; the column is for people who look into the file.
        model=payload.get("model", row[3]),
        kind=row[4],
        path=row[5],
        payload=payload,
        num_outputs=row[7],
        task_id=row[8],
        submitted=None if row[9] is None else _moment(row[9]),
        estimated_time=row[10],
        error_code=row[11],
        error=row[12],
        files=tuple(SavedFile(**file) for file in json.loads(row[13])) if row[13] else (),
        created=_moment(row[14]),
        updated=_moment(row[15]),
    )


def bytes_of(key: str) -> bytes:
    """Return a key as it is stored: any str has a place, lone surrogates and NUL included."""
    return key.encode("utf-8", "surrogatepass")


def text_of(key: bytes) -> str:
    """Return the key that `bytes_of` stored."""
    return key.decode("utf-8", "surrogatepass")


def json_line(entry: Entry) -> str:
    """Return the entry as one line of JSON in ASCII, without the line's end."""
    facts: dict[str, Any] = attrs.asdict(entry, recurse=False)
    facts["files"] = [attrs.asdict(file) for file in entry.files]
    for name in ("created", "updated", "submitted"):
        moment: datetime | None = facts[name]
        facts[name] = moment and moment.isoformat()
    return json.dumps(facts)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
