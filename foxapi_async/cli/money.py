"""Credits, prices and balances as text and as JSON. Pure functions."""

from __future__ import annotations

from typing import Final

import attrs

from foxapi_async import Balance

UNDOCUMENTED: Final = "FoxAPI does not document the unit of credits, nor what it refunds; the numbers are as it sends them"


def number_text(value: float) -> str:
    """Return a number of credits: "30,000", "0.5"."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"


def balance_text(balance: Balance) -> str:
    """Return the balance in one line, "" if nothing of it is understood."""
    parts: list[str] = []
    for whose, each in (("this key", balance.key), ("its user", balance.user)):
        words: list[str] = []
        if each.unlimited:
            words.append("no limit of its own")
        elif each.remaining is not None:
            words.append(f"{number_text(each.remaining)} credits left")
        if each.used is not None:
            words.append(f"{number_text(each.used)} used")
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
