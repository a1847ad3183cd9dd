"""A user's program behind a proxy: ``python -m tests.proof.proxy_client BASE_URL FOLDER [PROXY]``.

It is a process of its own because the authorities that Python trusts, and the proxy of the
environment, are read when it starts. It prints how it ended as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from foxapi_async import FoxAPIError, PhotaImage, Polling, Retry, Session


async def main(base_url: str, folder: str, proxy: str | None = None) -> dict[str, Any]:
    options: dict[str, Any] = {} if proxy is None else {"proxy": proxy}
    session = Session(
        "sk-emulator",
        base_url=base_url,
        polling=Polling(poll_cost=0.01, min_interval=0.05),
        retry=Retry(attempts=2, first=0.05),
        **options,
    )
    async with session:
        try:
            task = await session.generate(PhotaImage("a fox"))
            paths = await session.download(task, folder)
        except FoxAPIError as error:
            causes = [repr(error), str(error)]
            return {
                "error": type(error).__name__,
                "texts": causes,
                "sent": getattr(error, "sent", None),
            }
        return {"files": [path.name for path in paths]}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))  # noqa: T201
