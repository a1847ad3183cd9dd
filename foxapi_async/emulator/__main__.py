"""`python -m foxapi_async.emulator`: serve until SIGINT or SIGTERM.

The first line on stdout is the base URL, the last one the counters as a JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence

import attrs

from foxapi_async.emulator import Emulator, PillowMissingError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m foxapi_async.emulator", description="A local FoxAPI on loopback."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster tasks run")
    parser.add_argument("--seed", type=int, default=0, help="seed of durations, ids and pictures")
    parser.add_argument("--api-key", default="sk-emulator", help="the accepted key")
    parser.add_argument(
        "--duration",
        type=float,
        help="duration of each task in seconds; by default log-normal around 20",
    )
    parser.add_argument("--fail-rate", type=float, default=0.0, help="share of tasks that fail")
    parser.add_argument(
        "--max-images-in-flight", type=int, help="requests beyond this are answered 429"
    )
    parser.add_argument(
        "--requests-per-second", type=float, help="requests beyond this are answered 429"
    )
    parser.add_argument("--latency", type=float, default=0.0, help="seconds for each request")
    parser.add_argument("--picture-scale", type=float, default=1.0, help="factor for picture sizes")
    return parser.parse_args(given)


def _emulator(arguments: argparse.Namespace) -> Emulator:
    options = vars(arguments)
    if options["duration"] is None:
        del options["duration"]
    return Emulator(**options)


async def serve(emulator: Emulator) -> None:
    """Run an emulator until a signal arrives; print its URL first and its counters last."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        async with emulator:
            print(emulator.url, flush=True)  # noqa: T201
            await stop.wait()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    counted = attrs.asdict(emulator.counters)
    del counted["polls_per_task"]
    print(json.dumps(counted), flush=True)  # noqa: T201


def main(given: Sequence[str] | None = None) -> int:
    """Serve until a signal arrives; return the exit code, 1 if the server cannot start.

    Args:
        given: The arguments; None takes those of the command line.
    """
    try:
        asyncio.run(serve(_emulator(_arguments(given))))
    except (OSError, ValueError, PillowMissingError) as trouble:
        print(f"error: {trouble}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
