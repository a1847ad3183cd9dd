"""A few cycles of the proof of shared journals; `python -m tests.proof.shared_journal` runs many."""

from __future__ import annotations

import sys

import pytest

from tests.postgres_server import binaries


@pytest.mark.once
@pytest.mark.ordinary_loop
@pytest.mark.skipif(sys.platform == "win32", reason="signals are a matter of POSIX")
@pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed (Debian: postgresql)")
async def test_killed_workers_and_a_failing_server_bill_nothing_twice():
    pytest.importorskip("psycopg")
    from tests.proof.shared_cycles import prove  # noqa: PLC0415 - needs the driver

    said = await prove(cycles=3, seed=3)
    assert " 6 kills" in said
