"""Print how well a session finds limits: ``python -m benchmarks.limits [--quick] [--seeds N]``."""

from __future__ import annotations

import argparse
import platform
from collections import Counter

from benchmarks.limits.phases import RECOVERED, caps, phases
from benchmarks.limits.scenarios import run_scenario, scenarios, seconds


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
        "halve, double: seconds to adapt after the limit changed. jitter, slow: seconds of delay to"
    )
    print("and from the server.\n")
    print(f"{'limit and Retry-After':<32} {'rate':>7} {'429':>7} {'halve':>7} {'double':>7}")
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

    print(
        "\nAll submissions refused for some seconds, with that Retry-After; recovered: seconds from the"
    )
    print("end of the phase to 10 s with 0.8 of the former submissions; 429: refusals.\n")
    print(f"{'job, phase and Retry-After':<34} {'recovered':>9} {'429':>5}")
    for phase in phases(quick=options.quick):
        for seed in seeds:
            recovered, refusals = phase.run(seed)
            missed = recovered is None or recovered > RECOVERED
            if missed or not options.missed:
                mark = "  missed" if missed else ""
                print(f"{phase!s:<34} {seconds(recovered):>9} {refusals:>5}{mark}", flush=True)

    print(
        "\nA cap on images in flight, 64 wanted; done: relative to a session that knows the cap.\n"
    )
    print(f"{'cap, tasks and Retry-After':<32} {'done':>7} {'429':>7} {'halve':>7} {'double':>7}")
    for cap in caps(quick=options.quick):
        for seed in seeds:
            row = cap.run(seed)
            if "missed" in row or not options.missed:
                print(f"{cap!s:<32} {row}", flush=True)


if __name__ == "__main__":
    main()
