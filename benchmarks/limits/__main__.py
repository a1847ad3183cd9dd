"""Print how well the rate scheduler finds limits: ``python -m benchmarks.limits [--quick] [--seeds N]``."""

from __future__ import annotations

import argparse
import platform
from collections import Counter

from benchmarks.limits.measures import between, refused_share
from benchmarks.limits.scenarios import SETTLED, run_scenario, scenarios
from benchmarks.limits.servers import TokenBucket, silent, whole_seconds
from benchmarks.limits.tasks import TaskRun
from foxapi_async.limits.rate_scheduler import RateScheduler


def _cap_row(cap: int, *, header: bool, rate: float | None, seed: int, end: float) -> str:
    def run(*, knows_cap: bool) -> TaskRun:
        server = None if rate is None else TokenBucket(rate, rate)
        retry_after = whole_seconds if header else silent
        result = TaskRun(
            cap,
            RateScheduler(),
            seed=seed,
            knows_cap=knows_cap,
            retry_after=retry_after,
            server=server,
        )
        result.run(end)
        return result

    best, ours = run(knows_cap=True), run(knows_cap=False)
    done = sum(at >= SETTLED for at in ours.finished)
    possible = sum(at >= SETTLED for at in best.finished)
    refused = refused_share(ours.records, SETTLED, end)
    requests = len(between(ours.records, SETTLED, end))
    limit = "no limit" if rate is None else f"{rate:g}/s"
    missed = "" if done >= 0.95 * possible and refused < 0.02 else "  missed"
    return (
        f"{cap:>4} images {limit:<9} {'seconds' if header else '-':<11} "
        f"{done / possible:>7.3f} {100 * refused:>6.2f}% {requests:>9}{missed}"
    )


def main() -> None:
    """Run every scenario and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short smoke run")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each scenario")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--missed", action="store_true", help="print only what misses a target")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    print(f"Simulated; Python {platform.python_version()}, seeds {seeds[0]} to {seeds[-1]}.")
    print(
        "rate: served / limit; 429: share of 429 answers, minutes 1 to 4 (quota per minute: from 3);"
    )
    print(
        "submit: share of submissions among the served; halve, double: seconds to adapt after the"
    )
    print("limit changed. jitter, slow: seconds of delay to and from the server.\n")
    print(f"{'limit and Retry-After':<32} {'rate':>7} {'429':>7} {'submit':>6}", end=" ")
    print(f"{'halve':>7} {'double':>7}")
    runs, misses = 0, Counter[str]()
    for scenario in scenarios(quick=options.quick):
        for seed in seeds:
            result = run_scenario(scenario, seed)
            runs += 1
            misses.update({"any": 1, **dict.fromkeys(result.missed, 1)} if result.missed else {})
            if result.missed or not options.missed:
                print(result, flush=True)
    each = ", ".join(f"{name} {misses[name]}" for name in sorted(misses) if name != "any")
    print(f"\n{misses['any']} of {runs} runs miss a target{f': {each}' if each else ''}.")
    print("\nA cap on images in flight, tasks of 5 to 45 s, 64 wanted; done: relative to a session")
    print("that knows the cap.\n")
    print(f"{'cap':<33} {'done':>7} {'429':>7} {'requests':>9}")
    end = 360.0 if options.quick else 960.0
    for cap in (16,) if options.quick else (4, 16, 48, 100):
        for rate in (None, 5.0):
            for header in (False, True):
                for seed in seeds:
                    print(_cap_row(cap, header=header, rate=rate, seed=seed, end=end), flush=True)


if __name__ == "__main__":
    main()
