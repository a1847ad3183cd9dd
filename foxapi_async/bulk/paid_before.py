"""Refuses to pay again for what the results of earlier runs show as paid. Blocking."""

from __future__ import annotations

import attrs

from foxapi_async import ConfigurationError
from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.results.results_file import ResultsFile
from foxapi_async.journal.protocol import SessionJournal


@attrs.frozen
class PaidBefore:
    """Compares the results of a directory with the journal of a run, or of one that is planned."""

    results: ResultsFile
    journal: SessionJournal

    def check_journal(self) -> None:
        """Check the journal as a whole; one that knows some requests is checked with `check`.

        Raises:
            ConfigurationError: It is empty or missing, although requests were paid for.
        """
        if (paid := self.results.count_paid()) and self.journal.is_blank():
            requests = "request that was" if paid == 1 else "requests that were"
            raise ConfigurationError(
                f"{self.results.path} has {paid} {requests} paid for, but the journal "
                f"{self.journal.address!r} is empty: the run would pay for them again. Use the "
                "journal that belongs to these results, or another directory"
            )

    def check(self, line: JobLine) -> None:
        """Check a request that the journal does not know.

        Raises:
            ConfigurationError: It was paid for.
        """
        status = self.results.paid_before(line.key)
        if status is not None and not self.journal.was_forgotten(line.key):
            raise ConfigurationError(
                f"{self.results.path} says that {line.key!r} (line {line.number}) is {status}, but the "
                f"journal {self.journal.address!r} does not know it: it might be billed twice. Use "
                "the journal that belongs to these results, or another directory"
            )
