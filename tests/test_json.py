"""Values as JSON and back: the fields of each, what is not JSON, and what is refused."""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxapi_async import (
    APIConnectionError,
    APIStatusError,
    Balance,
    Credits,
    DownloadError,
    FoxAPIError,
    GenerationRequest,
    InvalidRequestError,
    Outcome,
    Output,
    PhotaImage,
    RateLimitError,
    SubmissionUnknownError,
    Task,
    TaskError,
    TaskInfo,
    TaskStatus,
    TaskTimeoutError,
    UploadedFile,
    events,
)
from foxapi_async.http.codec import decode, read_task
from tests.http.test_codec import FINISHED, ID, OLDER, SUBMITTED
from tests.test_errors import FACTS, build, family
from tests.test_events import ONE_OF_EACH
from tests.test_own_requests import Moody
from tests.test_values import VALUES

TABLES = (Path(__file__).parents[1] / "docs" / "json.md").read_text(encoding="utf-8")
DESCRIBED = [value for value in VALUES if hasattr(value, "to_dict")]

each_value = pytest.mark.parametrize("value", DESCRIBED, ids=lambda value: type(value).__name__)


def assert_is_json(value: object) -> None:
    """Check that a value consists of the types of JSON, not even of classes below them."""
    assert type(value) in {dict, list, str, int, float, bool, type(None)}, value
    if isinstance(value, dict):
        assert all(type(name) is str for name in value)
        for item in value.values():
            assert_is_json(item)
    elif isinstance(value, list):
        for item in value:
            assert_is_json(item)
    elif isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, str):
        value.encode()


def documented(name: str) -> list[str]:
    """Return the fields that docs/json.md lists for a class, in its order."""
    rows = re.findall(rf"^\| `{name}` \| (.*) \|$", TABLES, re.MULTILINE)
    # What is in parentheses explains a field.
    return re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", rows[0])) if rows else []


# The fields


def test_every_value_that_is_promised_has_a_form_in_json():
    assert {Task, Output, Outcome, UploadedFile, Balance, Credits} <= {type(v) for v in DESCRIBED}
    assert {type(event) for event in ONE_OF_EACH} <= {type(value) for value in DESCRIBED}
    assert "Statistics" in {type(value).__name__ for value in DESCRIBED}


@each_value
def test_a_value_is_json_with_the_documented_fields(value):
    described = value.to_dict()
    assert_is_json(described)
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert list(described) == documented(type(value).__name__)


@pytest.mark.parametrize("cls", family(), ids=lambda cls: cls.__name__)
def test_an_error_is_json_with_the_documented_fields(cls):
    error = build(cls)
    described = error.to_dict()
    assert_is_json(described)
    parents = [parent.__name__ for parent in cls.__mro__ if parent in family()]
    fields = {field for name in parents for field in documented(name)}
    assert set(described) == fields
    assert described["error"] == cls.__name__
    assert described["message"] == "it went wrong"
    given_facts = next(FACTS[parent] for parent in cls.__mro__ if parent in FACTS)
    renamed = {"message": "server_message"}
    assert {renamed.get(name, name) for name in given_facts} <= set(described)


def test_the_form_of_a_task_is_complete():
    task = Task(
        "task-1",
        TaskStatus.FAILED,
        "phota-image",
        40,
        datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        task_info=TaskInfo(can_cancel=True, estimated_time=4.5),
        outputs=(
            Output(0, "https://cdn.example/1.png?Signature=x", {"seed": 7}, "task-1", "image"),
        ),
        error=TaskError("c", "m", "t"),
        usage={"credits_reserved": math.nan},
        raw={"id": "task-1", "sizes": (1, 2)},
    )
    assert task.to_dict() == {
        "id": "task-1",
        "status": "failed",
        "model": "phota-image",
        "progress": 40,
        "created": "2026-05-01T10:00:00+00:00",
        "type": None,
        "object": None,
        "task_info": {"can_cancel": True, "estimated_time": 4.5},
        "outputs": [
            {
                "index": 0,
                "url": "https://cdn.example/1.png?Signature=x",
                "data": {"seed": 7},
                "task_id": "task-1",
                "kind": "image",
            }
        ],
        "error": {"code": "c", "message": "m", "type": "t"},
        "usage": {"credits_reserved": None},
        "raw": {"id": "task-1", "sizes": [1, 2]},
    }


def test_an_event_names_its_class_and_describes_its_request():
    request = GenerationRequest("veo", {"prompt": "a fox"}, "video")
    described = events.SubmissionStarted(request, "k-1").to_dict()
    assert described == {
        "event": "SubmissionStarted",
        "request": {
            "model": "veo",
            "kind": "video",
            "path": "/v1/videos/generations",
            "num_outputs": 1,
            "payload": {"model": "veo", "prompt": "a fox"},
        },
        "key": "k-1",
    }
    assert set(described["request"]) == set(documented("Request"))


