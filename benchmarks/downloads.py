"""How fast do files come to disk? ``python -m benchmarks.downloads [--quick] [--rounds N]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.speed import table
from benchmarks.speed.processes import Server, run

QUESTION = "Downloads to disk, eight at once, against a bare aiohttp loop that writes as it reads"

_MIB = 2**20
_NAMES = ("ours", "loop", "loop-fsync")


def main(given: Sequence[str] | None = None) -> int:
    options = table.arguments(QUESTION, given, rounds=7)
    table.introduce(QUESTION)
    plans = [(2 * _MIB, 8)] if options.quick else [(2 * _MIB, 200), (100 * _MIB, 8)]
    rows = []
    with Server() as server:
        for size, count in plans:
            rounds = []
            for number in range(options.rounds):
                # Each comes first in turn: what comes later finds the disk busy.
                turn = number % len(_NAMES)
                rounds.append(
                    {
                        name: run(
                            "benchmarks.speed.fetching", name, server.url, size, count, seconds=300
                        )
                        for name in (*_NAMES[turn:], *_NAMES[:turn])
                    }
                )
            rate = {name: [each[name]["rate"] for each in rounds] for name in _NAMES}
            cpu = [each["ours"]["cpu"] / each["loop"]["cpu"] for each in rounds]
            rows.append(
                [
                    f"{count} of {size // _MIB} MiB",
                    *(round(table.middle(rate[name])) for name in _NAMES),
                    *(
                        table.middle(a / b for a, b in zip(rate["ours"], rate[name], strict=True))
                        for name in _NAMES[1:]
                    ),
                    table.middle(cpu),
                ]
            )
    table.show(
        (
            *("files", "ours MB/s", "loop MB/s", "loop with fsync MB/s"),
            *("x loop (target 0.9)", "x loop with fsync", "CPU x loop"),
        ),
        rows,
    )
    print("\nOurs syncs each file and its folder to disk before it gives it its name.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
