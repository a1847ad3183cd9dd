"""How things are put."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

from foxapi_async import Output, Task, TaskError, TaskInfo, TaskStatus
from foxapi_async.cli import words
from foxapi_async.cli.exits import Exit
from foxapi_async.errors import RateLimitError, TaskTimeoutError

TASK = Task(
    "t1",
    status=TaskStatus.FAILED,
    model="phota-image",
    progress=40,
    created=datetime(2026, 5, 1, 12, tzinfo=UTC),
    task_info=TaskInfo(estimated_time=45.0),
    outputs=(Output(0, "https://cdn.example/0.png"), Output(1, data={"profile_id": "pf"})),
    error=TaskError("content_policy_violation", "no"),
    usage={"credits_reserved": 3},
)


def test_numbers_read_like_a_sentence():
    assert words.count(1, "image") == "1 image"
    assert words.count(1200, "image") == "1,200 images"
    assert [words.seconds(each) for each in (0.04, 59.94, 83.0, 1300.0)] == [
        "0.0 s",
        "59.9 s",
        "83 s",
        "22 min",
    ]
    assert [words.size(each) for each in (812, 2048, 3 * 2**20)] == ["812 B", "2 KiB", "3.0 MiB"]


def test_a_task_for_a_person_has_one_fact_a_line():
    lines = words.task_lines(TASK)
    assert lines[0].split() == ["status", "failed"]
    assert "error      content_policy_violation: no" in lines
    assert "output 0   https://cdn.example/0.png" in lines
    assert "output 1   {'profile_id': 'pf'}" in lines
    assert words.task_lines(Task("t2"))[1:] == ["id         t2"]


def test_a_task_for_a_program_is_json():
    described = json.loads(json.dumps(words.task_json(TASK, {0: Path("a/0.png")})))
    assert described["outputs"][0]["file"] == "a/0.png"
    assert described["outputs"][1]["file"] is None
    assert described["task_error"]["code"] == "content_policy_violation"
    assert words.task_json(Task("t2"))["created"] is None


def test_a_word_that_nobody_knows_is_shown_as_the_server_spelt_it():
    task = Task("t1", status=TaskStatus.OTHER, raw={"status": "queued"})
    assert words.standing(task) == "queued"


def test_an_error_for_a_program_names_its_facts():
    error = RateLimitError("slow down", status=429, code="x", task_id="t1")
    described = words.error_json(error, Exit.OUT_OF_REACH)
    assert described["error"] == "RateLimitError"
    assert (described["status"], described["task_id"], described["exit_code"]) == (429, "t1", 5)


def test_the_end_of_a_wait_is_told_without_python():
    error = TaskTimeoutError("session.attach('t1')", task_id="t1", task=Task("t1"))
    error.__cause__ = OSError("no route")
    assert words.spoken(error) == (
        "task t1 is still pending when the wait ends (the last look failed: no route)"
    )
    assert words.spoken(TaskTimeoutError("x", task_id="t1")).startswith("task t1 is not finished")


def test_the_advice_can_be_pasted_into_a_shell():
    command = words.continuing(["a", "b"], Path("my pictures"), ["--base-url", "http://x/?"])
    assert shlex.split(command) == [
        "foxapi", "wait", "a", "b", "-o", "my pictures", "--base-url", "http://x/?",
    ]  # fmt: skip
    assert words.continuing(["a"], None) == "foxapi wait a"
