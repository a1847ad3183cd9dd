"""Credits, prices and balances as text and as JSON. Pure functions."""

from __future__ import annotations

from typing import Final

import attrs

from foxapi_async import Balance, Credits

UNDOCUMENTED: Final = "FoxAPI does not document the unit of credits, nor what it refunds; the numbers are as it sends them"


def number_text(value: float) -> str:
    """Return a number of credits: "30,000", "0.5"."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"


def balance_text(balance: Balance) -> str:
    """Return the balance in one line, "" if nothing of it is understood.

    If the key has no limit, a remainder of 0 of its user is left out: a server may report 0 for a user
    without a limit as well. The user's consumption is left out if it equals that of the key.
    """
    key, user = balance.key, balance.user
    if key.unlimited and user.remaining is not None and user.remaining <= 0:
        user = attrs.evolve(user, remaining=None)
    if user.remaining is None and user.used == key.used:
        user = Credits()
    parts: list[str] = []
    for whose, each in (("this key", key), ("its user", user)):
        words: list[str] = []
        if each.unlimited:
            words.append("no limit of its own")
        elif each.remaining is not None:
            words.append(f"{number_text(each.remaining)} credits left")
        if each.used is not None:
            unit = "" if each.remaining is not None and not each.unlimited else "credits "
            words.append(f"{number_text(each.used)} {unit}used")
        if words:
            parts.append(f"{whose}: {', '.join(words)}")
    return "; ".join(parts)


def balance_json(balance: Balance) -> dict[str, object]:
    """Return the balance for a program: what is understood, and the answer as received."""
    return {
        "key": attrs.asdict(balance.key),
        "user": attrs.asdict(balance.user),
        "raw": dict(balance.raw),
    }
