"""What the free routes about money say: the balance and the price list. Section 13 of the API reference.

Reading is tolerant, because neither format is documented by FoxAPI: what is not understood is None, or
missing, and never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from foxapi_async._typeguards import is_array, is_object
from foxapi_async.errors import InvalidResponseError
from foxapi_async.models import Balance, Credits

_PRICE_PER_CALL: Final = 1
"""The ``quota_type`` of a fixed price; others are ratios, which say nothing about money."""


def read_balance(payload: object) -> Balance:
    """Return the balance that a decoded answer describes; raise `InvalidResponseError` if it is no object."""
    if not is_object(payload):
        raise InvalidResponseError("the answer is not a JSON object")
    data = payload.get("data")
    fields = data if is_object(data) else {}
    return Balance(_credits(fields.get("token")), _credits(fields.get("user")), payload)


def _credits(value: object) -> Credits:
    if not is_object(value):
        return Credits()
    unlimited = value.get("unlimited_credits")
    return Credits(
        _number(value.get("remaining_credits")),
        _number(value.get("used_credits")),
        unlimited if isinstance(unlimited, bool) else None,
    )


def read_prices(payload: object) -> dict[str, float]:
    """Return the fixed prices per call in USD by model, or raise `InvalidResponseError`.

    A model is left out if it has no fixed price, or one that depends on the group of the key.
    """
    rows = payload.get("data") if is_object(payload) else None
    if not is_object(payload) or not is_array(rows):
        raise InvalidResponseError("the answer has no list of prices")
    ratios = payload.get("group_ratio")
    return dict(_prices(rows, ratios if is_object(ratios) else {}))


def _prices(rows: list[object], ratios: dict[str, object]) -> Iterator[tuple[str, float]]:
    for row in rows:
        if not is_object(row) or row.get("quota_type") != _PRICE_PER_CALL:
            continue
        model, price = row.get("model_name"), _number(row.get("model_price"))
        ratio = _ratio(row.get("enable_groups"), ratios)
        if isinstance(model, str) and price is not None and ratio is not None:
            total = price * ratio
            if price >= 0 and ratio >= 0 and math.isfinite(total):
                yield model, total


def _ratio(groups: object, ratios: dict[str, object]) -> float | None:
    """Return the ratio that all groups share which may call a model, None if they differ."""
    names = groups if is_array(groups) and groups else list(ratios)
    found = {_number(ratios.get(name)) if isinstance(name, str) else None for name in names}
    return found.pop() if len(found) == 1 else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an int that no float can hold
        return None
