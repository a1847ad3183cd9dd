"""What do many tasks in flight cost? ``python -m benchmarks.scale [--quick] [--rounds N]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.speed import table
from benchmarks.speed.processes import Server, run

QUESTION = "Cost as the number of tasks in flight grows"

_DAYS = 1e6
"""Seconds that a task takes: none ends here."""


def _measure(server: Server, n: int, *options: object) -> dict[str, Any]:
    server.plan([_DAYS], estimate=_DAYS)
    return run("benchmarks.speed.held", server.url, n, *options, seconds=400)


def _middle(runs: Sequence[dict[str, Any]], key: str) -> float:
    return table.middle(each[key] for each in runs)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rate", type=float, default=400.0, help="looks per second wanted")


def main(given: Sequence[str] | None = None) -> int:
    options = table.arguments(QUESTION, given, rounds=1, more=_more)
    table.introduce(QUESTION)
    sizes = (50, 100) if options.quick else options.sizes
    rate, seconds = (100.0, 0.5) if options.quick else (options.rate, 10.0)
    regimes = {
        "looks as planned": ("--rate", rate, "--seconds", seconds),
        "4 x more due than allowed": ("--rate", 4 * rate, "--ceiling", rate, "--seconds", seconds),
    }
    rows = []
    with Server() as server:
        for regime, flags in regimes.items():
            # In turn, so that a slow minute of the machine falls on all sizes alike.
            rounds = [
                {n: _measure(server, n, *flags) for n in sizes} for _ in range(options.rounds)
            ]
            for n in sizes:
                runs = [each[n] for each in rounds]
                growth = [
                    each[n]["cpu_per_look"] / each[sizes[0]]["cpu_per_look"] for each in rounds
                ]
                rows.append(
                    [
                        regime,
                        n,
                        _middle(runs, "memory") / 1024,
                        1e6 * _middle(runs, "cpu_per_submission"),
                        _middle(runs, "looks_per_second"),
                        1e6 * _middle(runs, "cpu_per_look"),
                        table.middle(growth),
                        *(_middle(runs, name) for name in ("late", "late_by_work", "gc")),
                        _middle(runs, "late_submitting"),
                        _middle(runs, "late_by_work_submitting"),
                        _middle(runs, "gc_submitting"),
                    ]
                )
    table.show(
        (
            "regime",
            "in flight",
            "KiB/task",
            "submission us",
            "looks/s",
            "look us",
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
    print("\nlate: longest time for which the event loop was kept busy, by CPU time of its thread;")
    print(
        "without gc: the same without the collections that fell into it; gc: longest single collection."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
