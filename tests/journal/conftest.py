"""Journals of each kind, and a request."""

from __future__ import annotations

from pathlib import Path

import pytest

from foxapi_async.journal import Journal, StoredJournal, journal_at
from foxapi_async.phota import PhotaImage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def file_journal(path: Path) -> Journal:
    return Journal(path)


@pytest.fixture
def journal(journal_address: str) -> StoredJournal:
    return journal_at(journal_address)


@pytest.fixture
def request_() -> PhotaImage:
    return PhotaImage("A portrait of a woman in a vintage library", num_outputs=2)
