"""How a job is put into words, into JSON, and into an exit code. Pure functions."""

from __future__ import annotations

import os
import shlex
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import attrs

from foxapi_async.bulk import Plan, Summary
from foxapi_async.cli.exits import Exit, exit_for, gravest
from foxapi_async.cli.words import count
from foxapi_async.errors import BudgetExceededError, FoxAPIError

__all__ = [
    "Meter",
    "Question",
    "again",
    "estimate",
    "exit_of",
    "plan_json",
    "standing_of",
    "summary_json",
    "summary_lines",
    "time_left",
]

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


@attrs.frozen(kw_only=True)
class Question:
    """What a person decides on before money is spent."""

    plan: Plan
    retry_failed: bool = False
    retry_unknown: bool = False
    most: int | None = None

    @property
    def outputs(self) -> int:
        """Images that would be billed, at most ``most``."""
        return self.wanted if self.most is None else min(self.wanted, self.most)

    @property
    def wanted(self) -> int:
        """Images that would be billed if there were no ``most``."""
        return self.plan.outputs_to_submit(
            retry_failed=self.retry_failed, retry_unknown=self.retry_unknown
        )

    @property
    def requests(self) -> int:
        """Requests that would be submitted if there were no ``most``."""
        return self.plan.to_submit(retry_failed=self.retry_failed, retry_unknown=self.retry_unknown)


def estimate(question: Question) -> list[str]:
    """Return what a job would do, one kind of requests a line, with the images of each."""
    plan = question.plan
    again = "submitted again, and billed again"
    rows = [
        ("in the file", plan.requests, plan.outputs, ""),
        ("done", plan.done, plan.done_outputs, "saved by an earlier run"),
        (
            "to fetch",
            plan.fetch,
            plan.fetch_outputs,
            "paid for; files are missing, nothing is billed",
        ),
        ("in flight", plan.in_flight, plan.in_flight_outputs, "paid for; they are picked up"),
        (
            "failed",
            plan.failed,
            plan.failed_outputs,
            again if question.retry_failed else "not run again without --retry-failed",
        ),
        (
            "unknown",
            plan.unknown,
            plan.unknown_outputs,
            "submitted again, perhaps billed twice"
            if question.retry_unknown
            else "perhaps billed; not sent again without --retry-unknown",
        ),
        ("to submit", question.requests, question.wanted, ""),
    ]
    shown = [row for row in rows if row[1] or row[0] in {"in the file", "to submit"}]
    digits = max(len(f"{requests:,}") for _, requests, _, _ in shown)
    lines = [
        f"  {name:<12}{' ' * (digits - len(f'{requests:,}'))}"
        f"{count(requests, 'request')}, {count(outputs, 'image')}{f'  ({note})' if note else ''}"
        for name, requests, outputs, note in shown
    ]
    most = "" if question.most is None else f", at most {question.most:,} (--max-images)"
    return [*lines, f"to be billed: {count(question.outputs, 'image')}{most}"]


def plan_json(question: Question) -> dict[str, object]:
    """Return the estimate for a program."""
    plan = attrs.asdict(question.plan, filter=lambda field, _: "conflicts" not in field.name)
    return {**plan, "outputs_to_bill": question.outputs}


def standing_of(summary: Summary) -> str:
    """Return how far a job is: the numbers that are not 0."""
    parts = [f"{summary.completed:,} of {summary.requests:,} done"]
    names = ("failed", "rejected", "unknown", "unsaved", "unfinished")
    parts += [f"{number:,} {name}" for name in names if (number := getattr(summary, name))]
    return ", ".join(parts)


def summary_lines(summary: Summary) -> list[str]:
    """Return how a job ended, for a person."""
    lines = [standing_of(summary)]
    if summary.not_submitted:
        lines[0] += f", {summary.not_submitted:,} not submitted"
    saved = f"{count(summary.fetched, 'file')} fetched in this run"
    lines.append(f"{count(summary.pictures, 'picture')} on disk, {saved}")
    lines.append(f"billed in this run: {count(summary.outputs_billed, 'image')}")
    return lines


