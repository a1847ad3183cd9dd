"""How a job is put into words and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foxapi_async import BudgetExceededError, FoxAPIError, InsufficientQuotaError
from foxapi_async.bulk import JobFileError, Plan, Summary
from foxapi_async.cli.exits import Exit
from foxapi_async.cli.run_words import Meter, Question, again, estimate, exit_of, time_left

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


def test_an_estimate_names_only_what_there_is():
    lines = estimate(Question(plan=plan(submit=1200)))
    assert lines == [
        "  in the file 1,200 requests, 1,200 images",
        "  to submit   1,200 requests, 1,200 images",
        "to be billed: 1,200 images",
    ]


def test_what_is_decided_to_be_submitted_again_is_to_be_submitted():
    given = plan(done=100, failed=1)
    lines = estimate(Question(plan=given, retry_failed=True))
    assert lines == [
        "  in the file 101 requests, 101 images",
        "  done        100 requests, 100 images  (saved by an earlier run)",
        "  failed        1 request, 1 image  (submitted again, and billed again)",
        "  to submit     1 request, 1 image",
        "to be billed: 1 image",
    ]


def test_a_decision_changes_what_is_to_be_billed():
    given = plan(submit=5, failed=3, unknown=2)
    assert Question(plan=given).outputs == 5
    assert Question(plan=given, retry_failed=True).outputs == 8
    assert Question(plan=given, retry_unknown=True, most=6).outputs == 6
    assert "without --retry-failed" in "\n".join(estimate(Question(plan=given)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"completed": 10}, Exit.OK),
        ({"failed": 1}, Exit.TASK_FAILED),
        ({"rejected": 1, "failed": 1}, Exit.USAGE),
        ({"unsaved": 1, "rejected": 1}, Exit.DOWNLOAD),
        ({"unfinished": 1, "unsaved": 1}, Exit.UNFINISHED),
        ({"unknown": 1, "unfinished": 1}, Exit.UNKNOWN),
        ({"not_submitted": 3}, Exit.OUT_OF_REACH),
        ({"not_submitted": 3, "stopped": FoxAPIError("an outage")}, Exit.OUT_OF_REACH),
        ({"not_submitted": 3, "stopped": InsufficientQuotaError("no", status=402)}, Exit.QUOTA),
    ],
)
def test_the_gravest_ending_decides_the_exit_code(changes: dict[str, Any], code: Exit):
    assert exit_of(summary(**changes)) is code


def test_what_was_refused_and_what_ended_the_run_name_their_own_codes():
    refused = summary(rejected=2)
    assert exit_of(refused, refusals={Exit.OUT_OF_REACH}) is Exit.OUT_OF_REACH
    assert exit_of(refused, refusals={Exit.OUT_OF_REACH, Exit.USAGE}) is Exit.OUT_OF_REACH
    changed = JobFileError("the file was changed")
    assert exit_of(summary(not_submitted=3), changed) is Exit.USAGE


def advice(**changes: Any) -> str | None:
    return again(Path("my jobs.jsonl"), Path("out"), None, ["--base-url", "u"], summary(**changes))


def test_the_way_to_go_on_can_be_pasted():
    command = "foxapi run 'my jobs.jsonl' -o out --base-url u"
    assert advice(completed=10) is None
    assert str(advice(unfinished=1)).endswith(command)
    budget = BudgetExceededError("no", total=1, used=1, requested=1)
    assert str(advice(not_submitted=1, stopped=budget)).endswith(f"{command} --max-images …")
    assert str(advice(unknown=1)).endswith(f"{command} --retry-unknown")
    assert str(advice(failed=1)).endswith(f"{command} --retry-failed")


def test_a_meter_tells_the_pace_of_the_last_minutes():
    meter = Meter(window=60)
    assert meter.per_minute() is None
    meter.note(0, 0)
    assert meter.per_minute() is None
    meter.note(30, 30)
    assert meter.per_minute() == 60
    for second in range(60, 300, 10):
        meter.note(second, 30 + (second - 60) * 2)
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
def test_the_time_that_is_left_is_said_roughly(remaining, pace, words):
    assert time_left(remaining, pace) == words
