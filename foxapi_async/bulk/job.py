"""A job: a file of requests, checked whole before the first of them is paid for. Blocking."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

import attrs

from foxapi_async.bulk.fields import read_fields
from foxapi_async.bulk.keys import content_digest, default_key, key_digest
from foxapi_async.bulk.lines import FileFormat, Raw, format_of, read_lines
from foxapi_async.bulk.plan import Plan, plan_of
from foxapi_async.bulk.problem import Problem
from foxapi_async.bulk.sealed import ChangedError, Seal, SealedStream
from foxapi_async.bulk.seen import Seen
from foxapi_async.errors import JobFileError
from foxapi_async.journal import Journal
from foxapi_async.requests import Request

__all__ = ["Job", "JobLine"]

_KEPT: Final = 1000
"""Problems that are kept; of a file with a million wrong lines the others are only counted."""

_SHOWN: Final = 100
"""Problems in the text of an error."""


@attrs.frozen
class JobLine:
    """One request of a job: its line in the file, from 1, and the key that makes it idempotent."""

    number: int
    key: str
    request: Request


@attrs.frozen(kw_only=True)
class Job:
    """A file of requests that has been checked to its last line; make it with `Job.read`.

    ``requests`` and ``outputs`` are how many there are in all; ``heaviest`` is the greatest
    ``num_outputs`` of one line. The file is read again, line by line, whenever it is gone through:
    what is held in memory does not grow with its length.
    """

    path: Path
    format: FileFormat
    requests: int
    outputs: int
    heaviest: int
    _seal: Seal = attrs.field(alias="seal", repr=False)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        format: FileFormat | None = None,  # noqa: A002
        heaviest: int | None = None,
    ) -> Self:
        """Check a file: JSON lines, or a table with a header (.csv, .tsv).

        Each line is an object with the fields of a request class by its ``model`` (by default
        "phota-image"), or with those of `GenerationRequest`, and perhaps a ``key``. A line without a
        key gets one from its content and its place among equal lines, so that lines can be appended.

        Args:
            path: The file.
            format: "jsonl" or "csv"; None to tell by the name.
            heaviest: Images that may be in flight at once: a line that asks for more is wrong. None for
                no such limit here; a session refuses what is heavier than its own.

        Raises:
            JobFileError: The file cannot be read, or lines of it are wrong: all are listed.
        """
        file = Path(path)
        form = format or format_of(file)
        check = _Check(most=heaviest)
        try:
            with _opened(file) as opened, SealedStream(opened) as stream, Seen() as seen:
                for raw in read_lines(stream, form):
                    check.line(raw, seen)
                seal = stream.seal
        except OSError as error:
            raise _unreadable(file, error) from error
        check.end(file)
        return cls(
            path=file,
            format=form,
            requests=check.requests,
            outputs=check.outputs,
            heaviest=check.heaviest,
            seal=seal,
        )

    def lines(self) -> Iterator[JobLine]:
        """Yield the requests that were checked, in their order; what was appended since is left out.

        Raises:
            JobFileError: The file was changed since it was checked. Each line that was yielded before
                is as it was.
        """
        last = 0
        try:
            with (
                _opened(self.path) as opened,
                SealedStream(opened, self._seal) as stream,
                Seen() as seen,
            ):
                for raw in read_lines(stream, self.format):
                    key, request, _ = _understood(raw, seen)
                    # The same bytes have been understood before.
                    assert key is not None
                    assert request is not None
                    last = raw.number
                    yield JobLine(raw.number, key, request)
        except ChangedError:
            raise self._changed(after=last) from None
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def plan(
        self,
        journal: Journal | str | os.PathLike[str] | None,
        directory: str | os.PathLike[str] | None = None,
    ) -> Plan:
        """Compare the job with a journal: what is done, what is under way, what is to be submitted.

        Args:
            journal: The journal or its path; it need not exist.
            directory: Where the pictures are; those that are not there count as to be fetched. None
                to believe the journal.

        Raises:
            JobFileError: The file was changed since it was checked.
            ConfigurationError: The journal cannot be read.
        """
        if journal is not None and not isinstance(journal, Journal):
            journal = Journal(journal)
        asked = ((line.number, line.key, line.request) for line in self.lines())
        return plan_of(asked, journal, None if directory is None else Path(directory))

    def _changed(self, *, after: int) -> JobFileError:
        where = f" somewhere after line {after:,}" if after else ""
        rest = "nothing after that line" if after else "nothing of it"
        return JobFileError(
            f"{self.path} was changed{where} since it was checked; {rest} was submitted. Run it again: it "
            "is checked and estimated anew, and what was submitted is not paid for again"
        )


@attrs.define
class _Check:
    """Goes through a file and keeps count."""

    most: int | None
    requests: int = 0
    outputs: int = 0
    heaviest: int = 0
    problems: list[Problem] = attrs.field(factory=list[Problem])
    more: int = 0

    def line(self, raw: Raw, seen: Seen) -> None:
        self.requests += 1
        key, request, problems = _understood(raw, seen)
        if key is not None:
            earlier = seen.line_of(key_digest(key), raw.number)
            if earlier is not None:
                problems.append(
                    Problem(raw.number, "key", f"the key {key!r} is that of line {earlier} already")
                )
        if request is not None:
            if self.most is not None and request.num_outputs > self.most:
                problems.append(_too_heavy(raw.number, request, self.most))
            self.outputs += request.num_outputs
            self.heaviest = max(self.heaviest, request.num_outputs)
        room = max(_KEPT - len(self.problems), 0)
        self.problems += problems[:room]
        self.more += len(problems[room:])

    def end(self, path: Path) -> None:
        if not self.requests:
            self.problems.append(Problem(1, None, "the file holds no request"))
        if not self.problems:
            return
        found = len(self.problems) + self.more
        listed = [f"  {problem}" for problem in self.problems[:_SHOWN]]
        if found > len(listed):
            listed.append(f"  … and {found - len(listed):,} more")
        raise JobFileError(
            f"{path}: {found:,} {'problem' if found == 1 else 'problems'}; nothing was sent\n"
            + "\n".join(listed),
            problems=tuple(self.problems),
            more=self.more,
            field=self.problems[0].field,
        )


def _too_heavy(number: int, request: Request, most: int) -> Problem:
    return Problem(
        number,
        "num_outputs",
        f"num_outputs is {request.num_outputs}, and {most} images may be in flight; split it into "
        "several lines, or raise the limit (--outputs)",
    )


def _understood(raw: Raw, seen: Seen) -> tuple[str | None, Request | None, list[Problem]]:
    if raw.problem is not None:
        return None, None, [Problem(raw.number, None, raw.problem)]
    reading = read_fields(raw.fields, is_text=raw.is_text)
    key = reading.key if isinstance(reading.key, str) and reading.key else None
    if key is None and reading.request is not None:
        content = content_digest(reading.request)
        key = default_key(reading.request, content, seen.ordinal(content))
    problems = [Problem(raw.number, field, message) for field, message in reading.problems]
    return key, reading.request, problems


def _opened(path: Path) -> BinaryIO:
    # Looked at first, because to open a pipe waits for somebody who writes into it.
    if not stat.S_ISREG(path.stat().st_mode):
        raise JobFileError(f"{path} is not a file; it is read more than once, so it must be one")
    return path.open("rb")


def _unreadable(path: Path, error: OSError) -> JobFileError:
    return JobFileError(f"{path} cannot be read: {error.strerror or error}")
