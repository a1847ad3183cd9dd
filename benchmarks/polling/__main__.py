"""python -m benchmarks.polling [--quick] [--plot FILE] [--markdown]: the schedule against the optimum and others."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.polling.measure import FIXED, Row, Setting
from benchmarks.polling.plot import draw_plot
from benchmarks.polling.worlds import MAKERS, MEDIANS, SIGMAS, World

HEADER = (
    *(
        "world",
        "sigma",
        "median",
        "optimum",
        "first 50",
        "8 at once",
        "1 at once",
        "after 100",
        "polls",
        "delay",
    ),
    *("run/best fixed", "best fixed/after 100", "1 s/after 100", "best at"),
    *(f"{interval:g} s" for interval in FIXED),
    *("backoff", "estimate, 1 s"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.polling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of a few seconds")
    parser.add_argument("--world", action="append", choices=sorted(MAKERS), help="only this world")
    parser.add_argument(
        "--median", action="append", type=float, help="only this median, in seconds"
    )
    parser.add_argument("--sigma", action="append", type=float, help="only this sigma")
    parser.add_argument("--tasks", type=int, default=600, help="tasks per run")
    parser.add_argument("--seeds", type=int, default=2, help="runs per world")
    parser.add_argument("--in-flight", type=int, default=32, help="tasks in flight at once")
    parser.add_argument(
        "--poll-cost", type=float, default=0.25, help="seconds of delay one poll is worth"
    )
    parser.add_argument(
        "--max-interval", type=float, default=180.0, help="longest interval, in seconds"
    )
    parser.add_argument("--no-replan", action="store_true", help="never replan tasks in flight")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--plot", type=Path, help="also write lag against polls to this SVG file")
    options = parser.parse_args(arguments)
    setting = Setting(
        poll_cost=options.poll_cost,
        max_interval=options.max_interval,
        replan=not options.no_replan,
        in_flight=options.in_flight,
        tasks=400 if options.quick else options.tasks,
        seeds=1 if options.quick else options.seeds,
    )
    medians = options.median or ((45.0,) if options.quick else MEDIANS)
    sigmas = options.sigma or ((0.25,) if options.quick else SIGMAS)
    worlds = [World(n, m, s) for n in options.world or MAKERS for s in sigmas for m in medians]
    began = time.perf_counter()
    print(
        f"Python {platform.python_version()}, poll_cost {setting.poll_cost:g} s, {setting.in_flight} in flight"
        f"{'' if setting.replan else ', never replanned'}, "
        f"{setting.seeds} x {setting.tasks} tasks per world, intervals 0.5 to {setting.max_interval:g} s"
    )
    print(
        "optimum, polls, delay and costs per task (costs and delay in seconds); first 50, after 100: our cost over "
        "the optimum"
    )
    print()
    _print_table((_cells(Row(world, setting)) for world in worlds), markdown=options.markdown)
    print()
    print(f"{time.perf_counter() - began:.0f} s")
    if options.plot:
        options.plot.write_text(draw_plot(quick=options.quick), encoding="utf-8")
        print(f"wrote {options.plot}")
    return 0


def _cells(row: Row) -> list[str]:
    ours = row.settled * row.optimum
    return [
        *(row.world.name, f"{row.world.sigma:g}", f"{row.world.median:g}", f"{row.optimum:.2f}"),
        *(f"{ratio:.2f}" for ratio in (row.first, row.first_few, row.first_one)),
        *(f"{row.settled:.3f}", f"{row.polls:.1f}", f"{row.delay:.2f}"),
        f"{row.whole / row.best_fixed:.2f}",
        f"{row.best_fixed / ours:.2f}",
        f"{row.fixed[FIXED.index(1.0)] / ours:.2f}",
        f"{row.best_interval:.1f}",
        *(f"{cost:.1f}" for cost in row.fixed),
        *(f"{row.backoff:.1f}", f"{row.estimate_first:.1f}"),
    ]


def _print_table(rows: Iterable[list[str]], *, markdown: bool) -> None:
    if markdown:
        print("| " + " | ".join(HEADER) + " |")
        print("|---|" + "--:|" * (len(HEADER) - 1))
        for row in rows:
            print("| " + " | ".join(row) + " |", flush=True)
        return
    widths = [max(len(title), 11 if i == 0 else 5) for i, title in enumerate(HEADER)]
    print("  ".join(title.rjust(width) for title, width in zip(HEADER, widths, strict=True)))
    for row in rows:
        print("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
