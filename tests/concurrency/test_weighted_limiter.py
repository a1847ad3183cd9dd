"""`WeightedLimiter`: shares that never add up to more than there is, in the order of arrival."""

from __future__ import annotations

import random

import anyio
import anyio.lowlevel
import pytest

from foxapi_async._concurrency import WeightedLimiter

pytestmark = pytest.mark.once


async def test_shares_never_exceed_the_total_and_everyone_gets_one():
    dice, limiter, held, most, served = random.Random(1), WeightedLimiter(10), 0, 0, 0

    async def borrow(weight: int) -> None:
        nonlocal held, most, served
        with anyio.move_on_after(dice.choice([0.5, 100])):
            share = await limiter.acquire(weight)
            held += share
            most = max(most, held)
            try:
                await anyio.sleep(dice.random())
            finally:
                held -= share
                limiter.release(share)
            served += 1

    async with anyio.create_task_group() as group:
        for _ in range(300):
            group.start_soon(borrow, dice.randint(1, 15))
    assert most == 10
    assert 100 < served < 300
    assert await limiter.acquire(99) == 10


async def test_a_large_share_is_not_overtaken():
    limiter, order = WeightedLimiter(10), []

    async def borrow(name: str, weight: int) -> None:
        limiter.release(await limiter.acquire(weight))
        order.append(name)

    first = await limiter.acquire(5)
    async with anyio.create_task_group() as group:
        for name, weight in (("large", 10), ("small", 1), ("another", 1)):
            group.start_soon(borrow, name, weight)
            await anyio.lowlevel.checkpoint()
        assert order == []
        limiter.release(first)
    assert order == ["large", "small", "another"]


async def test_what_is_occupied_is_missing_until_it_is_released():
    limiter = WeightedLimiter(10)
    beyond = limiter.occupy(15)
    with anyio.move_on_after(1) as waiting:
        await limiter.acquire(1)
    assert waiting.cancelled_caught
    limiter.release(beyond)
    assert await limiter.acquire(10) == 10
