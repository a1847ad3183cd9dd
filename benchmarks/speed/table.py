"""Output of the benchmarks: machine, versions and Markdown tables."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path

from foxapi_async.version import __version__

OURS = ("aiohttp", "anyio", "attrs", "cattrs")
PEERS = ("fal-client", "replicate", "runwayml", "openai", "httpx")


def arguments(
    question: str,
    given: Sequence[str] | None,
    *,
    rounds: int = 3,
    more: Callable[[argparse.ArgumentParser], object] = lambda _: None,
) -> argparse.Namespace:
    """Parse the common options ``quick`` and ``rounds``, and those that ``more`` adds."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--quick", action="store_true", help="a smoke run of a few seconds")
    parser.add_argument(
        "--rounds", type=int, default=rounds, help="rounds; the table shows the median"
    )
    more(parser)
    read = parser.parse_args(given)
    if read.quick:
        read.rounds = 1
    return read


def introduce(question: str, *, packages: Iterable[str] = OURS) -> None:
    """Print the question, the machine and the versions."""
    print(f"# {question}\n")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, ", end="")
    print(f"{os.cpu_count()} cores ({_processor()})")
    versions = [f"{name} {version}" for name in packages if (version := _version(name))]
    print(", ".join([f"foxapi-async {__version__}", *versions]))


def show(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table with right-aligned numbers."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(head), *cells]) for i in range(len(head))]
    print()
    print(
        "| "
        + " | ".join(name.ljust(width) for name, width in zip(head, widths, strict=True))
        + " |"
    )
    print(
        "|"
        + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths))
        + "|"
    )
    for line in cells:
        aligned = (
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("| " + " | ".join(aligned) + " |", flush=True)


def middle(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else str(value)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"
