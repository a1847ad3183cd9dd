"""``python -m benchmarks.speed.posts ours|posts URL N``: submits N requests without waiting for tasks.

Prints a JSON object with the CPU seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import aiohttp

from foxapi_async import Limits, PhotaImage, Session

_CONCURRENT = 64


async def _ours(url: str, n: int) -> float:
    async with Session("sk-bench", base_url=url, limits=Limits(outputs=n + 1)) as session:
        await session.submit(PhotaImage("warm-up"))
        began = time.process_time()
        outcomes = session.map(PhotaImage(f"p{i}") for i in range(n))
        reading = asyncio.ensure_future(anext(outcomes))
        while session.statistics().submitted < n + 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        seconds = time.process_time() - began
        reading.cancel()
        await asyncio.wait([reading])
        return seconds


async def _posts(url: str, n: int) -> float:
    numbers = iter(range(n))
    async with aiohttp.ClientSession(url, headers={"Authorization": "Bearer sk-bench"}) as http:

        async def post(i: int) -> str:
            body = {"model": "phota-image", "prompt": f"p{i}", "num_outputs": 1}
            async with http.post("/v1/images/generations", json=body) as reply:
                reply.raise_for_status()
                return str((await reply.json())["id"])

        async def work() -> list[str]:
            return [await post(i) for i in numbers]

        await post(0)
        began = time.process_time()
        await asyncio.gather(*(work() for _ in range(_CONCURRENT)))
        return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("ours", "posts"))
    parser.add_argument("url")
    parser.add_argument("n", type=int)
    given = parser.parse_args()
    seconds = asyncio.run((_ours if given.name == "ours" else _posts)(given.url, given.n))
    print(json.dumps({"cpu": seconds}))


if __name__ == "__main__":
    main()
