"""The state of the job of a directory, from its run log: as text and as JSON."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from foxapi_async import FoxAPIError
from foxapi_async.cli import job_report
from foxapi_async.cli.console import Console
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import count, rate_text, remaining_time

if TYPE_CHECKING:
    from foxapi_async.bulk import RunRecord, Summary
    from foxapi_async.cli.journal_option import ChosenJournal

_FILES: Final = ("runs.jsonl", "results.jsonl")

_REASONS: Final = {
    "done": "it did everything",
    "incomplete": "it ended, and not everything is done",
    "stopped": "it stopped early",
    "interrupted": "it was interrupted",
    "max_time": "its time was over (--max-time)",
    "error": "an error ended it",
    "killed": "it was killed",
}


def is_job_directory(text: str) -> bool:
    """Return whether a text names the directory of a job, or a directory that has no id of a task."""
    path = Path(text)
    try:
        return path.is_dir() and (
            not text.strip("./\\")
            or any(separator in text for separator in "/\\")
            or any((path / name).exists() for name in _FILES)
        )
    except (OSError, ValueError):  # ValueError: a name that this locale cannot encode
        return False


def print_job_status(
    console: Console, directory: Path, chosen: ChosenJournal | None = None
) -> ExitCode:
    """Print the runs that are at work, else the last run; of a journal on a server, what it has in all."""
    from foxapi_async.bulk import RunLog  # noqa: PLC0415 - loads aiohttp

    runs = RunLog(directory).runs()
    shown = [run for run in runs if run.is_alive] or runs[-1:]
    for run in shown:
        for line in status_lines(run, datetime.now().astimezone()):
            console.result(line)
    counts = None if chosen is None or chosen.file is not None else _counts_of(chosen)
    if chosen is not None and counts is not None:
        console.result(f"{'journal':<10} {chosen.shown}: {counts_text(counts)}")
    if not runs:
        console.result(f"no run of {directory} is recorded; `foxapi report` counts its results")
    console.document(
        directory=str(directory),
        runs=len(runs),
        shown=[run_json(run) for run in shown],
        journal=None if chosen is None else chosen.shown,
        journal_counts=counts if isinstance(counts, dict) else None,
        exit_code=ExitCode.OK,
    )
    return ExitCode.OK


def _counts_of(chosen: ChosenJournal) -> dict[str, int] | str:
    """Return how many requests of all machines have each status, or why that is not known."""
    try:
        return {str(status): number for status, number in chosen.journal.count().items()}
    except FoxAPIError as error:
        return str(error)


def counts_text(counts: dict[str, int] | str) -> str:
    """Return what a journal has, of all machines, for a person."""
    if isinstance(counts, str):
        return counts
    parts = [f"{number:,} {status}" for status, number in counts.items()]
    return ", ".join(parts) or "nothing yet"


def status_lines(run: RunRecord, now: datetime) -> list[str]:
    """Return the state of a run for a person, one fact per line."""
    facts = {"run": _state(run, now), "job": str(run.job)}
    summary, progress = run.summary, run.progress
    if summary is not None:
        share = summary.decided / summary.requests if summary.requests else 0.0
        counted = job_report.counts_text(summary)
        facts["progress"] = f"{100 * share:.0f} %, {counted}"
        facts["left"] = _left(run, summary, now)
        facts["billed"] = count(summary.outputs_billed, "image") + " in this run"
        if summary.outputs_unknown:
            facts["billed"] += f", perhaps also {count(summary.outputs_unknown, 'image')}"
        if summary.stopped is not None:
            facts["stopped"] = str(summary.stopped)
    if run.images_per_minute:
        facts["rate"] = rate_text(run.images_per_minute)
    if run.is_alive and progress is not None:
        saving = f", {count(progress.saving, 'task')} being saved" if progress.saving else ""
        facts["in flight"] = count(progress.summary.in_flight, "task") + saving
        if progress.paused_since is not None:
            since = _moment(progress.paused_since, now)
            facts["paused"] = f"since {since}: the service gives no clear answers"
    return [f"{name:<10} {fact}" for name, fact in facts.items() if fact]


def run_json(run: RunRecord) -> dict[str, object]:
    """Return a run for a program."""
    known = run.summary
    progress = {} if run.progress is None else run.progress.to_json()
    seconds_left = None if run.progress is None else run.progress.seconds_left
    return {
        "run": run.id,
        "is_alive": run.is_alive,
        "began": run.began.isoformat(),
        "ended": None if run.ended is None else run.ended.isoformat(),
        "reason": run.reason,
        "pid": run.pid,
        "host": run.host,
        "job": str(run.job),
        "images_per_minute": run.images_per_minute,
        "seconds_left": seconds_left if run.is_alive else None,
        "credits": run.credits,
        "progress": progress or None,
        "summary": None if known is None else job_report.summary_json(known),
    }


def _state(run: RunRecord, now: datetime) -> str:
    began = _moment(run.began, now)
    if run.is_alive:
        return f"at work since {began} (process {run.pid} on {run.host})"
    if run.reason is None or run.reason == "killed":
        last = "" if run.progress is None else f", last seen at {_moment(run.progress.at, now)}"
        return f"began at {began}; {_REASONS['killed']}{last}"
    ended = "" if run.ended is None else f", ended at {_moment(run.ended, now)}"
    return f"began at {began}{ended}; {_REASONS[run.reason]}"


def _left(run: RunRecord, summary: Summary, now: datetime) -> str:
    left = summary.not_submitted + summary.unfinished
    if not left:
        return ""
    text = count(left, "request")
    seconds = None if run.progress is None else run.progress.seconds_left
    if run.is_alive and seconds is not None:
        done = _moment(now + timedelta(seconds=seconds), now)
        text += f", about {remaining_time(1, 60 / seconds)}, until {done}"
    return text


def _moment(moment: datetime, now: datetime) -> str:
    """Return a moment in local time, without the date if it is that of today."""
    local = moment.astimezone(now.tzinfo)
    is_today = local.date() == now.date()
    return f"{local:%H:%M:%S}" if is_today else f"{local:%Y-%m-%d %H:%M:%S}"
