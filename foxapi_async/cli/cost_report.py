"""What a run will cost, as far as it is known: as text and as JSON. Pure functions; nothing is guessed."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import Final

import attrs

from foxapi_async import Balance
from foxapi_async.cli.formatting import count
from foxapi_async.cli.money import balance_json, balance_text, number_text

_LEAST_SHOWN: Final = 0.01
"""US dollars below which a sum is shown with more digits."""


@attrs.frozen(kw_only=True)
class Rates:
    """What is known before a run about its cost.

    ``balance`` and ``prices`` are texts that say why they are not known. ``prices`` are US dollars per
    call by model. ``credits`` are the least and the most that one image has cost in earlier results.
    """

    balance: Balance | str
    prices: Mapping[str, float] | str
    credits: Mapping[str, tuple[float, float]]


@attrs.frozen
class ModelShare:
    """What a run would submit of one model; ``is_double`` if in 4K at twice the price."""

    model: str
    requests: int
    images: int
    is_double: bool = False

    def price(self, prices: Mapping[str, float]) -> float:
        """Return the US dollars of a call."""
        return prices[self.model] * (2 if self.is_double else 1)

    def most(self, credits_: Mapping[str, tuple[float, float]]) -> float:
        """Return the most credits that an image may cost: what was seen may have been in 1K."""
        return credits_[self.model][1] * (2 if self.is_double else 1)


def cost_lines(
    shares: Sequence[ModelShare], rates: Rates, *, images: int | None = None
) -> list[str]:
    """Return what the submissions will cost, a line for each unit.

    ``images`` is the most that will be billed if some may be left out; each call is one image or more.
    """
    return [
        f"  {'credits':<12}{_credits_text(shares, rates, images)}",
        f"  {'price':<12}{_price_text(shares, rates, images)}",
        f"  {'balance':<12}{_balance_text(rates.balance)}",
    ]


def cost_json(shares: Sequence[ModelShare], rates: Rates) -> dict[str, object]:
    """Return what the submissions will cost, for a program; None is not known."""
    credits_, prices = _credits(shares, rates), _prices(shares, rates)
    return {
        "credits": None if credits_ is None else {"least": credits_[0], "most": credits_[1]},
        "usd": None if prices is None else {"per_call": prices[0], "per_image": prices[1]},
        "prices_usd": None if isinstance(rates.prices, str) else _listed(shares, rates.prices),
        "balance": None if isinstance(rates.balance, str) else balance_json(rates.balance),
    }


def _credits(shares: Sequence[ModelShare], rates: Rates) -> tuple[float, float] | None:
    if not shares or any(share.model not in rates.credits for share in shares):
        return None
    least = sum(share.images * rates.credits[share.model][0] for share in shares)
    return least, sum(share.images * share.most(rates.credits) for share in shares)


def _credits_text(shares: Sequence[ModelShare], rates: Rates, images: int | None) -> str:
    total = _credits(shares, rates)
    if total is None:
        models = _named(shares, rates.credits)
        return f"not known yet: no result of this folder says what {_names(models)} reserves"
    each = {rates.credits[share.model] for share in shares}
    most = max(share.most(rates.credits) for share in shares)
    if images is None:
        text = _range_text(*total)
    else:
        text = f"at most {_range_text(*[min(total[1], images * most)] * 2)}"
    double = ", in 4K up to twice as much" if any(share.is_double for share in shares) else ""
    known = f" ({_range_text(*each.pop())} per image{double})" if len(each) == 1 else ""
    return f"{text} by earlier results of this folder{known}"


def _listed(shares: Sequence[ModelShare], prices: Mapping[str, float]) -> dict[str, float]:
    return {share.model: prices[share.model] for share in shares if share.model in prices}


def _prices(shares: Sequence[ModelShare], rates: Rates) -> tuple[float, float] | None:
    """Return the price if each call costs once, and if each image does."""
    prices = rates.prices
    if isinstance(prices, str) or not shares or any(each.model not in prices for each in shares):
        return None
    per_call = sum(share.requests * share.price(prices) for share in shares)
    return per_call, sum(share.images * share.price(prices) for share in shares)


def _price_text(shares: Sequence[ModelShare], rates: Rates, images: int | None) -> str:
    if isinstance(rates.prices, str):
        return f"not known: {rates.prices}"
    total, listed = _prices(shares, rates), _listed(shares, rates.prices)
    if total is None:
        models = _named(shares, listed)
        return f"not known: the public price list has no fixed price of {_names(models)}"
    each = ", ".join(f"{model} {_usd(price)}" for model, price in listed.items())
    most = "" if images is None else "at most "
    dearest = max(share.price(listed) for share in shares)
    bound = math.inf if images is None else images * dearest
    per_call, per_image = (min(amount, bound) for amount in total)
    text = f"{most}{_usd(per_call)}"
    if per_call != per_image:
        text += f" if a call costs once, {most}{_usd(per_image)} if each image does"
    double = "; in 4K twice as much" if any(share.is_double for share in shares) else ""
    return f"{text} (price list, a call: {each}{double})"


def _balance_text(balance: Balance | str) -> str:
    if isinstance(balance, str):
        return f"not known: {balance}"
    return balance_text(balance) or "not known: the answer has another format (see foxapi balance)"


def _named(shares: Sequence[ModelShare], known: Container[str]) -> list[str]:
    """Return the models of which something is not known, each once."""
    models = (share.model or "others" for share in shares if share.model not in known)
    return list(dict.fromkeys(models))


def _names(models: Sequence[str]) -> str:
    shown = ", ".join(models[:3])
    return shown if len(models) <= 3 else f"{shown} and {count(len(models) - 3, 'other model')}"  # noqa: PLR2004


def _range_text(least: float, most: float) -> str:
    if least == most:
        return f"{number_text(least)} credits"
    return f"{number_text(least)} to {number_text(most)} credits"


def _usd(amount: float) -> str:
    return f"{amount:,.2f} USD" if amount >= _LEAST_SHOWN or not amount else f"{amount:.4g} USD"


def change_json(before: Balance, after: Balance | None) -> dict[str, object]:
    """Return the balances of a run for a program."""
    return {
        "before": balance_json(before),
        "after": None if after is None else balance_json(after),
    }


def change_text(before: Balance, after: Balance) -> str | None:
    """Return how the balance changed; None if the two answers do not say."""
    pairs = (("this key", before.key, after.key), ("its user", before.user, after.user))
    others = "other uses of the account included"
    for whose, was, now in pairs:
        if was.unlimited or was.remaining is None or now.remaining is None:
            continue
        # A user without a limit may be said to have nothing, all the time.
        if less := was.remaining - now.remaining:
            change = f"{number_text(abs(less))} {'less' if less > 0 else 'more'}"
            return (
                f"balance of {whose}: {number_text(now.remaining)} credits, "
                f"{number_text(was.remaining)} before this run ({change}; {others})"
            )
    for whose, was, now in pairs:
        if was.used is not None and now.used is not None:
            used = number_text(now.used - was.used)
            return f"credits used by {whose} during this run: {used} ({others})"
    return None
