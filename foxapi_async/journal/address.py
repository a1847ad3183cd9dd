"""Where a journal is, as callers write it: the path of a file, or the address of a server."""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import unquote

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal.journal import Journal
from foxapi_async.journal.postgres.journal import PostgresJournal
from foxapi_async.journal.stored import StoredJournal

_SCHEMES: Final = ("postgresql://", "postgres://")
_NO_PATH: Final = re.compile(
    r"[\s'\"`]*([a-z][a-z\d+.-]+:/|postgres\w*(:|//))|.*\b(host|dbname|password)\s*=",
    re.IGNORECASE | re.DOTALL,
)
"""A URL, one that is misspelt or in quotes, or a connection string of another form. A drive of Windows has
one letter."""
_AROUND: Final = " \t\r\n\ufeff"
"""What an address read from a file or a variable may have around it."""


def is_server(address: str | os.PathLike[str]) -> bool:
    """Return whether an address is one of a server, not the path of a file."""
    return isinstance(address, str) and address.strip(_AROUND).lower().startswith(_SCHEMES)


def journal_at(address: str | os.PathLike[str]) -> StoredJournal:
    """Return the journal at the path of a file, or at ``postgresql://USER@HOST:PORT/DATABASE[#NAME]``.

    Raises:
        ConfigurationError: The extra ``postgres`` is not installed, or the address is wrong.
    """
    if not is_server(address):
        if isinstance(address, str) and _NO_PATH.match(address.strip(_AROUND)):
            # A file of that name is never meant, and a message about it would show a password.
            raise ConfigurationError(
                "the address of the journal is neither the path of a file nor "
                "postgresql://USER@HOST:PORT/DATABASE; quotes do not belong to it"
            )
        return Journal(address)
    scheme, mark, rest = str(address).strip(_AROUND).partition("://")
    text = f"{scheme.lower()}{mark}{rest}"
    dsn, mark, name = text.rpartition("#")
    # A password may contain the character, too.
    if not mark or "@" in name:
        return PostgresJournal(text)
    return PostgresJournal(dsn, name=unquote(name))
