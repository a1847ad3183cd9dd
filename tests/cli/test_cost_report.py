"""What a run will cost: what is known is said, and nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foxapi_async import Balance, Credits
from foxapi_async.bulk.results.credits_seen import credits_seen
from foxapi_async.cli.cost_report import (
    ModelShare,
    Rates,
    change_text,
    cost_json,
    cost_lines,
)
from foxapi_async.cli.money import balance_text

SHARES = [ModelShare("a", 4, 6), ModelShare("b", 1, 1)]


def rates(**changes: Any) -> Rates:
    facts: dict[str, Any] = {
        "balance": Balance(Credits(500, 20)),
        "prices": {"a": 0.5, "b": 1.0, "c": 9.0},
        "credits": {"a": (10, 10), "b": (5, 8)},
    }
    return Rates(**(facts | changes))


def test_what_is_known_is_said_in_each_unit():
    assert cost_lines(SHARES, rates()) == [
        "  credits     65 to 68 credits by earlier results of this folder",
        (
            "  price       3.00 USD if a call costs once, 4.00 USD if each image does "
            "(price list, a call: a 0.50 USD, b 1.00 USD)"
        ),
        "  balance     this key: 500 credits left, 20 used",
    ]
    assert cost_json(SHARES, rates())["usd"] == {"per_call": 3.0, "per_image": 4.0}
    assert cost_json(SHARES, rates())["credits"] == {"least": 65, "most": 68}


def test_a_bound_of_images_bounds_the_cost():
    credits_, price, _ = cost_lines(SHARES, rates(), images=2)
    assert "at most 20 credits by earlier results" in credits_
    assert "at most 2.00 USD (" in price


def test_requests_in_4k_are_counted_at_twice_the_price():
    shares = [ModelShare("a", 1, 1), ModelShare("a", 1, 2, is_double=True)]
    credits_, price, _ = cost_lines(shares, rates())
    assert "30 to 50 credits by earlier" in credits_
    assert credits_.endswith("(10 credits per image, in 4K up to twice as much)")
    assert "1.50 USD if a call costs once, 2.50 USD if each image does" in price
    assert price.endswith("a call: a 0.50 USD; in 4K twice as much)")
    credits_, price, _ = cost_lines(shares, rates(), images=2)
    assert "at most 40 credits" in credits_
    assert "at most 1.50 USD if a call costs once, at most 2.00 USD if each image does" in price


def test_a_model_without_a_price_is_named_once():
    shares = [ModelShare("x", 1, 1), ModelShare("x", 1, 1, is_double=True)]
    credits_, price, _ = cost_lines(shares, rates())
    assert credits_.endswith("says what x reserves")
    assert price.endswith("no fixed price of x")


@pytest.mark.parametrize(
    ("balance", "text"),
    [
        (
            Balance(Credits(0, 7, unlimited=True), Credits(0, 7)),
            "this key: no limit of its own, 7 credits used",
        ),
        (
            Balance(Credits(0, 7, unlimited=True), Credits(5, 9)),
            "this key: no limit of its own, 7 credits used; its user: 5 credits left, 9 used",
        ),
        (
            Balance(Credits(0, 7, unlimited=True), Credits(0, 9)),
            "this key: no limit of its own, 7 credits used; its user: 9 credits used",
        ),
        (
            Balance(Credits(5, 7), Credits(0, 9)),
            "this key: 5 credits left, 7 used; its user: 0 credits left, 9 used",
        ),
    ],
)
def test_a_balance_that_says_nothing_is_left_out(balance: Balance, text: str):
    assert balance_text(balance) == text


def test_one_price_for_single_images_needs_no_condition():
    credits_, price, _ = cost_lines([ModelShare("a", 3, 3)], rates())
    assert "30 credits by earlier results of this folder (10 credits per image)" in credits_
    assert "  1.50 USD (price list" in price


def test_what_is_not_known_is_said_with_the_reason():
    unknown = rates(balance="no answer", prices="HTTP 500", credits={"a": (1, 1)})
    assert [line[14:] for line in cost_lines(SHARES, unknown)] == [
        "not known yet: no result of this folder says what b reserves",
        "not known: HTTP 500",
        "not known: no answer",
    ]
    assert set(cost_json(SHARES, unknown).values()) == {None}
    _, price, balance = cost_lines(SHARES, rates(prices={"b": 1.0}, balance=Balance()))
    assert price.endswith("not known: the public price list has no fixed price of a")
    assert "another format" in balance


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (Credits(90), Credits(60), "60 credits, 90 before this run (30 less"),
        (Credits(60), Credits(90), "90 credits, 60 before this run (30 more"),
        (Credits(0, 5, unlimited=True), Credits(0, 7, unlimited=True), "during this run: 2"),
        (Credits(5, 1), Credits(5, 1), "during this run: 0"),
        (Credits(), Credits(), None),
        (Credits(5), Credits(), None),
    ],
)
def test_the_change_of_the_balance_is_said(before: Credits, after: Credits, words: str | None):
    text = change_text(Balance(before), Balance(after))
    assert (text is None) if words is None else (words in str(text))


def test_the_credits_of_an_image_are_read_from_the_latest_results(tmp_path: Path):
    results = tmp_path / "results.jsonl"
    assert credits_seen(results) == {}
    lines = [
        {"model": "a", "credits": 9, "num_outputs": 1, "prompt": "x" * 2**20},
        {"model": "a", "credits": 60, "num_outputs": 2},
        {"model": "a", "credits": 40, "num_outputs": 1},
        {"model": "b", "credits": "7", "num_outputs": 1},
        {"model": "b", "credits": 7, "num_outputs": 0},
        {"model": ["b"], "credits": 7, "num_outputs": 1},
        ["credits"],
    ]
    results.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"credits"')
    assert credits_seen(results) == {"a": (30, 40)}
