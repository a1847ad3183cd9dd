"""Ask for the balance and the prices beside a job, which they must never stop or delay for long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from foxapi_async import Balance, FoxAPIError
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.cost_report import Rates, cost_lines
from foxapi_async.cli.signals import run_interruptible

if TYPE_CHECKING:
    from foxapi_async import Session
    from foxapi_async.cli.job_report import Estimate

T = TypeVar("T")

_LONGEST: Final = 4.0
"""Seconds that an answer may take."""


async def ask_balance(session: Session) -> Balance | str:
    """Return the balance, or in a text why it is not known."""
    return await _bounded(session.balance)


def ask_account(context: CommandContext) -> tuple[Balance | str, Mapping[str, float] | str]:
    """Return balance and prices, or in a text why one is not known."""
    balance: Balance | str = ""
    prices: Mapping[str, float] | str = ""

    async def ask() -> None:
        async with context.session() as session, anyio.create_task_group() as group:

            async def take_prices() -> None:
                nonlocal prices
                prices = await _bounded(session.prices)

            group.start_soon(take_prices)
            nonlocal balance
            balance = await ask_balance(session)

    try:
        run_interruptible(ask())
    except FoxAPIError as error:
        return str(error), str(error)
    return balance, prices


def print_cost(context: CommandContext, estimate: Estimate, results: Path) -> Rates | None:
    """Print what the submissions will cost as far as it is known; None if there are none."""
    from foxapi_async.bulk.results.credits_seen import credits_seen  # noqa: PLC0415 - loads aiohttp

    if not estimate.requests:
        return None
    balance, prices = ask_account(context)
    rates = Rates(balance=balance, prices=prices, credits=credits_seen(results))
    limited = estimate.images < estimate.images_wanted or estimate.max_credits is not None
    most = estimate.images if limited else None
    for line in cost_lines(estimate.models, rates, images=most):
        context.console.info(line)
    if isinstance(balance, Balance) and balance.is_used_up:
        context.console.warning(
            "the server says that nothing is left of the balance: it will refuse submissions until it "
            "is topped up"
        )
    return rates


async def _bounded(ask: Callable[[], Awaitable[T]]) -> T | str:
    try:
        with anyio.fail_after(_LONGEST):
            return await ask()
    except TimeoutError:
        return f"no answer within {_LONGEST:g} s"
    except FoxAPIError as error:
        return str(error)
