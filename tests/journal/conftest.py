"""A journal in a folder of its own, and a request."""

from __future__ import annotations

from pathlib import Path

import pytest

from foxapi_async.journal import Journal
from foxapi_async.phota import PhotaImage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def journal(path: Path) -> Journal:
    return Journal(path)


@pytest.fixture
def request_() -> PhotaImage:
    return PhotaImage("A portrait of a woman in a vintage library", num_outputs=2)