def summary_json(summary: Summary) -> dict[str, object]:
    """Return how a job ended, for a program."""
    names = (
        *("requests", "completed", "unsaved", "failed", "unfinished", "rejected", "unknown"),
        *("not_submitted", "pictures", "fetched", "from_journal", "interrupted"),
    )
    return {
        **{name: getattr(summary, name) for name in names},
        "stopped": None if summary.stopped is None else str(summary.stopped),
        "billed": {"outputs": summary.outputs_billed, "outputs_unknown": summary.outputs_unknown},
    }


def exit_of(
    summary: Summary, fault: FoxAPIError | None = None, refusals: Collection[Exit] = ()
) -> Exit:
    """Return the exit code for a job, signals aside.

    Args:
        summary: How it ended.
        fault: What ended the run before its time, if something did.
        refusals: The exit codes of the requests that were rejected.
    """
    by_count = (
        (summary.unknown, Exit.UNKNOWN),
        (summary.unfinished, Exit.UNFINISHED),
        (summary.unsaved, Exit.DOWNLOAD),
        (summary.rejected, gravest(refusals) or Exit.USAGE),
        (summary.failed, Exit.TASK_FAILED),
    )
    codes = [code for number, code in by_count if number]
    reasons = [fault, None if summary.interrupted else summary.stopped]
    stopped = [exit_for(reason) for reason in reasons if reason is not None]
    if not stopped and summary.not_submitted:
        stopped.append(Exit.OUT_OF_REACH)
    return gravest(codes + stopped)


def again(
    jobs: Path, directory: Path, journal: Path | None, options: Sequence[str], summary: Summary
) -> str | None:
    """Return how to go on, None if there is nothing left to do."""
    words = ["foxapi", "run", os.fspath(jobs), "-o", os.fspath(directory)]
    if journal is not None:
        words += ["--journal", os.fspath(journal)]
    command = shlex.join([*words, *options])
    if summary.unfinished or summary.not_submitted or summary.unsaved or summary.rejected:
        advice = f"to go on, run it again; what is paid for is not paid again:\n  {command}"
        if isinstance(summary.stopped, BudgetExceededError):
            advice += " --max-images …"
        return advice
    if summary.unknown:
        return (
            "look at what the service has billed; to submit the unknown ones again, perhaps a second "
            f"time:\n  {command} --retry-unknown"
        )
    if summary.failed:
        return f"to submit, and pay, the failed ones again:\n  {command} --retry-failed"
    return None


class Meter:
    """How fast a number grows, over the last minutes. All times in seconds."""

    def __init__(self, window: float = 120.0) -> None:
        self._window = window
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now: float, number: int) -> None:
        """Take in how far it is."""
        self._seen.append((now, number))
        while len(self._seen) > 2 and now - self._seen[1][0] >= self._window:  # noqa: PLR2004
            self._seen.popleft()

    def per_minute(self) -> float | None:
        """Return how much it grows in a minute; None if that is not known yet."""
        if len(self._seen) < 2:  # noqa: PLR2004
            return None
        (began, before), (now, after) = self._seen[0], self._seen[-1]
        return None if now <= began else (after - before) * _MINUTE / (now - began)


def time_left(remaining: int, per_minute: float | None) -> str | None:
    """Return about how long the rest takes: "40 s", "12 min", "3 h 20 min"; None if unknown."""
    if not per_minute or not remaining:
        return None
    seconds = remaining / per_minute * _MINUTE
    if seconds < 1.5 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 1.5 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    hours, rest = divmod(seconds, _HOUR)
    return f"{hours:.0f} h {rest / _MINUTE:.0f} min" if hours < 48 else f"{hours / 24:.1f} days"  # noqa: PLR2004
