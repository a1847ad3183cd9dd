"""A pytest fixture that runs a local FoxAPI emulator, so that tests of apps cost nothing.

pytest finds it once the package is installed. The emulator runs in a thread, so it serves sync tests
and tests of any async plugin::

    async def test_my_bot_draws_a_fox(foxapi_emulator):
        await my_bot.draw("a fox")                      # uses Session() without arguments
        assert foxapi_emulator.counters.images_billed == 1
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from foxapi_async.emulator import Emulator


@pytest.fixture
def foxapi_emulator_options() -> Mapping[str, Any]:
    """Options of the `Emulator`; override the fixture to change them."""
    return {"duration": (0.5, 1.5), "picture_scale": 1 / 16}


@pytest.fixture
def foxapi_emulator(
    foxapi_emulator_options: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Emulator]:
    """Run a local FoxAPI; FOXAPI_BASE_URL and FOXAPI_API_KEY point to it during the test."""
    # Here, because pytest imports this module even if no test uses the fixture.
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415

    from foxapi_async.emulator import Emulator  # noqa: PLC0415

    emulator = Emulator(**foxapi_emulator_options)
    with start_blocking_portal() as portal:
        portal.call(emulator.start)
        monkeypatch.setenv("FOXAPI_BASE_URL", emulator.url)
        monkeypatch.setenv("FOXAPI_API_KEY", "sk-emulator")
        try:
            yield emulator
        finally:
            portal.call(emulator.stop)
