"""Lag against polls, as an SVG without any library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.polling.policies import Backoff, EstimateThenOneSecond, Fixed, Optimum, Ours
from benchmarks.polling.simulate import Policy, simulate
from benchmarks.polling.worlds import Job, World
from foxapi_async.polling.schedule import Schedule

WIDTH, HEIGHT = 760, 500
LEFT, RIGHT, TOP, BOTTOM = 74, 44, 64, 62
POLLS = (1.0, 100.0)
DELAYS = (0.2, 20.0)
IN_FLIGHT = 32
SKIPPED = 150  # tasks, so that ours has learned

Point = tuple[float, float]
"""Polls per task and mean delay in seconds."""


@dataclass(frozen=True)
class Curve:
    name: str
    colour: str
    points: list[Point]
    labels: dict[int, str]
    label_at: Point
    dashed: bool = False
    anchor: str = "start"


def draw_plot(*, quick: bool = False) -> str:
    """Return an SVG: mean delay against polls per task, for a median of 45 s and sigma 0.25, estimate exact."""
    jobs = World("exact", 45.0, 0.25).jobs(300 if quick else 1500, seed=7)
    costs = (0.05, 0.25, 2.0) if quick else (0.02, 0.04, 0.08, 0.15, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    fixed = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0)
    factors = (1.05, 1.1, 1.2, 1.35, 1.5, 2.0)
    ours = [_ours(jobs, k) for k in costs]
    optimum = [_point(jobs, Optimum(k)) for k in costs]
    curves = [
        Curve(
            "fixed interval",
            "#9a5b00",
            [_point(jobs, Fixed(i)) for i in fixed],
            {i: f"{v:g} s" for i, v in enumerate(fixed) if v != 40.0},
            (30.0, 1.15),
        ),
        Curve(
            "exponential backoff from 0.5 s, no cap",
            "#7a3fa0",
            [_point(jobs, Backoff(0.5, f, math.inf)) for f in factors],
            {i: f"&#215;{v:g}" for i, v in enumerate(factors)},
            (16.6, 9.3),
        ),
        Curve("optimum (distribution known)", "#777777", optimum, {}, (1.12, 0.62), dashed=True),
        Curve(
            "foxapi_async, after 100 tasks",
            "#0b6bcb",
            ours,
            {i: f"poll_cost {v:g}" for i, v in enumerate(costs) if v in (0.08, 0.25, 1.0, 4.0)},
            (1.12, 0.49),
        ),
    ]
    return _svg(curves, _point(jobs, EstimateThenOneSecond()))


def _ours(jobs: Sequence[Job], poll_cost: float) -> Point:
    schedule = Schedule(poll_cost=poll_cost, min_interval=0.1, max_interval=300.0)
    return _point(jobs, Ours(schedule))


def _point(jobs: Sequence[Job], policy: Policy) -> Point:
    result = simulate(jobs, policy, in_flight=IN_FLIGHT, seed=1)
    return fmean(result.polls[SKIPPED:]), fmean(result.delays[SKIPPED:])


def _x(polls: float) -> float:
    low, high = map(math.log, POLLS)
    return LEFT + (math.log(polls) - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def _y(delay: float) -> float:
    low, high = map(math.log, DELAYS)
    return HEIGHT - BOTTOM - (math.log(delay) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _inside(point: Point) -> bool:
    return POLLS[0] <= point[0] <= POLLS[1] and DELAYS[0] <= point[1] <= DELAYS[1]


def _text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{words}</text>'


def _svg(curves: Sequence[Curve], estimate_first: Point) -> str:
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="Helvetica, Arial, sans-serif"',
        f' viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(
            LEFT,
            26,
            "Delay until an end is seen, against polls per task",
            'font-size="16" font-weight="bold"',
        ),
        _text(
            LEFT,
            46,
            "Median 45 s, log-normal, sigma 0.25; the server announces 45 s. Nearer to the corner is better.",
            'fill="#555"',
        ),
    ]
    parts += _axes()
    for curve in curves:
        parts += _drawn(curve)
    x, y = _x(estimate_first[0]), _y(estimate_first[1])
    parts.append(f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" fill="#b3261e"/>')
    parts.append(_text(x + 10, y + 4, "estimate, then 1 s", 'fill="#b3261e"'))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _axes() -> list[str]:
    parts: list[str] = []
    for polls in (1, 2, 5, 10, 20, 50, 100):
        x = _x(polls)
        parts.append(
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>'
        )
        parts.append(_text(x, HEIGHT - BOTTOM + 18, f"{polls}", 'text-anchor="middle"'))
    for delay in (0.2, 0.5, 1, 2, 5, 10, 20):
        y = _y(delay)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e4e4e4"/>'
        )
        parts.append(_text(LEFT - 8, y + 4, f"{delay:g} s", 'text-anchor="end"'))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        _text(
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 20, "polls per task (mean)", 'text-anchor="middle"'
        )
    )
    turned = f'text-anchor="middle" transform="rotate(-90 20 {middle:.1f})"'
    parts.append(_text(20, middle, "delay (mean)", turned))
    return parts


def _drawn(curve: Curve) -> list[str]:
    shown = [(i, point) for i, point in enumerate(curve.points) if _inside(point)]
    line = " ".join(f"{_x(polls):.1f},{_y(delay):.1f}" for _, (polls, delay) in shown)
    dash = ' stroke-dasharray="6 4"' if curve.dashed else ""
    parts = [
        f'<polyline points="{line}" fill="none" stroke="{curve.colour}" stroke-width="2"{dash}/>'
    ]
    for i, (polls, delay) in shown:
        x, y = _x(polls), _y(delay)
        if not curve.dashed:
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{curve.colour}"/>')
        if i in curve.labels:
            parts.append(
                _text(x + 6, y - 6, curve.labels[i], f'font-size="10.5" fill="{curve.colour}"')
            )
    parts.append(
        _text(
            _x(curve.label_at[0]),
            _y(curve.label_at[1]),
            curve.name,
            f'font-weight="bold" fill="{curve.colour}"',
        )
    )
    return parts
