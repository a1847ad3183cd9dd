"""The input of `session.map`: requests or (key, request) pairs, from any iterable."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Final

import anyio.lowlevel

from foxapi_async._typeguards import is_tuple
from foxapi_async.errors import InvalidRequestError
from foxapi_async.requests import Request

Item = Request | tuple[str | None, Request]

_ITEMS_PER_TURN: Final = 16


async def iterate(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    """Yield the items of any iterable."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    for number, item in enumerate(items, 1):
        yield item
        # A long input whose items are decided at once must not block the event loop.
        if number % _ITEMS_PER_TURN == 0:
            await anyio.lowlevel.checkpoint()


def key_and_request(item: object, index: int) -> tuple[str | None, Request]:
    """Return the key and the request of an item, or raise `InvalidRequestError`."""
    key: object = None
    request: object = item
    if is_tuple(item) and len(item) == 2:  # noqa: PLR2004
        key, request = item
    if not isinstance(request, Request) or not (key is None or isinstance(key, str)):
        raise InvalidRequestError(
            f"item {index} of the input is {item!r}; it must be a request or a (key, request) pair",
            field=f"requests[{index}]",
            value=item,
        )
    return key, request
