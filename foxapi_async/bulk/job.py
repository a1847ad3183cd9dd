"""A job: a file of requests, checked to its end before the first of them is paid for. Blocking."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import attrs

from foxapi_async import JobFileError
from foxapi_async.bulk.input.field_names import FIELDS
from foxapi_async.bulk.input.job_file import JobFileReader
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.input.line_parser import LineParser
from foxapi_async.bulk.input.line_rules import LineRules
from foxapi_async.bulk.input.local_files import LocalFiles
from foxapi_async.bulk.input.profile_uses import ProfileUses
from foxapi_async.bulk.input.rows.detection import FileFormat, UnclearFormatError
from foxapi_async.bulk.input.rows.fingerprint import (
    FileChangedError,
    Fingerprint,
    FingerprintReader,
)
from foxapi_async.bulk.input.rows.row import Row
from foxapi_async.bulk.input.selection import Selection, listed
from foxapi_async.bulk.plan import Plan, PlanCounter, plan_of
from foxapi_async.bulk.store.records_folder import records_folder
from foxapi_async.bulk.temporary_index import Duplicates
from foxapi_async.errors import Problem
from foxapi_async.files.object_path import destination
from foxapi_async.journal.protocol import SessionJournal

_KEPT: Final = 1000
"""Problems that are kept; the others are only counted, because a file may have a million of them."""

_SHOWN: Final = 100  # Problems in the text of an error


@attrs.frozen(kw_only=True)
class Job:
    """A file of requests that has been checked to its last line; create it with `Job.read`.

    ``requests`` and ``outputs`` are the totals; ``heaviest`` is the greatest ``num_outputs`` of a line.
    The file is read again for each iteration, line by line, so the memory does not grow with its
    length.
    """

    path: Path
    format: FileFormat
    requests: int
    outputs: int
    heaviest: int
    _fingerprint: Fingerprint = attrs.field(alias="fingerprint", repr=False)
    _rules: LineRules = attrs.field(alias="rules", repr=False)
    name: str = attrs.field(repr=False, eq=False)
    """What errors call the file."""
    files: LocalFiles = attrs.field(eq=False, repr=False)
    """The local files that its lines name."""
    selection: Selection | None = None
    """What `select` has narrowed the job to; None for all lines."""
    # The plan without a journal: the file need not be read once more for it. None if it is not known.
    _fresh: Plan | None = attrs.field(default=None, alias="fresh", repr=False, eq=False)
    _whole: Job | None = attrs.field(default=None, alias="whole", repr=False, eq=False)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        format: FileFormat | None = None,  # noqa: A002
        heaviest: int | None = None,
        folder: str | os.PathLike[str] | None = None,
        fields: Mapping[str, str] | None = None,
        defaults: Mapping[str, Any] | None = None,
        template: str | None = None,
        name: str | None = None,
    ) -> Self:
        """Check a file of requests: JSON lines, a JSON array, a table with a header, or a text of prompts.

        Each object or row has the fields of the request class of its ``model`` (default "phota-image")
        or of `GenerationRequest`, and optionally a ``key``, which may also be called ``custom_id`` or
        ``id``. Other fields are columns of your own, which are not sent. The default key is made from
        the content of the request and its number among equal requests, so that lines can be appended.

        Args:
            path: The file, perhaps compressed (gzip), in UTF-8, or in UTF-16 with a byte order mark.
            format: "jsonl" (an object or a prompt per line), "json" (an array of them), "csv" (a table
                that is separated by commas, semicolons or tabs) or "txt" (a prompt per line); None to
                derive it from the name and the content.
            heaviest: The most images that may be in flight at once: a line that asks for more is a
                problem. None for no check; the session still refuses what exceeds its own limit.
            folder: Where relative paths of local files (``image_urls`` and the like) start from; None
                for the folder of the file.
            fields: The columns to take fields from, by field: ``{"prompt": "Text"}``. A name that is
                not a field of a request makes a column of your own.
            defaults: The values of fields that a line does not have. A text is read as in a table.
            template: The prompt of each line, with columns in braces: ``"{Prompt}, watercolor"``.
            name: What errors call the file, and a name to derive the format from; None for its path.

        Raises:
            JobFileError: The file cannot be read, or has problems: all of them are listed.
            InvalidRequestError: ``fields``, ``defaults`` or ``template`` are wrong in themselves.
        """
        rules = LineRules.of(fields, defaults, template)
        file = Path(path)
        name = str(path) if name is None else name
        check = _Check(heaviest, LocalFiles(file.parent if folder is None else Path(folder)))
        try:
            with _open(file, name) as opened, Duplicates() as duplicates:
                fingerprint = FingerprintReader(opened)
                reader = JobFileReader(fingerprint)
                try:
                    form = format or reader.detect_format(name, _names_in_header(rules))
                except UnclearFormatError as error:
                    raise JobFileError(
                        f"{name} {error}. Nothing was sent", field="format"
                    ) from None
                parser = LineParser(rules, duplicates, check.files)
                for row in reader.rows(form):
                    check.add(row, parser)
        except OSError as error:
            raise _unreadable(name, error) from error
        check.finish(parser)
        check.raise_problems(name)
        return cls(
            path=file,
            format=form,
            requests=check.requests,
            outputs=check.outputs,
            heaviest=check.heaviest,
            fingerprint=fingerprint.fingerprint,
            rules=rules,
            name=name,
            files=check.files,
            fresh=check.fresh_plan(),
        )

    @property
    def read_options(self) -> dict[str, Any]:
        """The options of `read` that read the same requests from the file, as values of JSON."""
        template = self._rules.template
        return {
            "format": self.format,
            "folder": str(self.files.folder) if self.files.is_used else None,
            "fields": dict(self._rules.columns),
            "defaults": dict(self._rules.defaults),
            "template": None if template is None else template.text,
        }

    def lines(self) -> Generator[JobLine, None, None]:
        """Yield the checked requests in their order. Lines that were appended since are left out.

        Raises:
            JobFileError: The file was changed since it was checked. All lines that were yielded before
                are as they were checked.
        """
        last = 0
        try:
            with _open(self.path, self.name) as opened, Duplicates() as duplicates:
                reader = JobFileReader(FingerprintReader(opened, self._fingerprint))
                parser = LineParser(self._rules, duplicates, self.files)
                for row in reader.rows(self.format):
                    parsed = parser.parse(row)
                    # `read` has parsed the same bytes.
                    assert parsed.key is not None
                    assert parsed.request is not None
                    last = row.number
                    line = JobLine(row.number, parsed.key, parsed.request, parsed.own)
                    if self.selection is None or line in self.selection:
                        yield line
        except FileChangedError:
            where = f" somewhere after line {last:,}" if last else ""
            rest = "nothing after that line" if last else "nothing of it"
            raise JobFileError(
                f"{self.name} was changed{where} since it was checked; {rest} was submitted. Run it "
                "again: it is checked again, and what was submitted is not billed again"
            ) from None
        except OSError as error:
            raise _unreadable(self.name, error) from error

    def select(self, selection: Selection) -> Self:
        """Return the job with some of its lines only: a run of it does nothing about the others.

        They keep their numbers and keys, so that they are the same requests in a run of the whole job.

        Raises:
            JobFileError: The selection names a line or a key that the job does not have, or the file was
                changed since it was checked.
        """
        requests = outputs = heaviest = 0

        def selected() -> Generator[JobLine, None, None]:
            nonlocal requests, outputs, heaviest
            for line in self.whole.lines():
                if line in selection:
                    requests += 1
                    outputs += line.request.num_outputs
                    heaviest = max(heaviest, line.request.num_outputs)
                    yield line

        if missing := selection.missing(selected()):
            raise JobFileError(f"{self.name}: {listed(missing)}; nothing was sent")
        return attrs.evolve(
            self,
            requests=requests,
            outputs=outputs,
            heaviest=heaviest,
            selection=selection,
            fresh=None,
            whole=self.whole,
        )

    def moved_to(self, path: Path) -> Self:
        """Return the job with a copy of its file."""
        whole = None if self._whole is None else self._whole.moved_to(path)
        return attrs.evolve(self, path=path, name=str(path), whole=whole)

    @property
    def whole(self) -> Job:
        """The job with all its lines, whatever was selected."""
        return self if self._whole is None else self._whole

    def plan(
        self,
        journal: SessionJournal | str | os.PathLike[str] | None,
        directory: str | os.PathLike[str] | None = None,
        *,
        records: str | os.PathLike[str] | None = None,
        profiles: Collection[str] = (),
        on_line: Callable[[JobLine], object] | None = None,
    ) -> Plan:
        """Compare the job with a journal: what is done, in flight, and still to be submitted.

        The journal need not exist. Pictures that are missing in ``directory`` count as to be fetched;
        None to trust the journal, which is also trusted if ``directory`` is in an object store: ``records``
        is then as for `run_job`. ``profiles`` are known to be right: other profiles that no completed
        request of the journal has used are listed. ``on_line`` is called with each line, for a check
        that should not read the file once more.

        Raises:
            JobFileError: The file was changed since it was checked.
            ConfigurationError: The journal cannot be read, or does not know what the results in the
                directory show as paid: a run would refuse to pay for it again.
        """
        if journal is None and on_line is None and self._fresh is not None:
            unknown = tuple(each for each in self._fresh.profiles if each.id not in profiles)
            return attrs.evolve(self._fresh, profiles=unknown)
        if isinstance(journal, str | os.PathLike):
            from foxapi_async.journal.address import journal_at  # noqa: PLC0415 - for an address only

            journal = journal_at(journal)
        place = None if directory is None else destination(directory)
        where = place and records_folder(place, None if records is None else Path(records))
        lines = self.lines() if on_line is None else _shown(self.lines(), on_line)
        return plan_of(
            lines, journal, where, self.files, profiles, trusts_journal=where is not place
        )


def _shown(
    lines: Iterable[JobLine], on_line: Callable[[JobLine], object]
) -> Generator[JobLine, None, None]:
    for line in lines:
        on_line(line)
        yield line


@attrs.define
class _Check:
    limit: int | None
    files: LocalFiles
    requests: int = 0
    outputs: int = 0
    heaviest: int = 0
    problems: list[Problem] = attrs.field(factory=list[Problem])
    told: set[str] = attrs.field(factory=set[str])
    more: int = 0
    counter: PlanCounter = attrs.field(factory=lambda: PlanCounter(ProfileUses(())))

    def add(self, row: Row, parser: LineParser) -> None:
        self.requests += 1
        parsed = parser.parse(row)
        problems = list(parsed.problems)
        if parsed.key is not None:
            earlier = parser.duplicates.earlier_line(parsed.key, row.number)
            if earlier is not None:
                text = f"line {earlier} has the key {parsed.key!r} already"
                if parsed.key_column is not None:
                    column = parsed.key_column
                    text += f"; to use {column!r} as a column only, say --field NAME={column}"
                problems.append(Problem(row.number, "key", text))
        if parsed.request is not None:
            number = parsed.request.num_outputs
            if self.limit is not None and number > self.limit:
                text = (
                    f"num_outputs is {number}, and {self.limit} images may be in flight; split it into "
                    "several lines, or raise the limit (--outputs)"
                )
                problems.append(Problem(row.number, "num_outputs", text))
            self.outputs += number
            if parsed.key is not None:
                self.counter.add(JobLine(row.number, parsed.key, parsed.request))
            self.heaviest = max(self.heaviest, number)
        # A missing file is told once, however many lines name it.
        problems = [each for each in problems if each.message not in self.told]
        self.told.update(each.message for each in problems if each.message in self.files.faults)
        self._keep(problems)

    def fresh_plan(self) -> Plan | None:
        # With local files, what is to be uploaded depends on the plan that was made last.
        is_known = not self.files.is_used and not self.counter.uses.is_full
        return self.counter.plan() if is_known else None

    def finish(self, parser: LineParser) -> None:
        if self.requests:
            self._keep(parser.unused_columns())

    def _keep(self, problems: list[Problem]) -> None:
        room = max(_KEPT - len(self.problems), 0)
        self.problems += problems[:room]
        self.more += len(problems[room:])

    def raise_problems(self, name: str) -> None:
        if not self.requests:
            self.problems.append(Problem(1, None, "the file has no request"))
        if not self.problems:
            return
        found = len(self.problems) + self.more
        for index, problem in enumerate(self.problems):
            if (more := self.files.faults[problem.message] - 1) > 0:
                text = f"{problem.message} (and {more:,} times more)"
                self.problems[index] = problem._replace(message=text)
        listed = [f"  {problem}" for problem in self.problems[:_SHOWN]]
        if found > len(listed):
            listed.append(f"  … and {found - len(listed):,} more")
        raise JobFileError(
            f"{name}: {found:,} {'problem' if found == 1 else 'problems'}; nothing was sent\n"
            + "\n".join(listed),
            problems=tuple(self.problems),
            more=self.more,
            field=self.problems[0].field,
        )


def _names_in_header(rules: LineRules) -> frozenset[str]:
    """Return the names by one of which a table can be recognised, in small letters."""
    return FIELDS | {name.casefold() for name in rules.names()}


def _open(path: Path, name: str) -> BinaryIO:
    # Checked first, because opening a pipe would wait for a writer.
    if not stat.S_ISREG(path.stat().st_mode):
        raise JobFileError(f"{name} is not a regular file; a job file is read more than once")
    return path.open("rb")


def _unreadable(name: str, error: OSError) -> JobFileError:
    return JobFileError(f"cannot read {name}: {error.strerror or error}")
