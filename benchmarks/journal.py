"""The cost of the journal: ``python -m benchmarks.journal [--quick] [--rounds N]``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import table
from benchmarks.speed.processes import Server, run

QUESTION = "Submissions with and without a journal"


def _pair(server: Server, work: str, n: int, seconds: float) -> list[dict[str, Any]]:
    """Measure without and with a journal, one after the other."""
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for options in ([], ["--journal", Path(folder) / "journal.sqlite"]):
            server.plan([seconds], estimate=seconds)
            done = run("benchmarks.speed.journalled", work, server.url, n, *options)
            assert done["done"] == n, done
            results.append(done)
    return results


def _row(
    name: str, pairs: Sequence[Sequence[dict[str, Any]]], figure: str, n: int, *, per_second: bool
) -> list[object]:
    def value(each: dict[str, Any]) -> float:
        return n / float(each[figure]) if per_second else 1e6 * float(each[figure]) / n

    without, with_ = ([value(pair[place]) for pair in pairs] for place in (0, 1))
    ratios = [b / a for a, b in zip(without, with_, strict=True)]
    return [
        name,
        round(table.middle(without)),
        round(table.middle(with_)),
        table.middle(ratios),
        min(ratios),
        max(ratios),
    ]


def main(given: Sequence[str] | None = None) -> int:
    options = table.arguments(QUESTION, given, rounds=5)
    table.introduce(QUESTION)
    many, paced = (100, 30) if options.quick else (3_000, 1_000)
    with Server() as server:
        bursts = [_pair(server, "burst", many, 1e6) for _ in range(options.rounds)]
        streams = [_pair(server, "stream", many, 1e6) for _ in range(options.rounds)]
        # Short tasks: they need few polls, so mostly the submission is measured.
        steady = [_pair(server, "paced", paced, 1.0) for _ in range(options.rounds)]
    table.show(
        ("", "without", "with", "ratio", "min", "max"),
        [
            _row("submissions per second", bursts, "wall", many, per_second=True),
            _row("the same through map", streams, "wall", many, per_second=True),
            _row("CPU of a submission in a burst, us", bursts, "cpu", many, per_second=False),
            _row("CPU of a task at 100 per second, us", steady, "cpu", paced, per_second=False),
        ],
    )
    print(
        f"\nRatio: with to without in the same pair of runs; the median of {options.rounds} pairs."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