def test_an_outcome_contains_task_and_error():
    error = TaskTimeoutError("late", task_id="task-1", task=Task("task-1"))
    described = Outcome.of_error(PhotaImage("a fox"), "k-1", 7, error, None).to_dict()
    assert (described["task_id"], described["key"], described["index"]) == ("task-1", "k-1", 7)
    assert described["status"] == "unfinished"
    assert described["task"] == Task("task-1").to_dict()
    assert described["error"]["error"] == "TaskTimeoutError"
    assert described["error"]["task"] == described["task"]


def test_an_error_contains_its_causes():
    error = SubmissionUnknownError("who knows", request=PhotaImage("a fox"), response="<html>")
    error.__cause__ = APIConnectionError("cut off")
    error.__cause__.__cause__ = ConnectionResetError("reset by peer")
    described = error.to_dict()
    assert described["response"] == "<html>"
    assert described["request"]["payload"]["prompt"] == "a fox"
    assert described["cause"]["error"] == "APIConnectionError"
    assert described["cause"]["sent"] is True
    assert described["cause"]["cause"] == {
        "error": "ConnectionResetError",
        "message": "reset by peer",
    }
    assert FoxAPIError("no").to_dict()["cause"] is None


def test_the_message_of_the_server_is_apart_from_the_text_of_the_error():
    error = RateLimitError("429: slow down", status=429, message="slow down", retry_after=2.0)
    described = error.to_dict()
    assert (described["message"], described["server_message"]) == ("429: slow down", "slow down")
    assert (described["status"], described["retry_after"]) == (429, 2.0)


def test_a_cycle_of_causes_ends():
    first, second = FoxAPIError("first"), FoxAPIError("second")
    first.__cause__, second.__cause__ = second, first
    assert_is_json(first.to_dict())
    assert "nested too deeply" in json.dumps(first.to_dict())


def test_a_value_that_contains_itself_ends():
    data: dict[str, object] = {}
    output = Output(0, None, data)
    data["me"] = output
    assert "nested too deeply" in json.dumps(output.to_dict())


# What is not JSON


class Whole(enum.IntEnum):
    TWO = 2


class Broken:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.inf, None),
        (Whole.TWO, 2),
        (TaskStatus.OTHER, "other"),
        (Path("out/1.png"), str(Path("out/1.png"))),
        (datetime(2026, 5, 1, 12, tzinfo=UTC).replace(tzinfo=None), "2026-05-01T12:00:00"),
        ((1, [True, None]), [1, [True, None]]),
        ({1: {"a": 2.5}}, {"1": {"a": 2.5}}),
        ("\ud800", "\\ud800"),
        (b"x", "b'x'"),
        (1j, "1j"),
    ],
    ids=str,
)
def test_a_foreign_value_becomes_json(value, expected):
    described = InvalidRequestError("no", field="f", value=value).to_dict()
    assert_is_json(described)
    assert described["value"] == expected


def test_a_value_that_raises_is_named():
    described = InvalidRequestError("no", field="f", value=Broken()).to_dict()
    assert "Broken object" in described["value"]


@pytest.mark.parametrize("part", ["model", "kind", "path", "num_outputs", "payload"])
def test_a_request_of_the_callers_that_raises_does_not_hide_the_error(part):
    error = SubmissionUnknownError("who knows", request=Moody(part, 0), key="k-1")
    described = error.to_dict()
    assert "Moody" in described["request"]
    assert (described["message"], described["key"]) == ("who knows", "k-1")


def test_paths_and_problems_are_texts_and_objects():
    assert DownloadError("no", paths=(Path("a.png"),)).to_dict()["paths"] == ["a.png"]
    (job_error,) = [build(cls) for cls in family() if cls.__name__ == "JobFileError"]
    assert job_error.to_dict()["problems"] == [
        {"line": 7, "field": "prompt", "message": "it is missing"}
    ]


def test_a_foreign_error_shows_only_its_text():
    class ForeignError(Exception):
        request = "sk-secret"

    error = FoxAPIError("no")
    error.__cause__ = ForeignError("it broke")
    assert error.to_dict()["cause"] == {"error": "ForeignError", "message": "it broke"}


# And back

