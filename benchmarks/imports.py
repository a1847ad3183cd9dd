"""What does the import cost? ``python -m benchmarks.imports [--quick] [--rounds N]``."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.speed import table

QUESTION = "Import time, warm"

_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)(\S+)")
_OURS = "foxapi_async"
_TIMED = (
    "import time; w, c = time.perf_counter(), time.process_time(); import {0}; "
    "print(time.perf_counter() - w, time.process_time() - c)"
)


def _seconds(modules: str) -> tuple[float, float]:
    """Return wall and CPU seconds of an import in a fresh process."""
    said = _python("-c", _TIMED.format(modules)).stdout.split()
    return float(said[0]), float(said[1])


def _attributed() -> dict[str, float]:
    """Return milliseconds that each of our modules takes by itself."""
    done = _python("-X", "importtime", "-c", f"import {_OURS}")
    return {
        found[4]: int(found[1]) / 1000
        for line in done.stderr.splitlines()
        if (found := _LINE.match(line)) and found[4].partition(".")[0] == _OURS
    }


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def main(given: Sequence[str] | None = None) -> int:
    options = table.arguments(QUESTION, given, rounds=15)
    table.introduce(QUESTION)
    needed = "asyncio, aiohttp, anyio, attrs, cattrs, cattrs.gen"
    _seconds(_OURS)
    rounds = [
        (_seconds("asyncio"), _seconds("aiohttp"), _seconds(needed), _seconds(_OURS))
        for _ in range(options.rounds)
    ]
    names = ("asyncio", "aiohttp", "all that we need of others", _OURS)
    rows: list[list[object]] = []
    for i, name in enumerate(names):
        best = [1000 * min(each[i][kind] for each in rounds) for kind in (0, 1)]
        middle = [1000 * table.middle(each[i][kind] for each in rounds) for kind in (0, 1)]
        rows.append([name, *middle, *best])
    ours = [each[3][1] - each[2][1] for each in rounds]
    rows.append(["ours alone", None, 1000 * table.middle(ours), None, 1000 * min(ours)])
    table.show(("import", "wall ms", "CPU ms", "wall ms, best", "CPU ms, best"), rows)
    runs = [_attributed() for _ in range(max(1, options.rounds // 3))]
    own = {module: table.middle(each.get(module, 0.0) for each in runs) for module in runs[0]}
    heavy = sorted(own.items(), key=lambda each: -each[1])[:12]
    table.show(("our heaviest modules, by themselves", "ms"), heavy)
    loaded = _python("-c", f"import sys, {_OURS}; print(*sys.modules)").stdout.split()
    unwanted = ("sqlite3", "PIL", "typer", "rich", f"{_OURS}.cli", f"{_OURS}.emulator")
    print("\nloaded though seldom needed:", ", ".join(n for n in unwanted if n in loaded) or "none")
    return 0


if __name__ == "__main__":
    sys.exit(main())
