"""`foxapi balance`: as the server says it, raw."""

from __future__ import annotations

import pytest

from foxapi_async.emulator import Answer, Fault
from tests.cli.process import KEY, foxapi, together

pytestmark = pytest.mark.ordinary_loop


async def test_the_balance_is_printed_and_its_unit_is_called_undocumented(emulated):
    async with emulated(credits=90_000, api_key=[KEY, "sk-odd"]) as (emulator, env):
        answer = Answer(200, {"balance": "7\u202e"})
        odd = Fault("credits", answer, when=lambda call: "odd" in call.headers["Authorization"])
        emulator.script(odd)
        text, document, unread = await together(
            lambda: foxapi("balance", env=env),
            lambda: foxapi("balance", "--json", env=env),
            lambda: foxapi("balance", env={**env, "FOXAPI_API_KEY": "sk-odd"}),
        )
    assert text.lines == [
        "this key: 90,000 credits left, 0 used; its user: 90,000 credits left, 0 used"
    ]
    assert "does not document the unit" in text.err
    assert document.document["key"] == {"remaining": 90_000, "used": 0, "unlimited": False}
    assert document.document["raw"]["data"]["user"]["remaining_credits"] == 90_000
    assert document.document["exit_code"] == 0
    assert (unread.code, unread.lines) == (0, ['{"balance": "7\\u202e"}'])
