"""Print how well the pacer finds limits: ``python -m benchmarks.pacing [--quick] [--seeds N]``."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator

from attrs import frozen

from benchmarks.pacing.measures import (
    between,
    lane_share,
    refused_share,
    served_per_second,
    time_to_adapt,
)
from benchmarks.pacing.servers import FixedWindow, TokenBucket
from benchmarks.pacing.simulation import RateRun
from benchmarks.pacing.tasks import TaskRun
from foxapi_async.pacing.pacer import Lane, Pacer

_SETTLED, _HALVED, _DOUBLED, _END = 60.0, 240.0, 390.0, 540.0


@frozen
class World:
    """A limit on the rate: a token bucket with a burst, or a fixed window of some seconds."""

    rate: float
    burst: float = 0.0
    window: float = 0.0
    header: bool = False

    def __str__(self) -> str:
        kind = f"window {self.window:g} s" if self.window else f"burst {self.burst:g}"
        return f"{self.rate:>5g}/s {kind:<12} {'Retry-After' if self.header else '-':<11}"


def _worlds(*, quick: bool) -> Iterator[World]:
    for rate in (5.0, 20.0) if quick else (2.0, 5.0, 20.0, 100.0, 500.0):
        for header in (False, True):
            for burst in sorted({1.0, rate / 2, rate, 5 * rate}):
                yield World(rate, burst=burst, header=header)
            for window in (1.0, 10.0):
                yield World(rate, window=window, header=header)


def _rate_row(world: World, seed: int) -> str:
    server = (
        FixedWindow(world.rate, world.window)
        if world.window
        else TokenBucket(world.rate, world.burst)
    )
    run = RateRun(server, Pacer(), seed=seed, header=world.header)
    run.run(_HALVED)
    server.rate = world.rate / 2
    half = server.rate
    run.run(_DOUBLED)
    server.rate = world.rate
    run.run(_END)
    records = run.records
    reached = served_per_second(records, _SETTLED, _HALVED) / world.rate
    refused = refused_share(records, _SETTLED, _HALVED)
    share = lane_share(records, Lane.SUBMIT, _SETTLED, _HALVED)
    halved = time_to_adapt(records, _HALVED, _DOUBLED, half)
    doubled = time_to_adapt(records, _DOUBLED, _END, world.rate)
    good = (
        reached >= 0.95
        and refused < 0.02
        and halved is not None
        and doubled is not None
        and max(halved, doubled) <= 60
    )
    return (
        f"{world} {reached:>7.3f} {100 * refused:>6.2f}% {100 * share:>5.0f}% "
        f"{_seconds(halved)} {_seconds(doubled)}{'' if good else '  missed'}"
    )


def _seconds(value: float | None) -> str:
    return f"{'never' if value is None else f'{value:.0f} s':>7}"


def _cap_row(cap: int, *, header: bool, rate: float | None, seed: int, end: float) -> str:
    def run(*, told: bool) -> TaskRun:
        server = None if rate is None else TokenBucket(rate, rate)
        those = TaskRun(cap, Pacer(), seed=seed, told=told, header=header, server=server)
        those.run(end)
        return those

    best, ours = run(told=True), run(told=False)
    done = sum(at >= _SETTLED for at in ours.finished)
    possible = sum(at >= _SETTLED for at in best.finished)
    refused = refused_share(ours.records, _SETTLED, end)
    requests = len(between(ours.records, _SETTLED, end))
    limit = "no limit" if rate is None else f"{rate:g}/s"
    missed = "" if done >= 0.95 * possible and refused < 0.02 else "  missed"
    return (
        f"{cap:>4} images {limit:<9} {'Retry-After' if header else '-':<11} "
        f"{done / possible:>7.3f} {100 * refused:>6.2f}% {requests:>9}{missed}"
    )


def main() -> None:
    """Run every world and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of some seconds")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each world")
    options = parser.parse_args()
    print(f"Simulated; Python {platform.python_version()}, seeds 1 to {options.seeds}.")
    print("rate: served / limit, and answered 429, from minute 1 to 4; submit: its share of the")
    print("served; halve, double: seconds until 10 s are good after the limit changed.\n")
    print(f"{'limit':<32} {'rate':>7} {'429':>7} {'submit':>6} {'halve':>7} {'double':>7}")
    for world in _worlds(quick=options.quick):
        for seed in range(1, options.seeds + 1):
            print(_rate_row(world, seed), flush=True)
    print(
        "\nA cap on images in flight, tasks of 5 to 45 s, 64 wanted; done: against a session that"
    )
    print("was told the cap.\n")
    print(f"{'cap':<33} {'done':>7} {'429':>7} {'requests':>9}")
    end = 360.0 if options.quick else 960.0
    for cap in (16,) if options.quick else (4, 16, 48, 100):
        for rate in (None, 5.0):
            for header in (False, True):
                for seed in range(1, options.seeds + 1):
                    print(_cap_row(cap, header=header, rate=rate, seed=seed, end=end), flush=True)


if __name__ == "__main__":
    main()
