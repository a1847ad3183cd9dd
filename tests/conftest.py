"""What every test may use."""

from __future__ import annotations

from typing import Any

import pytest

from tests.virtual_time import VirtualTimeLoop


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run async tests in virtual time, with asyncio's own debug checks switched on."""
    if request.node.get_closest_marker("ordinary_loop"):
        return ("asyncio", {"debug": True})
    return ("asyncio", {"debug": True, "loop_factory": VirtualTimeLoop})
