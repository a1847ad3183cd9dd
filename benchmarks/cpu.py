"""The cost of one task: ``python -m benchmarks.cpu [--quick] [--rounds N] [--no-peers]``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs

from benchmarks.speed import table
from benchmarks.speed.orders import durations
from benchmarks.speed.processes import CUT, Server, run

QUESTION = "CPU, detection lag and polls of a task, by client"

_CLIENT = "benchmarks.speed.client"
_EXTRA_TIME = 40.0
"""Seconds that a client may take in addition to the durations of the tasks."""

_PEERS = {
    "fal-client": ("fal_client", 1_000),
    "replicate": ("replicate", 1_000),
    "runwayml": ("runwayml", 10_000),
    "openai": ("openai", 1_000),
}
"""By name: the module, and the most concurrent tasks that it can complete."""


@attrs.frozen
class Run:
    """The result of one client with one list of durations."""

    cpu: float
    wall: float
    submitted: int
    delivered: int
    polls: int
    lag: float
    lag_95: float
    cut: bool = False

    @property
    def requests(self) -> int:
        return self.submitted + self.polls

    @property
    def cpu_per_task(self) -> float:
        return self.cpu / max(self.delivered, 1)


def _measure(server: Server, name: str, seconds: list[float], *options: object) -> Run:
    server.plan(seconds, estimate=sorted(seconds)[len(seconds) // 2])
    timeout = _EXTRA_TIME + 2 * max(seconds)
    measured = run(_CLIENT, name, server.url, len(seconds), *options, seconds=timeout)
    report = server.report()
    return Run(
        cpu=measured.get("cpu", float("nan")),
        wall=measured.get("wall", timeout),
        submitted=report["submissions"],
        delivered=report["delivered"],
        polls=report["polls"],
        lag=report["lag"],
        lag_95=report["lag_95"],
        cut=CUT in measured,
    )


def _round(server: Server, seconds: list[float], folder: Path) -> dict[str, Run]:
    """Measure our client and the hand-written loops one after the other."""
    runs = {"ours": _measure(server, "ours", seconds)}
    ages = folder / "ages.json"
    ages.write_text(json.dumps(server.report(ages=True)["ages"]))
    runs["same-requests"] = _measure(server, "same-requests", seconds, "--ages", ages)
    runs["floor"] = _measure(server, "floor", seconds)
    runs["plain"] = _measure(server, "plain", seconds)
    return runs


def _median(rounds: Sequence[Run], field: str) -> float:
    return table.middle(float(getattr(each, field)) for each in rounds)


def _row(n: int, name: str, rounds: Sequence[Run], floor: Sequence[Run]) -> list[object]:
    ratios = [a.cpu_per_task / b.cpu_per_task for a, b in zip(rounds, floor, strict=False)]
    first = rounds[0]
    return [
        name,
        n,
        1000 * _median(rounds, "cpu_per_task"),
        table.middle(ratios),
        _median(rounds, "polls") / max(first.submitted, 1),
        _median(rounds, "lag"),
        _median(rounds, "lag_95"),
        _median(rounds, "wall"),
        f"{first.delivered}/{first.submitted}" + (" cut" if first.cut else ""),
    ]


_LABELS = {
    "ours": "foxapi-async",
    "same-requests": "aiohttp loop, the same requests",
    "floor": "aiohttp loop that knows the durations",
    "plain": "aiohttp loop, every 1 s",
}


_MEDIANS = {30: 0.6, 100: 3.0, 1_000: 3.0, 10_000: 12.0}
"""Median duration in seconds by the number of concurrent tasks, so that the server is no limit."""


def installed_peers() -> list[str]:
    """Return the names of the peer clients that are installed."""
    return [name for name, (module, _) in _PEERS.items() if find_spec(module) is not None]


def _peer_rows(
    server: Server, n: int, seconds: list[float], floor: Sequence[Run], *, quick: bool
) -> Iterator[list[object]]:
    for name in installed_peers():
        if n > _PEERS[name][1]:
            continue
        for interval in (1.0,) if quick else (None, 1.0):
            options = () if interval is None else ("--interval", interval)
            label = f"{name}, " + ("its own interval" if interval is None else f"{interval:g} s")
            yield _row(n, label, [_measure(server, name, seconds, *options)], floor)


def _billed_when_lost(server: Server, *, peers: bool) -> Iterator[list[object]]:
    for name in ["ours", *(installed_peers() if peers else [])]:
        server.plan([1.0], lose=True)
        run(_CLIENT, name, server.url, 1, "--cold", seconds=60)
        yield [_LABELS.get(name, name), server.report()["submissions"]]


def main(given: Sequence[str] | None = None) -> int:
    options = table.arguments(QUESTION, given, more=_more)
    sizes = [30] if options.quick else options.sizes or [100, 1_000, 10_000]
    peers = not options.no_peers
    table.introduce(QUESTION, packages=table.OURS + (table.PEERS if peers else ()))
    rows: list[Any] = []
    targets: list[list[object]] = []
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        for n in sizes:
            seconds = durations(n, median=_MEDIANS[n], sigma=0.25)
            rounds = [_round(server, seconds, Path(folder)) for _ in range(options.rounds)]
            by_name = {name: [each[name] for each in rounds] for name in rounds[0]}
            floor = by_name["floor"]
            rows += [_row(n, _LABELS[name], runs, floor) for name, runs in by_name.items()]
            if peers:
                rows += _peer_rows(server, n, seconds, floor, quick=options.quick)
            targets.append([f"{n} tasks", *_per_request(by_name)])
        table.show(
            (
                *("client", "tasks", "CPU ms/task", "x floor", "polls/task", "lag s", "lag 95 % s"),
                *("wall s", "completed"),
            ),
            rows,
        )
        table.show(
            ("CPU per request", "ours us", "aiohttp loop us", "ratio (target 1.25)"), targets
        )
        billed = list(_billed_when_lost(server, peers=peers))
        table.show(("the answer to one submit is lost", "tasks billed"), billed)
    return 0


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-peers", action="store_true", help="only foxapi-async and hand-written loops"
    )
    parser.add_argument("--sizes", type=int, nargs="+", choices=_MEDIANS, help="concurrent tasks")


def _per_request(by_name: dict[str, list[Run]]) -> list[object]:
    def cost(each: Run) -> float:
        return 1e6 * each.cpu / each.requests

    ours, loop = by_name["ours"], by_name["same-requests"]
    ratios = [cost(a) / cost(b) for a, b in zip(ours, loop, strict=True)]
    return [table.middle(map(cost, ours)), table.middle(map(cost, loop)), table.middle(ratios)]


if __name__ == "__main__":
    sys.exit(main())