texts = st.text(max_size=8)
optional_texts = st.none() | texts
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
objects = st.dictionaries(texts, jsons, max_size=3)
outputs = st.builds(
    Output, st.integers(), optional_texts, objects, task_id=optional_texts, kind=optional_texts
)
tasks = st.builds(
    Task,
    texts,
    st.sampled_from(TaskStatus),
    optional_texts,
    st.none() | st.integers(0, 100),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    optional_texts,
    optional_texts,
    st.builds(
        TaskInfo,
        st.none() | st.booleans(),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.lists(outputs, max_size=3).map(tuple),
    st.none() | st.builds(TaskError, optional_texts, optional_texts, optional_texts),
    objects,
    objects,
)


@given(tasks)
@example(read_task(SUBMITTED))
@example(read_task(FINISHED))
@example(read_task(OLDER))
def test_a_task_is_read_back_as_it_was(task):
    described = task.to_dict()
    assert_is_json(described)
    read = Task.from_dict(json.loads(json.dumps(described)))
    assert read == task
    assert read.raw == task.raw
    assert attrs.asdict(read) == attrs.asdict(task)
    assert read.to_dict() == described


@given(outputs)
def test_an_output_is_read_back_as_it_was(output):
    assert Output.from_dict(json.loads(json.dumps(output.to_dict()))) == output


@given(
    status=st.sampled_from([status.value for status in TaskStatus]) | texts,
    answer=st.sampled_from([FINISHED, OLDER]),
    extra=objects,
)
def test_whatever_the_server_says_of_a_task_is_read_back(
    status: str, answer: Mapping[str, Any], extra: dict[str, Any]
):
    body = json.dumps({**extra, **answer, "status": status}).encode()
    task = read_task(decode(body))
    read = Task.from_dict(task.to_dict())
    assert read == task
    assert read.raw == task.raw


def test_fields_of_a_later_release_are_ignored_and_missing_ones_have_their_defaults():
    assert Task.from_dict({"id": "task-1"}) == Task("task-1")
    later = {**Task("task-1").to_dict(), "status": "postponed", "mood": "good"}
    assert Task.from_dict(later) == Task("task-1", TaskStatus.OTHER)


def test_a_task_that_was_read_does_not_change_with_the_dict():
    described = read_task(FINISHED).to_dict()
    task = Task.from_dict(described)
    described["raw"]["id"] = described["outputs"][0]["data"]["url"] = "other"
    assert task.raw["id"] == ID
    assert task.outputs[0].data["url"] == task.outputs[0].url


def test_a_moment_of_another_zone_is_read_as_utc():
    task = Task.from_dict({"id": "t", "created": "2026-05-01T14:00:00+02:00"})
    assert task.created == datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert task.created.tzinfo is UTC
    assert Task.from_dict({"id": "t", "created": "2026-05-01T12:00:00"}).created == task.created


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"id": None}, "$.id"),
        ({"id": 7}, "$.id"),
        ({"status": None}, "$.status"),
        ({"progress": "40"}, "$.progress"),
        ({"progress": True}, "$.progress"),
        ({"progress": 40.5}, "$.progress"),
        ({"created": "yesterday"}, "$.created"),
        ({"created": 1760000000}, "$.created"),
        ({"task_info": None}, "$.task_info"),
        ({"task_info": {"can_cancel": "false"}}, "$.task_info.can_cancel"),
        ({"task_info": {"estimated_time": "45"}}, "$.task_info.estimated_time"),
        ({"task_info": {"estimated_time": math.nan}}, "$.task_info.estimated_time"),
        ({"task_info": {"estimated_time": 10**400}}, "$.task_info.estimated_time"),
        ({"outputs": None}, "$.outputs"),
        ({"outputs": "none"}, "$.outputs"),
        ({"outputs": {"index": 0}}, "$.outputs"),
        ({"outputs": [{"index": 0}, {}]}, "$.outputs[1].index"),
        ({"outputs": [{"index": 0, "data": []}]}, "$.outputs[0].data"),
        ({"error": []}, "$.error"),
        ({"error": {"code": 400}}, "$.error.code"),
        ({"raw": None}, "$.raw"),
    ],
    ids=str,
)
def test_a_wrong_type_is_refused_by_path(changes, path):
    given_fields = {**Task("task-1").to_dict(), **changes}
    with pytest.raises(InvalidRequestError, match=re.escape(f"{path}") + r"(?!\w)") as refused:
        Task.from_dict(given_fields)
    assert refused.value.value == given_fields
    assert refused.value.__cause__ is None


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(ValueError, match=r"missing @ \$\.id; .* int \| None @ \$\.progress$"):
        Task.from_dict({"progress": "40"})


@pytest.mark.parametrize("value", [None, "{}", [], 7])
def test_what_is_no_mapping_is_refused(value):
    with pytest.raises(InvalidRequestError, match=r"Task\.from_dict\(\) .* to_dict\(\) returned"):
        Task.from_dict(value)


def test_api_status_error_is_the_only_one_with_a_second_message():
    assert {cls for cls in family() if hasattr(build(cls), "message")} == set(
        family(APIStatusError)
    )
