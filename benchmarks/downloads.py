"""How fast do files come to disk? ``python -m benchmarks.downloads [--quick] [--rounds N]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.speed import table
from benchmarks.speed.processes import Server, run

QUESTION = "Downloads to disk, eight at once, against a bare aiohttp loop that writes as it reads"

_MIB = 2**20


def main(given: Sequence[str] | None = None) -> int:
    options = table.arguments(QUESTION, given, rounds=7)
    table.introduce(QUESTION)
    plans = [(2 * _MIB, 8)] if options.quick else [(2 * _MIB, 200), (100 * _MIB, 8)]
    rows = []
    with Server() as server:
        for size, count in plans:
            rounds = []
            for number in range(options.rounds):
                # In turn first and second: what comes second finds the disk busy with the first.
                names = ("ours", "loop") if number % 2 else ("loop", "ours")
                rounds.append(
                    {
                        name: run(
                            "benchmarks.speed.fetching", name, server.url, size, count, seconds=300
                        )
                        for name in names
                    }
                )
            rates = [[each[name]["rate"] for each in rounds] for name in ("ours", "loop")]
            cpu = [each["ours"]["cpu"] / each["loop"]["cpu"] for each in rounds]
            rows.append(
                [
                    f"{count} of {size // _MIB} MiB",
                    *map(table.middle, rates),
                    table.middle(a / b for a, b in zip(*rates, strict=True)),
                    table.middle(cpu),
                ]
            )
    table.show(("files", "ours MB/s", "loop MB/s", "ratio (target 0.9)", "CPU ratio"), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
