"""An emulator for the commands, in the test's process so that the test can script it and read it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from foxapi_async.emulator import Emulator
from tests.cli.process import KEY, environment


@pytest.fixture
def emulated() -> Any:
    """Return a function that starts an emulator with tiny images and short tasks."""

    @asynccontextmanager
    async def start(**options: Any) -> AsyncIterator[tuple[Emulator, dict[str, str]]]:
        options = {"picture_scale": 1 / 16, "duration": 0.2, **options}
        async with Emulator(**options) as emulator:
            yield (
                emulator,
                environment(FOXAPI_BASE_URL=emulator.url, FOXAPI_API_KEY=KEY),
            )

    return start
