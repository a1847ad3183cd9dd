"""The option --journal: which journal a command uses, and how messages name it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import attrs
from typer import Option

from foxapi_async import ConfigurationError, InvalidRequestError

if TYPE_CHECKING:
    from foxapi_async.cli.context import CommandContext
    from foxapi_async.journal import Entry, StoredJournal

VARIABLE: Final = "FOXAPI_JOURNAL"
"""It may have a password, which on the command line other users of the machine could read."""

METAVAR: Final = "FILE|URL"

JournalOption = Annotated[
    str | None,
    Option(
        "--journal",
        metavar=METAVAR,
        help="The journal: a file, or postgresql://USER@HOST/DATABASE for many machines. Default: the "
        f"one of the last run in DIR, {VARIABLE} (the place for a password), DIR/journal.sqlite.",
    ),
]


@attrs.frozen
class ChosenJournal:
    """A journal, and how messages and commands name it; its password is in neither.

    ``is_default``: nothing names it, and no run has used it.
    """

    journal: StoredJournal
    shown: str
    is_default: bool = False

    @property
    def file(self) -> Path | None:
        """The path of its file; None if it is on a server."""
        return getattr(self.journal, "path", None)

    def find(self, keys: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of those keys that have one; the journal need not exist."""
        is_new = self.file is not None and not self.file.exists()
        return {} if is_new else self.journal.find(keys)

    def check_exists(self, consequence: str = "") -> None:
        """Raise ConfigurationError if there is nothing to read: perhaps the address is misspelt."""
        if self.journal.is_blank() if self.file is None else not self.file.is_file():
            raise ConfigurationError(f"there is no journal {self.shown!r}{consequence}")


def journal_of(
    context: CommandContext, given: str | None, directory: Path | None, *, is_run: bool = False
) -> ChosenJournal | None:
    """Return the journal of a command and of a directory of jobs; None if nothing names one.

    Raises:
        ConfigurationError: An address is wrong, its extra is missing, or a run would change from the
            journal of the directory to another, and pay again for what that one does not know.
    """
    recorded = None if directory is None else _recorded(directory)
    is_chosen = given is not None and not _is_default(context)
    # A configuration file comes after the environment, see `config_file`.
    default = os.environ.get(VARIABLE) or (None if is_chosen else given)
    address = given if is_chosen else recorded or default
    if address is None:
        if directory is None:
            return None
        path = str(directory / _default_name())
        return attrs.evolve(_chosen(path, os.environ), is_default=True)
    chosen = _chosen(address, os.environ)
    if is_run and not is_chosen and recorded is not None and default is not None:
        other = _chosen(default, os.environ)
        if other.journal.address != chosen.journal.address:
            raise ConfigurationError(
                f"the runs of {directory} have the journal {chosen.shown!r}, and {VARIABLE} or a "
                f"configuration file names {other.shown!r}, which does not know what they have paid for; "
                "choose with --journal"
            )
    return chosen


def journal_of_job(context: CommandContext, given: str | None, directory: Path) -> ChosenJournal:
    """Return the journal of a run in a directory; raise as `journal_of` does."""
    chosen = journal_of(context, given, directory, is_run=True)
    assert chosen is not None
    return chosen


def check_shared_journal(
    chosen: ChosenJournal, *, has_workers: bool, are_limits_shared: bool
) -> None:
    """Refuse a journal that cannot be shared as the options want, before anything else is done.

    Raises:
        InvalidRequestError: Workers share it, and nothing names it.
        ConfigurationError: A file cannot keep limits for several sessions.
    """
    if has_workers and chosen.is_default:
        raise InvalidRequestError(
            f"which journal do the workers share? Give --journal or set {VARIABLE}", field="journal"
        )
    if are_limits_shared and chosen.file is not None:
        raise ConfigurationError(
            "--shared-limits needs a journal in PostgreSQL: give --journal postgresql://USER@HOST/DATABASE"
        )


def chosen_journal(given: str | None, default: Path | str = "") -> ChosenJournal:
    """Return the journal that is given, else that of the environment, else ``default``."""
    return _chosen(given or os.environ.get(VARIABLE) or str(default), os.environ)


def name_without_password(context: CommandContext, chosen: ChosenJournal) -> None:
    """Let the command line that is printed to go on name the journal without its password."""
    if not _is_default(context):
        context.replace_argument("journal", chosen.shown)


def _chosen(address: str, environment: Mapping[str, str]) -> ChosenJournal:
    from foxapi_async.journal.address import is_server, journal_at  # noqa: PLC0415 - see `_recorded`

    if not is_server(address):
        path = os.path.expanduser(address)  # noqa: PTH111 - `Path` would change an address
        return ChosenJournal(journal_at(path), str(Path(path)))
    journal = journal_at(address)
    if is_server(own := environment.get(VARIABLE, "")):
        # The same address, with the password.
        known = journal_at(own)
        journal = known if known.address == journal.address else journal
    return ChosenJournal(journal, journal.address)


def _recorded(directory: Path) -> str | None:
    """Return the journal of the last run in a directory, if there is one that still exists."""
    from foxapi_async.bulk import RunLog  # noqa: PLC0415 - loads aiohttp, which --help does not need

    last = RunLog(directory).last()
    place = None if last is None else last.journal
    if isinstance(place, str):
        return place
    path = directory / _default_name() if place is None else place
    return str(path) if path.is_file() else None


def _default_name() -> str:
    from foxapi_async.bulk import JOURNAL_NAME  # noqa: PLC0415 - as above

    return JOURNAL_NAME


def _is_default(context: CommandContext) -> bool:
    """Return whether the option has its value from a configuration file, or none."""
    source: Any = context.invocation and context.invocation.get_parameter_source("journal")
    return source is not None and source.name != "COMMANDLINE"
