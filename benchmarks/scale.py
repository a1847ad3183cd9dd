"""The cost of many tasks in flight: ``python -m benchmarks.scale [--quick] [--rounds N]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.speed import table
from benchmarks.speed.processes import Server, run

QUESTION = "Cost as the number of tasks in flight grows"

_NEVER = 1e6
"""Duration of a task in seconds: none ends during the benchmark."""


def _measure(server: Server, n: int, *options: object) -> dict[str, Any]:
    server.plan([_NEVER], estimate=_NEVER)
    return run("benchmarks.speed.held", server.url, n, *options, seconds=400)


def _median(runs: Sequence[dict[str, Any]], key: str) -> float:
    return table.middle(each[key] for each in runs)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rate", type=float, default=400.0, help="target polls per second")


def main(given: Sequence[str] | None = None) -> int:
    options = table.arguments(QUESTION, given, rounds=1, more=_more)
    table.introduce(QUESTION)
    sizes = (50,) if options.quick else options.sizes
    rate, seconds = (100.0, 0.5) if options.quick else (options.rate, 10.0)
    regimes = {
        "polls as scheduled": ("--rate", rate, "--seconds", seconds),
        "4 x more due than allowed": ("--rate", 4 * rate, "--ceiling", rate, "--seconds", seconds),
    }
    rows = []
    with Server() as server:
        for regime, flags in regimes.items():
            # Alternate the sizes, so that a slow minute of the machine affects all of them.
            rounds = [
                {n: _measure(server, n, *flags) for n in sizes} for _ in range(options.rounds)
            ]
            for n in sizes:
                runs = [each[n] for each in rounds]
                growth = [
                    each[n]["cpu_per_poll"] / each[sizes[0]]["cpu_per_poll"] for each in rounds
                ]
                rows.append(
                    [
                        regime,
                        n,
                        _median(runs, "memory") / 1024,
                        1e6 * _median(runs, "cpu_per_submission"),
                        _median(runs, "polls_per_second"),
                        1e6 * _median(runs, "cpu_per_poll"),
                        table.middle(growth),
                        *(_median(runs, name) for name in ("late", "late_without_gc", "gc")),
                        _median(runs, "late_submitting"),
                        _median(runs, "late_without_gc_submitting"),
                        _median(runs, "gc_submitting"),
                    ]
                )
    table.show(
        (
            "regime",
            "in flight",
            "KiB/task",
            "submission us",
            "polls/s",
            "poll us",
            f"x at {sizes[0]}",
            "late ms",
            "without gc",
            "gc ms",
            "submitting: late ms",
            "without gc",
            "gc ms",
        ),
        rows,
    )
    print("\nlate: longest time for which the event loop was blocked, by CPU time of its thread;")
    print("without gc: the same minus garbage collection; gc: longest single collection.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
