"""`session.balance()` and `session.prices()` against the emulator."""

from __future__ import annotations

import pytest

from foxapi_async import (
    AuthenticationError,
    Credits,
    InvalidResponseError,
    PhotaImage,
    Retry,
    Session,
)
from foxapi_async.emulator import Answer, Emulator, Fault, error, html

pytestmark = pytest.mark.ordinary_loop


async def test_the_balance_falls_by_what_is_submitted():
    async with (
        Emulator(credits=100_000, duration=0.05, picture_scale=1 / 40) as emulator,
        Session("sk-emulator", base_url=emulator.url) as session,
    ):
        before = await session.balance()
        await session.submit(PhotaImage("a fox", num_outputs=2))
        after = await session.balance()
    assert before.key == Credits(100_000, 0, unlimited=False)
    assert (after.key.remaining, after.user.used) == (40_000, 60_000)
    assert before.raw["success"] is True


async def test_a_balance_that_is_refused_or_no_json_is_an_error():
    once = Retry(attempts=1)
    async with (
        Emulator() as emulator,
        Session("sk-emulator", base_url=emulator.url, retry=once) as session,
    ):
        emulator.script(Fault("credits", error(401)), Fault("credits", html(200, "Welcome")))
        with pytest.raises(AuthenticationError):
            await session.balance()
        with pytest.raises(InvalidResponseError, match="GET /v1/account/credits"):
            await session.balance()


async def test_prices_are_asked_for_without_the_key():
    async with (
        Emulator() as emulator,
        Session("sk-emulator", base_url=emulator.url, retry=Retry(attempts=1)) as session,
    ):
        prices = await session.prices()
        [call] = [call for call in emulator.calls if call.route == "pricing"]
        assert "Authorization" not in call.headers
        emulator.script(Fault("pricing", Answer(200, b"x" * (9 * 2**20))))
        with pytest.raises(InvalidResponseError, match="GET /api/pricing"):
            await session.prices()
    assert prices["phota-image"] == 0.06
    assert "phota-create-profile" not in prices
