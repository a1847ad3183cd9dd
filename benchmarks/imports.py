"""The cost of the import: ``python -m benchmarks.imports [--quick] [--rounds N]``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from benchmarks.speed import table

QUESTION = "Import time, warm"

_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)(\S+)")
_OURS = "foxapi_async"
_NEEDED = "import asyncio, aiohttp, anyio.abc, anyio.lowlevel, attrs, cattrs.gen"
_BARE = f"import {_OURS}"
_USUAL = f"from {_OURS} import PhotaImage, Session"
_AS_MODULES = f"import {_OURS}.phota, {_OURS}.session"
"""The modules that the usual line loads; -X importtime misses modules loaded by attribute."""
_STATEMENTS = {
    "asyncio": "import asyncio",
    "aiohttp": "import aiohttp",
    "all third-party imports": _NEEDED,
    _BARE: _BARE,
    f"from {_OURS} import RateLimitError": f"from {_OURS} import RateLimitError",
    f"from {_OURS} import PhotaImage": f"from {_OURS} import PhotaImage",
    _USUAL: _USUAL,
    f"from {_OURS} import *": f"from {_OURS} import *",
}
_ALONE = "foxapi_async only, PhotaImage and Session"
_TIMED = (
    "{}; import time; w, c = time.perf_counter(), time.process_time(); exec({!r}); "
    "print(time.perf_counter() - w, time.process_time() - c)"
)


class _Interpreter:
    """Fresh processes with all bytecode compiled, wherever the package is installed."""

    def __init__(self, folder: str | None) -> None:
        self._environment = dict(os.environ)
        if folder is not None:
            self._environment["PYTHONPYCACHEPREFIX"] = folder
        # With it, a checkout would be compiled at each import, which users do not experience.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        )

    def seconds(self, statement: str, *, after: str = "pass") -> tuple[float, float]:
        """Return wall and CPU seconds of an import after another import."""
        printed = self.run("-c", _TIMED.format(after, statement)).stdout.split()
        return float(printed[0]), float(printed[1])

    def attributed(self, statement: str) -> dict[str, float]:
        """Return the milliseconds of each of our modules, without its imports."""
        # Load third-party modules first: they must not count for the first of our modules to use them.
        done = self.run("-X", "importtime", "-c", f"{_NEEDED}; {statement}")
        return {
            found[4]: int(found[1]) / 1000
            for line in done.stderr.splitlines()
            if (found := _LINE.match(line)) and found[4].partition(".")[0] == _OURS
        }

    def loaded(self, statement: str) -> set[str]:
        return set(self.run("-c", f"{statement}; import sys; print(*sys.modules)").stdout.split())


def main(given: Sequence[str] | None = None) -> int:
    options = table.arguments(QUESTION, given, rounds=15)
    table.introduce(QUESTION)
    with tempfile.TemporaryDirectory() as folder:
        # To compile everything takes longer than all imports of a smoke run.
        interpreter = _Interpreter(None if options.quick else folder)
        _measure(interpreter, options.rounds, quick=options.quick)
    return 0


def _measure(python: _Interpreter, rounds: int, *, quick: bool) -> None:
    if not quick:
        for statement in _STATEMENTS.values():
            python.seconds(statement)
    taken = [
        {name: python.seconds(statement) for name, statement in _STATEMENTS.items()}
        | {_ALONE: python.seconds(_USUAL, after=_NEEDED)}
        for _ in range(rounds)
    ]
    rows: list[list[object]] = []
    for name in (*_STATEMENTS, _ALONE):
        medians = [1000 * table.middle(each[name][kind] for each in taken) for kind in (0, 1)]
        best = [1000 * min(each[name][kind] for each in taken) for kind in (0, 1)]
        rows.append([name, *medians, *best])
    table.show(("import", "wall ms", "CPU ms", "wall ms, best", "CPU ms, best"), rows)
    runs = [python.attributed(_AS_MODULES) for _ in range(max(1, rounds // 3))]
    own = {module: min(each.get(module, 0.0) for each in runs) for module in runs[0]}
    heavy = sorted(own.items(), key=lambda each: -each[1])[:12]
    sums = [(f"all {len(own)} modules", sum(own.values())), *heavy]
    table.show(("our modules without their imports, PhotaImage and Session", "ms, best"), sums)
    optional = (
        *("sqlite3", "PIL", "typer", "rich"),
        *(f"{_OURS}.{name}" for name in ("bulk", "cli", "emulator", "journal")),
    )
    loaded = python.loaded(_USUAL)
    print(
        "\nloaded though optional needed:", ", ".join(n for n in optional if n in loaded) or "none"
    )


if __name__ == "__main__":
    sys.exit(main())
