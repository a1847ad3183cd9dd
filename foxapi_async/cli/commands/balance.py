"""`foxapi balance`: what is left, as the server says it."""

from __future__ import annotations

from foxapi_async import Balance
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import json_text
from foxapi_async.cli.money import UNDOCUMENTED, balance_json, balance_text
from foxapi_async.cli.signals import run_interruptible


def balance(context: CommandContext) -> ExitCode:
    """Print the balance of the key, in credits as the server counts them. Nothing is billed.

    FoxAPI does not document the unit of credits.
    """

    async def ask() -> Balance:
        async with context.session() as session:
            return await session.balance()

    found = run_interruptible(ask())
    console = context.console
    # An answer in another format is worth printing, too.
    console.result(balance_text(found) or json_text(dict(found.raw)))
    console.info(UNDOCUMENTED)
    console.document(**balance_json(found), exit_code=ExitCode.OK)
    return ExitCode.OK
