"""Estimates, summaries and exit codes of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foxapi_async import BudgetExceededError, FoxAPIError, InsufficientQuotaError
from foxapi_async.bulk import JobFileError, Plan, Summary
from foxapi_async.bulk.record.run_progress import RateMeter
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import remaining_time
from foxapi_async.cli.job_report import (
    Estimate,
    estimate_lines,
    exit_code_for_job,
    next_step,
    selection_note,
)

NAMES = ("submit", "done", "fetch", "in_flight", "failed", "unknown")


def plan(**counts: int) -> Plan:
    every = {name: 0 for kind in NAMES for name in (kind, f"{kind}_outputs")}
    total = sum(counts.values())
    facts: dict[str, Any] = every | counts | {f"{name}_outputs": n for name, n in counts.items()}
    return Plan(requests=total, outputs=total, **facts)


def summary(**changes: Any) -> Summary:
    names = ("completed", "unsaved", "failed", "unfinished", "rejected", "unknown", "not_submitted")
    facts: dict[str, Any] = {
        **dict.fromkeys(names, 0),
        "requests": 10,
        "pictures": 0,
        "fetched": 0,
        "from_journal": 0,
        "in_flight": 0,
        "outputs_billed": 0,
        "outputs_unknown": 0,
        "stopped": None,
        "interrupted": False,
        "results": Path("out/results.jsonl"),
    }
    return Summary(**(facts | changes))


def test_an_estimate_omits_counts_of_0():
    lines = estimate_lines(Estimate(plan=plan(submit=1200)))
    assert lines == [
        "  in the file 1,200 requests, 1,200 images",
        "  to submit   1,200 requests, 1,200 images",
        "to be billed: 1,200 images",
    ]


def test_requests_that_are_retried_count_as_to_submit():
    given = plan(done=100, failed=1)
    lines = estimate_lines(Estimate(plan=given, retry_failed=True))
    assert lines == [
        "  in the file 101 requests, 101 images",
        "  done        100 requests, 100 images  (saved by an earlier run)",
        "  failed        1 request, 1 image  (submitted again, and billed again)",
        "  to submit     1 request, 1 image",
        "to be billed: 1 image",
    ]


def test_retry_options_change_what_is_billed():
    given = plan(submit=5, failed=3, unknown=2)
    assert Estimate(plan=given).images == 5
    assert Estimate(plan=given, retry_failed=True).images == 8
    assert Estimate(plan=given, retry_unknown=True, max_images=6).images == 6
    assert "without --retry-failed" in "\n".join(estimate_lines(Estimate(plan=given)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"completed": 10}, ExitCode.OK),
        ({"failed": 1}, ExitCode.TASK_FAILED),
        ({"rejected": 1, "failed": 1}, ExitCode.USAGE),
        ({"unsaved": 1, "rejected": 1}, ExitCode.DOWNLOAD),
        ({"unfinished": 1, "unsaved": 1}, ExitCode.UNFINISHED),
        ({"unknown": 1, "unfinished": 1}, ExitCode.UNKNOWN),
        ({"not_submitted": 3}, ExitCode.UNAVAILABLE),
        ({"not_submitted": 3, "stopped": FoxAPIError("an outage")}, ExitCode.UNAVAILABLE),
        ({"not_submitted": 3, "stopped": InsufficientQuotaError("no", status=402)}, ExitCode.QUOTA),
    ],
)
def test_the_most_severe_result_decides_the_exit_code(changes: dict[str, Any], code: ExitCode):
    assert exit_code_for_job(summary(**changes)) is code


def test_rejections_and_the_error_that_ended_the_run_have_their_own_codes():
    refused = summary(rejected=2)
    assert exit_code_for_job(refused, rejections={ExitCode.UNAVAILABLE}) is ExitCode.UNAVAILABLE
    assert (
        exit_code_for_job(refused, rejections={ExitCode.UNAVAILABLE, ExitCode.USAGE})
        is ExitCode.UNAVAILABLE
    )
    changed = JobFileError("the file was changed")
    assert exit_code_for_job(summary(not_submitted=3), changed) is ExitCode.USAGE


def advice(**changes: Any) -> str | None:
    return next_step("foxapi run jobs.jsonl -o out", summary(**changes), "foxapi unknown out")


def test_the_next_step_is_a_command():
    command = "foxapi run jobs.jsonl -o out"
    assert advice(completed=10) is None
    budget = BudgetExceededError("no", total=1, used=1, requested=1)
    for changes in ({"unfinished": 1}, {"not_submitted": 1, "stopped": budget}):
        assert str(advice(**changes)).splitlines()[-1] == f"  {command}"
    assert str(advice(unknown=1)).splitlines()[1::2] == [
        "  foxapi unknown out",
        f"  {command} --retry-unknown",
    ]
    assert str(advice(failed=1)).endswith(f"{command} --retry-failed")


@pytest.mark.parametrize(
    ("retries", "words"),
    [
        ({}, None),
        ({"retry_failed": True}, "7 of the 10 selected lines are not failed"),
        (
            {"retry_unknown": True, "retry_failed": True},
            "5 of the 10 selected lines are not failed or",
        ),
    ],
)
def test_selected_lines_that_a_retry_does_not_concern_are_told(retries, words):
    given = plan(done=5, failed=3, unknown=2)
    note = selection_note(Estimate(plan=given, is_selection=True, **retries))
    assert (note is None) if words is None else (words in str(note))
    assert selection_note(Estimate(plan=given, **retries)) is None
    every = Estimate(plan=plan(failed=3), is_selection=True, retry_failed=True)
    assert selection_note(every) is None
    assert estimate_lines(every)[0].startswith("  selected    3 requests")


def test_a_meter_measures_the_rate_of_its_window():
    meter = RateMeter(window=60)
    assert meter.per_minute() is None
    meter.record(0, 0)
    assert meter.per_minute() is None
    meter.record(30, 30)
    assert meter.per_minute() == 60
    for second in range(60, 300, 10):
        meter.record(second, 30 + (second - 60) * 2)
    assert meter.per_minute() == 120


@pytest.mark.parametrize(
    ("remaining", "pace", "words"),
    [
        (10, None, None),
        (10, 0.0, None),
        (0, 5.0, None),
        (10, 20.0, "30 s"),
        (100, 10.0, "10 min"),
        (1000, 5.0, "3 h 20 min"),
        (100_000, 10.0, "6.9 days"),
    ],
)
def test_the_remaining_time_is_rounded(remaining, pace, words):
    assert remaining_time(remaining, pace) == words
