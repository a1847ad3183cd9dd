"""Measures downloads to disk: ``python -m benchmarks.downloads [--quick] [--rounds N]``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence

from benchmarks.speed import table
from benchmarks.speed.processes import Server, run

QUESTION = "Downloads to disk against a bare aiohttp loop that writes as it reads"

_KIB, _MIB = 2**10, 2**20
_PLANS = (
    (100 * _KIB, 2000, 8),
    (100 * _KIB, 2000, 32),
    (2 * _MIB, 200, 8),
    (2 * _MIB, 200, 32),
    (100 * _MIB, 8, 8),
)
_NAMES = ("ours", "loop", "loop-fsync", "loop-durable")


def main(given: Sequence[str] | None = None) -> int:
    options = table.arguments(QUESTION, given, rounds=7)
    table.introduce(QUESTION)
    plans = [(2 * _MIB, 8, 8)] if options.quick else _PLANS
    rows = []
    with Server() as server:
        for size, count, at_once in plans:
            rounds = [
                _round(number, server.url, size, count, at_once) for number in range(options.rounds)
            ]
            rate = {name: [each[name]["rate"] for each in rounds] for name in _NAMES}
            cpu = [
                table.middle(each["ours"]["cpu"] / each[name]["cpu"] for each in rounds)
                for name in ("loop", "loop-durable")
            ]
            rows.append(
                [
                    f"{count} of {_words(size)}, {at_once} at once",
                    *(round(table.middle(rate[name])) for name in _NAMES),
                    *(
                        table.middle(a / b for a, b in zip(rate["ours"], rate[name], strict=True))
                        for name in _NAMES[1:]
                    ),
                    *cpu,
                ]
            )
    table.show(
        (
            *("files", "ours MB/s", "loop MB/s", "with fsync MB/s", "durable MB/s"),
            *("x loop (target 0.9)", "x with fsync", "x durable", "CPU x loop", "CPU x durable"),
        ),
        rows,
    )
    print(
        "\nThe durable loop gives the same guarantee as ours: it syncs a file, renames it, and syncs its folder."
    )
    return 0


def _round(number: int, *order: object) -> dict[str, dict[str, float]]:
    # Each is first in turn, because later ones find the disk busy. Files are removed only at the end,
    # because a file system may be slow to create files where some have just been removed.
    turn = number % len(_NAMES)
    with tempfile.TemporaryDirectory() as folder:
        return {
            name: run("benchmarks.speed.fetching", name, *order, folder, seconds=300)
            for name in (*_NAMES[turn:], *_NAMES[:turn])
        }


def _words(size: int) -> str:
    return f"{size // _MIB} MiB" if size >= _MIB else f"{size // _KIB} KiB"


if __name__ == "__main__":
    sys.exit(main())
