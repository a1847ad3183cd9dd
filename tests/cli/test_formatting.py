"""Numbers, tasks and errors as text and JSON."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import Output, Task, TaskError, TaskInfo, TaskStatus
from foxapi_async.cli import formatting
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import json_text
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


def test_numbers_have_units():
    assert formatting.count(1, "image") == "1 image"
    assert formatting.count(1200, "image") == "1,200 images"
    assert [formatting.duration(each) for each in (0.04, 59.94, 83.0, 1300.0)] == [
        "0.0 s",
        "59.9 s",
        "83 s",
        "22 min",
    ]
    assert [formatting.file_size(each) for each in (812, 2048, 3 * 2**20)] == [
        "812 B",
        "2 KiB",
        "3.0 MiB",
    ]


def test_a_task_for_a_person_has_one_fact_per_line():
    lines = formatting.task_lines(TASK)
    assert lines[0].split() == ["status", "failed"]
    assert "error      content_policy_violation: no" in lines
    assert "output 0   https://cdn.example/0.png" in lines
    assert "output 1   {'profile_id': 'pf'}" in lines
    assert formatting.task_lines(Task("t2"))[1:] == ["id         t2"]


def test_a_task_for_a_program_is_json():
    described = json.loads(json.dumps(formatting.task_json(TASK, {0: Path("a/0.png")})))
    assert described["outputs"][0]["file"] == "a/0.png"
    assert described["outputs"][1]["file"] is None
    assert described["task_error"]["code"] == "content_policy_violation"
    assert formatting.task_json(Task("t2"))["created"] is None


def test_an_unknown_status_is_shown_as_the_server_spells_it():
    task = Task("t1", status=TaskStatus.OTHER, raw={"status": "queued"})
    assert formatting.status_text(task) == "queued"


def test_an_error_for_a_program_contains_its_attributes():
    error = RateLimitError("slow down", status=429, code="x", task_id="t1")
    described = formatting.error_json(error, ExitCode.UNAVAILABLE)
    assert described["error"] == "RateLimitError"
    assert (described["status"], described["task_id"], described["exit_code"]) == (429, "t1", 5)


def test_a_timeout_is_described_without_python_calls():
    error = TaskTimeoutError("session.attach('t1')", task_id="t1", task=Task("t1"))
    error.__cause__ = OSError("no route")
    assert formatting.error_text(error) == (
        "task t1 is still pending at the end of the wait (the last poll failed: no route)"
    )
    error = TaskTimeoutError("x", task_id="t1", task=Task("t1"), no_poll_succeeded=True)
    error.__cause__ = OSError("no route")
    assert formatting.error_text(error).endswith(
        "(no poll succeeded, the last one failed: no route)"
    )
    strange = Task("t1", TaskStatus.OTHER, outputs=TASK.outputs, raw={"status": "Gone"})
    said = formatting.error_text(TaskTimeoutError("x", task_id="t1", task=strange))
    assert "task t1 is still Gone at the end" in said
    assert "2 outputs are there" in said
    assert formatting.error_text(TaskTimeoutError("x", task_id="t1")).startswith(
        "task t1 is not finished"
    )


def test_commands_are_quoted_for_a_shell():
    command = formatting.wait_command(["a", "b"], Path("my pictures"), ["--base-url", "http://x/?"])
    assert shlex.split(command) == [
        "foxapi", "wait", "a", "b", "-o", "my pictures", "--base-url", "http://x/?",
    ]  # fmt: skip
    assert formatting.wait_command(["a"], None) == "foxapi wait a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [float("nan"), float("inf"), -float("inf"), 1.5]}, '{"a": [null, null, null, 1.5]}'),
        ({"\ud800": "a\udc80\u2028"}, r'{"\\ud800": "a\\udc80\u2028"}'),
        ({"e": ExitCode.UNKNOWN, "p": Path("a\udcff"), 1: (True, None)},
         r'{"e": 6, "p": "a\\udcff", "1": [true, null]}'),
        ({1j: b"x"}, '{"1j": "b\'x\'"}'),
    ],
    ids=["numbers", "surrogates", "types", "others"],
)  # fmt: skip
def test_json_is_valid_for_every_parser(value, text):
    assert json_text(value) == text


def refuse_constant(name: str) -> None:
    raise AssertionError(name)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
        max_leaves=10,
    )
)
def test_any_value_of_a_server_is_one_line_of_json(value):
    text = json_text({"value": value})
    assert len(text.splitlines()) == 1
    parsed = json.loads(text, parse_constant=refuse_constant)
    json.dumps(parsed, ensure_ascii=False).encode()


def test_json_nested_too_deeply_is_cut():
    nested: list[object] = []
    for _ in range(900):
        nested = [nested]
    assert "nested too deeply" in json_text(nested)
