"""Balances and price lists: what is understood is read, and nothing is guessed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import Balance, Credits, InvalidResponseError
from foxapi_async.http.account import read_balance, read_prices

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = ("remaining_credits", "used_credits", "unlimited_credits")
ACCOUNTS = st.fixed_dictionaries(
    {},
    optional={name: JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON))
              for name in ("token", "user")},
)  # fmt: skip


def test_the_documented_form_is_read():
    token = {"remaining_credits": 5, "used_credits": 2.5, "unlimited_credits": False}
    payload = {"success": True, "data": {"token": token, "user": {"remaining_credits": 70}}}
    balance = read_balance(payload)
    assert balance == Balance(Credits(5, 2.5, unlimited=False), Credits(70))
    assert balance.raw == payload


@given(JSON | st.fixed_dictionaries({"data": JSON | ACCOUNTS}))
def test_any_object_is_a_balance_and_is_kept(payload: Any):
    if not isinstance(payload, dict):
        with pytest.raises(InvalidResponseError):
            read_balance(payload)
        return
    balance = read_balance(payload)
    assert balance.raw is payload
    for credits_ in (balance.key, balance.user):
        for value in (credits_.remaining, credits_.used):
            assert value is None or math.isfinite(value)
        assert credits_.unlimited in {None, True, False}
    assert balance.is_used_up in {True, False}


@pytest.mark.parametrize(
    ("key", "user", "used_up"),
    [
        (Credits(), Credits(), False),
        (Credits(1), Credits(1), False),
        (Credits(0), Credits(), True),
        (Credits(-3), Credits(5), True),
        (Credits(5), Credits(0), True),
        (Credits(0, unlimited=True), Credits(), False),
        # Which of the two counts is not documented.
        (Credits(0, unlimited=True), Credits(0), False),
    ],
)
def test_a_balance_is_used_up_only_by_the_servers_word(key, user, used_up):
    assert Balance(key, user).is_used_up is used_up


def priced(**changes: Any) -> dict[str, Any]:
    row = {"model_name": "m", "quota_type": 1, "model_price": 0.5, "enable_groups": ["default"]}
    return {"data": [row | changes], "group_ratio": {"default": 2, "vip": 1, "same": 2}}


@pytest.mark.parametrize(
    ("changes", "price"),
    [
        ({}, 1.0),
        ({"model_price": 0}, 0.0),
        ({"enable_groups": ["default", "same"]}, 1.0),
        # The group of the key is not known.
        ({"enable_groups": ["default", "vip"]}, None),
        ({"enable_groups": []}, None),
        ({"enable_groups": ["other"]}, None),
        ({"enable_groups": ["default", 7]}, None),
        ({"quota_type": 0}, None),
        ({"quota_type": "1"}, None),
        ({"model_price": "0.5"}, None),
        ({"model_price": -1}, None),
        ({"model_price": True}, None),
        ({"model_price": 10**400}, None),
        ({"model_price": float("nan")}, None),
        ({"model_name": None}, None),
    ],
)
def test_a_price_is_known_only_if_nothing_about_it_is_open(changes, price):
    expected = {} if price is None else {"m": price}
    assert read_prices(priced(**changes)) == expected


@given(JSON | st.fixed_dictionaries({"data": st.lists(JSON), "group_ratio": JSON}))
def test_no_price_list_breaks_the_reading(payload: Any):
    try:
        prices = read_prices(payload)
    except InvalidResponseError:
        return
    assert all(isinstance(name, str) and price >= 0 for name, price in prices.items())
