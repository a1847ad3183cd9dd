"""Run the `foxapi` command on another event loop: ``python -m tests.environments.cli --uvloop demo``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from foxapi_async.cli import main


def _use_uvloop() -> None:
    import uvloop  # noqa: PLC0415 - installed in one of the environments only

    _create_loops_with(uvloop.new_event_loop)


def _use_eager_tasks() -> None:
    def new_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.SelectorEventLoop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    _create_loops_with(new_loop)


def _use_nest_asyncio() -> None:
    import nest_asyncio  # noqa: PLC0415 - installed in one of the environments only

    nest_asyncio.apply()


def _create_loops_with(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return new_loop()

    asyncio.set_event_loop_policy(Policy())


CHANGES = {
    "--uvloop": _use_uvloop,
    "--eager-tasks": _use_eager_tasks,
    "--nest-asyncio": _use_nest_asyncio,
}

if __name__ == "__main__":
    CHANGES[sys.argv.pop(1)]()
    sys.argv[0] = "foxapi"
    main()
