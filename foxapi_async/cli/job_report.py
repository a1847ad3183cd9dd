"""What a job will do and what it did: as text, as JSON, and as an exit code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

import attrs

from foxapi_async import FoxAPIError
from foxapi_async.cli.cost_report import ModelShare
from foxapi_async.cli.exit_codes import ExitCode, exit_code_for, most_severe
from foxapi_async.cli.formatting import count, file_size, rate_text, remaining_time
from foxapi_async.cli.money import number_text

if TYPE_CHECKING:
    from foxapi_async.bulk import Plan, Summary
    from foxapi_async.cli.journal_option import ChosenJournal


_MAX_PROFILES_SHOWN: Final = 10  # Further unknown profiles are only counted


@attrs.frozen(kw_only=True)
class Estimate:
    """What a run would submit and bill, given its options."""

    plan: Plan
    retry_failed: bool = False
    retry_unknown: bool = False
    max_images: int | None = None
    max_credits: float | None = None
    is_selection: bool = False
    """Whether the plan is that of some lines of the file only."""

    images_per_minute: float | None = None
    """The rate of the last run in the directory, if there was one."""

    @property
    def seconds(self) -> float | None:
        """How long the run takes at the rate of the last one, in seconds; None if that is unknown."""
        images = self.images + self.plan.fetch_outputs + self.plan.in_flight_outputs
        return 60 * images / self.images_per_minute if self.images_per_minute else None

    @property
    def images(self) -> int:
        """Images that would be billed, at most ``max_images``."""
        wanted = self.images_wanted
        return wanted if self.max_images is None else min(wanted, self.max_images)

    @property
    def images_wanted(self) -> int:
        """Images that would be billed without ``max_images``."""
        return self.plan.outputs_to_submit(
            retry_failed=self.retry_failed, retry_unknown=self.retry_unknown
        )

    @property
    def requests(self) -> int:
        """Requests that would be submitted without ``max_images``."""
        return self.plan.to_submit(retry_failed=self.retry_failed, retry_unknown=self.retry_unknown)

    @property
    def models(self) -> list[ModelShare]:
        """What would be submitted without ``max_images``, by model, requests in 4K apart."""
        retries = {"retry_failed": self.retry_failed, "retry_unknown": self.retry_unknown}
        shares = [
            ModelShare(
                each.model,
                each.to_submit(**retries),
                each.outputs_to_submit(**retries),
                is_double=each.is_double,
            )
            for each in self.plan.models
        ]
        return [share for share in shares if share.requests]


def estimate_lines(estimate: Estimate) -> list[str]:
    """Return what a job would do: a line per kind of requests, with their images."""
    plan = estimate.plan
    failed = "not submitted again without --retry-failed"
    if estimate.retry_failed:
        failed = "submitted again, and billed again"
    unknown = "perhaps billed; not submitted again without --retry-unknown"
    if estimate.retry_unknown:
        unknown = "submitted again, perhaps billed twice"
    total = "selected" if estimate.is_selection else "in the file"
    rows = [
        (total, plan.requests, plan.outputs, ""),
        ("done", plan.done, plan.done_outputs, "saved by an earlier run"),
        ("to fetch", plan.fetch, plan.fetch_outputs, "already billed; files are missing"),
        ("in flight", plan.in_flight, plan.in_flight_outputs, "already billed; continued"),
        ("failed", plan.failed, plan.failed_outputs, failed),
        ("unknown", plan.unknown, plan.unknown_outputs, unknown),
        ("to submit", estimate.requests, estimate.images_wanted, ""),
    ]
    shown = [row for row in rows if row[1] or row[0] in {total, "to submit"}]
    digits = max(len(f"{requests:,}") for _, requests, _, _ in shown)
    lines = [
        f"  {name:<12}{' ' * (digits - len(f'{requests:,}'))}"
        f"{count(requests, 'request')}, {count(images, 'image')}{f'  ({note})' if note else ''}"
        for name, requests, images, note in shown
    ]
    if plan.uploads:
        size = file_size(plan.upload_bytes)
        lines.append(f"to upload: {count(plan.uploads, 'file')}, {size}, each once")
    most = estimate.max_images
    limit = "" if most is None else f", at most {most:,} (--max-images)"
    if estimate.max_credits is not None:
        limit += f", at most {number_text(estimate.max_credits)} credits (--max-credits)"
    lines.append(f"to be billed: {count(estimate.images, 'image')}{limit}")
    if estimate.seconds and estimate.images_per_minute:
        time = remaining_time(1, 60 / estimate.seconds)
        rate = rate_text(estimate.images_per_minute)
        lines.append(f"it takes about {time} at the rate of the last run, {rate}")
    return lines


def selection_note(estimate: Estimate) -> str | None:
    """Return how many of the selected lines a retry does not concern, None if it concerns all."""
    plan, wanted = estimate.plan, [estimate.retry_failed, estimate.retry_unknown]
    if not estimate.is_selection or not any(wanted):
        return None
    counts = {"failed": plan.failed, "unknown": plan.unknown}
    names = [name for name, is_wanted in zip(counts, wanted, strict=True) if is_wanted]
    others = plan.requests - sum(counts[name] for name in names)
    if not others:
        return None
    return (
        f"{others:,} of the {count(plan.requests, 'selected line')} "
        f"{'is' if others == 1 else 'are'} not {' or '.join(names)}, so there is nothing to retry"
    )


def profile_warnings(plan: Plan) -> list[str]:
    """Return a warning for each profile that a job is the first to use, as far as is known."""
    lines: list[str] = []
    for use in plan.profiles[:_MAX_PROFILES_SHOWN]:
        others = f" and {count(use.lines - 1, 'other')}" if use.lines > 1 else ""
        verb = "use" if use.lines > 1 else "uses"
        lines.append(
            f"line {use.line}{others} {verb} the profile {use.id!r}, which was neither created on this "
            "machine nor used in this journal: check the spelling"
        )
    if more := len(plan.profiles) - len(lines):
        lines.append(f"… and {count(more, 'more unknown profile')}")
    return lines


def estimate_json(estimate: Estimate) -> dict[str, object]:
    """Return the estimate for a program."""
    plan = attrs.asdict(estimate.plan, filter=lambda field, _: "conflicts" not in field.name)
    return {**plan, "outputs_to_bill": estimate.images, "seconds": estimate.seconds}


def counts_text(summary: Summary) -> str:
    """Return how far a job is: the counts that are not 0."""
    parts = [f"{summary.completed:,} of {summary.requests:,} done"]
    names = ("failed", "rejected", "unknown", "unsaved", "unfinished")
    parts += [f"{number:,} {name}" for name in names if (number := getattr(summary, name))]
    return ", ".join(parts)


@attrs.frozen
class ImagesInAll:
    """The images that all runs with a journal have billed, and those that they may have billed besides."""

    billed: int
    unknown: int
    where: str = "of this folder"


def images_of(chosen: ChosenJournal) -> ImagesInAll | None:
    """Return the images of all runs with a journal, None if it cannot be read."""
    where = "of this folder" if chosen.file is not None else "with this journal"
    try:
        return ImagesInAll(*chosen.journal.images(), where)
    except FoxAPIError:
        return None


def summary_lines(summary: Summary, in_all: ImagesInAll | None = None) -> list[str]:
    """Return the end of a job for a person."""
    counts = counts_text(summary)
    if summary.not_submitted:
        counts += f", {summary.not_submitted:,} not submitted"
    lines = [
        counts,
        f"{count(summary.pictures, 'image')} on disk, {summary.fetched:,} downloaded in this run",
        f"billed in this run: {count(summary.outputs_billed, 'image')}",
    ]
    if in_all is not None:
        lines[-1] += f"; in all runs {in_all.where}: {in_all.billed:,}"
    return lines


def perhaps_billed(summary: Summary, in_all: ImagesInAll | None) -> str | None:
    """Return how many images may be billed besides, None if there are none."""
    unknown = 0 if in_all is None else in_all.unknown
    if not summary.outputs_unknown and not unknown:
        return None
    text = f"perhaps also billed: {count(summary.outputs_unknown, 'image')}"
    return text if in_all is None else f"{text}; in all runs {in_all.where}: {unknown:,}"


def earlier_lines(counts: Mapping[tuple[str, str], int]) -> list[str]:
    """Return what became of lines in earlier runs, from the numbers of each status and error code."""
    lines: list[str] = []
    options = {"failed": "--retry-failed", "unknown": "--retry-unknown"}
    for status in dict.fromkeys(status for status, _ in counts):
        codes = {code: number for (each, code), number in counts.items() if each == status}
        most = sorted(codes.items(), key=lambda item: -item[1])[:_MOST_CODES]
        listed = ", ".join(f"{number:,} {code}" for code, number in most)
        more = "" if len(codes) <= len(most) else ", …"
        what = "failed" if status == "failed" else f"ended as {status}"
        option = options.get(status)
        again = (
            "" if option is None else f"; {option} submits them again, and they are billed again"
        )
        total = count(sum(codes.values()), "line")
        lines.append(f"{total} {what} in earlier runs: {listed}{more}{again}")
    return lines


_MOST_CODES: Final = 5
_OTHERWISE_SHOWN: Final = {"in_flight", "outputs_billed", "outputs_unknown", "stopped", "results"}


def summary_json(summary: Summary, in_all: ImagesInAll | None = None) -> dict[str, object]:
    """Return the end of a job for a program."""
    counts = attrs.asdict(summary, filter=lambda field, _: field.name not in _OTHERWISE_SHOWN)
    return {
        **counts,
        "stopped": None if summary.stopped is None else str(summary.stopped),
        "billed": {"outputs": summary.outputs_billed, "outputs_unknown": summary.outputs_unknown},
        "billed_in_all_runs": None
        if in_all is None
        else {"outputs": in_all.billed, "outputs_unknown": in_all.unknown},
    }


def exit_code_for_job(
    summary: Summary, error: FoxAPIError | None = None, rejections: Collection[ExitCode] = ()
) -> ExitCode:
    """Return the exit code of a job that ``error`` ended, with those of the rejected requests."""
    by_count = (
        (summary.unknown, ExitCode.UNKNOWN),
        (summary.unfinished, ExitCode.UNFINISHED),
        (summary.unsaved, ExitCode.DOWNLOAD),
        (summary.rejected, most_severe(rejections) or ExitCode.USAGE),
        (summary.failed, ExitCode.TASK_FAILED),
    )
    codes = [code for number, code in by_count if number]
    if summary.timed_out and (summary.not_submitted or summary.unfinished or summary.unsaved):
        codes.append(ExitCode.TIME_UP)
    is_wanted = summary.interrupted or summary.timed_out
    reasons = [error, None if is_wanted else summary.stopped]
    stopped = [exit_code_for(reason) for reason in reasons if reason is not None]
    if not stopped and summary.not_submitted and not summary.timed_out:
        stopped.append(ExitCode.UNAVAILABLE)
    return most_severe(codes + stopped)


def next_step(command: str, summary: Summary, listing: str = "foxapi unknown DIR") -> str | None:
    """Return how to continue a job that ``command`` ran, None if nothing is left to do.

    ``listing`` is the command that lists the unknown requests.
    """
    if summary.unfinished or summary.not_submitted or summary.unsaved or summary.rejected:
        return f"to go on, run it again; what is billed is not billed again:\n  {command}"
    if summary.unknown:
        return (
            "check at the service what was billed; this lists the unknown requests, and how to settle "
            f"each (`foxapi resolve KEY TASK_ID` records a task that you find there):\n  {listing}\n"
            f"to submit all of them again, perhaps billed twice:\n  {command} --retry-unknown"
        )
    if summary.failed:
        return f"to submit the failed requests again, billed again:\n  {command} --retry-failed"
    return None
