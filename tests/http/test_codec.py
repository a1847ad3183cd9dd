"""JSON of the API: both shapes of a result, wrong types, and encoding."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxapi_async import (
    InvalidRequestError,
    InvalidResponseError,
    Output,
    Task,
    TaskError,
    TaskInfo,
    TaskStatus,
)
from foxapi_async.http import codec as wire
from foxapi_async.http.codec import (
    decode,
    encode,
    excerpt,
    is_usable,
    one_line,
    read_task,
    read_upload,
)

ID = "task-unified-1760000000-k3v9x2ab"

SUBMITTED = {
    "created": 1760000000,
    "id": ID,
    "model": "phota-image",
    "object": "image.generation.task",
    "progress": 0,
    "status": "pending",
    "task_info": {"can_cancel": True, "estimated_time": 45},
    "type": "image",
}
FINISHED = {
    "id": ID,
    "object": "image.generation.task",
    "type": "image",
    "model": "phota-image",
    "status": "completed",
    "progress": 100,
    "created": 1760000000,
    "results": [{"url": "https://cdn.example/r/one.png"}, {"url": "https://cdn.example/r/two.png"}],
    "error": None,
    "usage": {"credits_reserved": 60000, "user_group": "default"},
}
OLDER = {
    "id": ID,
    "object": "video.generation.task",
    "type": "video",
    "model": "some-model",
    "status": "completed",
    "progress": 100,
    "created": 1760000001,
    "task_info": {"can_cancel": False, "estimated_time": 0},
    "output": {
        "url": "https://cdn.foxapi.cc/v/a.mp4",
        "urls": ["https://cdn.foxapi.cc/v/a.mp4"],
        "width": 1280,
        "height": 720,
        "duration": 5,
    },
}

numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63, 1e308])
texts = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["\ud800", "45", "-1", "nan", "inf", "1e999", " COMPLETED ", "", "null", "9" * 5000]
)
scalars = st.none() | st.booleans() | numbers | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
items = st.lists(
    anything
    | st.fixed_dictionaries({}, optional=dict.fromkeys(("url", "image_url", "seed"), anything)),
    max_size=4,
)
tasks = st.fixed_dictionaries(
    {"id": st.just(ID) | anything},
    optional={
        "status": anything | st.sampled_from([status.value for status in TaskStatus]),
        "model": anything,
        "progress": anything,
        "created": anything,
        "type": anything,
        "object": anything,
        "task_info": anything
        | st.fixed_dictionaries({}, optional={"can_cancel": anything, "estimated_time": anything}),
        "results": anything | items,
        "output": anything
        | st.fixed_dictionaries({}, optional={"url": anything, "urls": anything | items}),
        "outputs": anything,
        "error": anything
        | st.fixed_dictionaries({}, optional=dict.fromkeys(("code", "message", "type"), anything)),
        "usage": anything,
        "raw": anything,
        "self": anything,
    },
)


def task(**fields: object) -> Task:
    return read_task({"id": ID, **fields})


def nested(depth: int) -> list[object]:
    outermost: list[object] = []
    for _ in range(depth):
        outermost = [outermost]
    return outermost


@given(anything | tasks, st.sampled_from([None, ID]))
def test_any_json_gives_a_task_or_an_invalid_response_error(payload, asked):
    try:
        read = read_task(payload, asked=asked)
    except InvalidResponseError as error:
        unusable = error.task_id, str(error).encode()
        assert unusable[0] == asked
        return
    assert read.id == payload["id"]
    assert asked in (None, read.id)
    assert read.raw is payload
    assert isinstance(read.status, TaskStatus)
    assert read.progress is None or 0 <= read.progress <= 100
    assert read.created is None or read.created.tzinfo is UTC
    estimate = read.task_info.estimated_time
    assert estimate is None or 0 <= estimate < float("inf")
    assert isinstance(read.usage, dict)
    assert [output.index for output in read.outputs] == list(range(len(read.outputs)))
    urls = [output.url for output in read.outputs if output.url is not None]
    assert len(urls) == len(set(urls))
    assert (read.status is TaskStatus.FAILED) <= (read.error is not None)
    for text in (read.model, read.type, read.object):
        assert text is None or isinstance(text, str)


def test_json_that_is_nested_too_deeply_is_a_value_error():
    deep = nested(100_000)
    read = task(status=deep, results=[{"a": deep}], usage={"a": deep}, error=deep, progress=deep)
    assert (read.status, read.progress, read.error) == (TaskStatus.OTHER, None, None)
    with pytest.raises(InvalidResponseError):
        read_task({"id": deep})


def test_the_answer_to_a_submission_is_read_completely():
    assert read_task(SUBMITTED) == Task(
        ID,
        TaskStatus.PENDING,
        "phota-image",
        0,
        datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC),
        "image",
        "image.generation.task",
        TaskInfo(can_cancel=True, estimated_time=45.0),
    )


def test_the_newer_shape_of_a_result_is_read():
    read = read_task(FINISHED, asked=ID)
    assert [(output.index, output.url) for output in read.outputs] == [
        (0, "https://cdn.example/r/one.png"),
        (1, "https://cdn.example/r/two.png"),
    ]
    assert {(output.task_id, output.kind) for output in read.outputs} == {(ID, "image")}
    assert read.usage == {"credits_reserved": 60000, "user_group": "default"}
    assert read.error is None
    assert read.raw is FINISHED


def test_the_older_shape_of_a_result_is_read():
    (output,) = read_task(OLDER).outputs
    assert output.url == "https://cdn.foxapi.cc/v/a.mp4"
    assert output.data == {"url": output.url, "width": 1280, "height": 720, "duration": 5}
    assert output.kind == "video"


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        ({"url": "a"}, ["a"]),
        ({"url": "a", "urls": []}, ["a"]),
        ({"url": "a", "urls": None}, ["a"]),
        ({"url": "a", "urls": "b"}, ["a"]),
        ({"url": "a", "urls": ["b", "c"]}, ["b", "c"]),
        ({"urls": ["a", "b", "a"]}, ["a", "b"]),
        ({"urls": ["a", None, 5, ""]}, ["a"]),
        ({"url": None, "width": 1, "height": 1, "duration": 1}, []),
        ({"url": ""}, []),
        ({}, []),
        (None, []),
        ("a", []),
        ([], []),
    ],
)
def test_the_older_shape_lists_urls_or_one_url(output, urls):
    assert [output.url for output in task(output=output).outputs] == urls


def test_the_newer_shape_takes_precedence():
    both = task(results=[{"url": "new"}], output={"url": "old"})
    assert [output.url for output in both.outputs] == ["new"]


@pytest.mark.parametrize("results", [None, [], {}, "a", 5, False])
def test_the_older_shape_is_used_if_the_newer_one_is_empty(results):
    assert [out.url for out in task(results=results, output={"url": "old"}).outputs] == ["old"]


@pytest.mark.parametrize(
    ("item", "url"),
    [
        ({"url": "a", "image_url": "b"}, "a"),
        ({"url": None, "image_url": "b"}, "b"),
        ({"url": "", "video_url": "c"}, "c"),
        ({"audio_url": "d", "content_type": "audio/mpeg"}, "d"),
        ("e", "e"),
    ],
)
def test_the_url_of_an_item_may_have_several_names(item, url):
    (output,) = task(results=[item]).outputs
    assert output.url == url
    assert output.data == (item if isinstance(item, dict) else {"url": item})


def test_a_duplicate_output_counts_once_and_the_order_is_kept():
    listed = ["b", {"url": "a"}, "b", {"image_url": "a"}, {"url": "c", "seed": 1}]
    outputs = task(results=listed).outputs
    assert [(output.index, output.url) for output in outputs] == [(0, "b"), (1, "a"), (2, "c")]


@pytest.mark.parametrize(
    "item",
    [
        {"result_type": "profile", "profile_id": "pf_7Q2"},
        {"character_id": "ch_1", "name": "Fox"},
        {"voice_id": "v_1"},
        {"custom_voice_id": "v_2"},
        {"text": "Good morning.", "words": [{"text": "Good", "start": 0.1}]},
        {"transcription_url": "https://a.example/1.json"},
        {"choices": [{"message": {"content": "Yes."}}]},
        {"lyrics": "la la"},
    ],
)
def test_an_item_that_is_not_a_file_is_an_output(item):
    first, second = task(results=[item, item], type="audio").outputs
    assert (first.url, first.data, first.kind) == (None, item, "audio")
    assert second.index == 1


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"url": None},
        {"url": ""},
        {"url": 5},
        {"url": None, "content_type": "image/png", "width": 1, "height": 1, "seed": 0, "index": 0},
        {"result_type": "image", "url": None},
        {"result_type": "profile", "profile_id": ""},
        {"map_type": "normal"},
        {"degraded_reason": "busy", "resolution": "1K", "duration": 5},
        {"text": None, "words": [], "lyrics": "", "choices": {}},
        None,
        5,
        "",
        [],
        ["https://a.example/1.png"],
    ],
)
def test_an_item_with_labels_only_is_not_an_output(item):
    assert task(status="completed", results=[item]).outputs == ()


def test_labels_of_an_output_are_kept():
    data = {"url": "a", "seed": 7, "map_type": "normal"}
    assert is_usable(Output(0, "a", data))
    assert task(results=[data]).outputs[0].data is data


@pytest.mark.parametrize("payload", [None, True, 5, "text", [], [SUBMITTED]])
def test_an_answer_that_is_not_an_object_is_invalid(payload):
    with pytest.raises(InvalidResponseError, match="not a task"):
        read_task(payload)


@pytest.mark.parametrize(
    "bad_id",
    [None, "", 5, True, [], {}, " ", "a b", "a/b", "..", ".", "a?b", "é", "a" * 257, "a\n"],
)
def test_an_answer_without_a_task_id_is_invalid(bad_id):
    with pytest.raises(InvalidResponseError, match="no usable task id") as unusable:
        read_task({**SUBMITTED, "id": bad_id}, asked=ID)
    assert unusable.value.task_id == ID
    assert len(str(unusable.value)) < 200
    with pytest.raises(InvalidResponseError):
        read_task({name: value for name, value in SUBMITTED.items() if name != "id"})


def test_an_answer_about_another_task_is_invalid():
    with pytest.raises(InvalidResponseError, match="asked for task other") as unusable:
        read_task(SUBMITTED, asked="other")
    assert ID in str(unusable.value)
    assert unusable.value.task_id == "other"


def test_only_the_id_is_required():
    assert task() == Task(ID)
    assert task().status is TaskStatus.PENDING


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", TaskStatus.PENDING),
        ("processing", TaskStatus.PROCESSING),
        ("completed", TaskStatus.COMPLETED),
        ("failed", TaskStatus.FAILED),
        ("cancelled", TaskStatus.CANCELLED),
        ("canceled", TaskStatus.CANCELLED),
        (" Completed\n", TaskStatus.COMPLETED),
        ("FAILED", TaskStatus.FAILED),
        (None, TaskStatus.PENDING),
    ],
)
def test_known_statuses_are_recognized(word, status):
    assert task(status=word).status is status


RESULTS = [{"url": "https://cdn.example/1.png"}]
REASON = {"code": "generation_failed", "message": "no"}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        *(
            (word, TaskStatus.COMPLETED)
            for word in ("SUCCESS", "succeeded", "Success", "done", "FINISHED")
        ),
        *(
            (word, TaskStatus.FAILED)
            for word in ("FAILURE", "failure", "Error", "timed-out", "TIMED OUT")
        ),
        *(
            (word, TaskStatus.PROCESSING)
            for word in ("IN_PROGRESS", "in-progress", "In Progress", "running")
        ),
        *(
            (word, TaskStatus.PENDING)
            for word in ("QUEUED", "submitted", "NOT_START", "not-start ")
        ),
    ],
)
def test_words_of_relays_are_understood_where_the_rest_agrees(word, status, caplog):
    assert task(status=word, results=RESULTS, error=REASON).status is status
    assert not caplog.records
    if not status.is_terminal:
        assert task(status=word).status is status


@pytest.mark.usefixtures("_no_words_yet")
@pytest.mark.parametrize(
    "fields",
    [
        *({"status": "SUCCESS", **rest} for rest in ({}, {"results": []}, {"error": REASON})),
        {"status": "succeeded", "results": [{"width": 5, "url": ""}]},
        {"status": "done", "output": {"urls": []}},
        *({"status": "FAILURE", **rest} for rest in ({}, {"results": RESULTS}, {"error": ""})),
        *(
            {"status": "error", "error": error}
            for error in ({}, {"type": "x"}, [], 5, {"code": None})
        ),
    ],
    ids=str,
)
def test_an_end_in_words_of_relays_without_its_proof_is_not_believed(fields):
    assert task(**fields).status is TaskStatus.OTHER


def test_an_end_in_words_of_relays_has_all_that_another_end_has():
    completed = task(status="Succeeded", output={"url": "https://cdn.example/1.png"})
    assert (completed.status, len(completed.outputs), completed.error) == (
        TaskStatus.COMPLETED,
        1,
        None,
    )
    assert completed.raw["status"] == "Succeeded"
    failed = task(status="FAILURE", error="no credits")
    assert (failed.status, failed.error) == (TaskStatus.FAILED, TaskError(message="no credits"))


@pytest.fixture
def _no_words_yet(monkeypatch):
    monkeypatch.setattr(wire, "_unknown_words", set())


@pytest.mark.usefixtures("_no_words_yet")
@pytest.mark.parametrize(
    "word", ["paused", "", "other", 5, True, [], {"a": 1}, "\ud800", "\x1b[0m"]
)
def test_an_unknown_status_is_not_terminal_and_is_logged_once(word, caplog):
    with caplog.at_level(logging.WARNING, "foxapi_async"):
        for _ in range(3):
            read = task(status=word)
    assert read.status is TaskStatus.OTHER
    assert not read.status.is_terminal
    assert read.raw["status"] == word
    (record,) = caplog.records
    assert repr(word) in record.getMessage()
    record.getMessage().encode()


@pytest.mark.usefixtures("_no_words_yet")
def test_an_unknown_status_in_several_spellings_is_logged_once(caplog):
    for word in ("Paused", "paused", " PAUSED "):
        task(status=word)
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("_no_words_yet")
def test_many_unknown_statuses_fill_neither_the_log_nor_the_memory(caplog):
    for number in range(300):
        assert task(status=f"{number}" + "x" * 10_000).status is TaskStatus.OTHER
    assert len(caplog.records) == len(wire._unknown_words) == 100
    assert sum(map(len, wire._unknown_words)) < 100 * 200
    assert max(len(record.getMessage()) for record in caplog.records) < 200


def test_three_statuses_are_terminal():
    final = {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}
    assert {status for status in TaskStatus if status.is_terminal} == final


@pytest.mark.parametrize(
    ("announced", "seconds"),
    [
        (45, 45.0),
        (45.5, 45.5),
        ("45", 45.0),
        (" 45 ", 45.0),
        (0, 0.0),
        (1e12, 1e12),
        *(
            (nonsense, None)
            for nonsense in (
                *(None, -1, "-1", float("nan"), float("inf"), "nan", "inf", True, False),
                *("soon", "", [], [45], {}, 10**400),
            )
        ),
    ],
)
def test_an_estimate_is_a_number_of_seconds_or_none(announced, seconds):
    assert task(task_info={"estimated_time": announced}).task_info.estimated_time == seconds


@pytest.mark.parametrize("info", [None, [], "45", 45, True])
def test_task_info_that_is_not_an_object_is_ignored(info):
    assert task(task_info=info).task_info == TaskInfo()


@pytest.mark.parametrize(
    ("flag", "read"), [(True, True), (False, False), ("true", None), (1, None)]
)
def test_can_cancel_is_true_false_or_none(flag, read):
    assert task(task_info={"can_cancel": flag}).task_info.can_cancel is read


@pytest.mark.parametrize(
    ("progress", "percent"),
    [(0, 0), (50, 50), (99.9, 99), ("50", 50), (100, 100), (101, 100), (1e300, 100), (-5, 0)]
    + [(nonsense, None) for nonsense in (None, True, "half", [], float("nan"), 10**400)],
)
def test_progress_is_limited_to_0_to_100(progress, percent):
    assert task(progress=progress).progress == percent


@pytest.mark.parametrize(
    ("created", "moment"),
    [(0, datetime(1970, 1, 1, tzinfo=UTC)), ("1760000000.5", datetime(2025, 10, 9, 8, 53, 20, 500000, tzinfo=UTC))]
    + [(nonsense, None) for nonsense in (None, True, "today", [], float("nan"), 1e18, -1e18, 10**400)],
)  # fmt: skip
def test_the_time_of_creation_is_in_utc_or_none(created, moment):
    assert task(created=created).created == moment


@pytest.mark.parametrize(
    ("error", "read"),
    [
        (
            {"code": "timeout", "message": "too slow", "type": "task_error"},
            TaskError("timeout", "too slow", "task_error"),
        ),
        ({"code": "generation_failed"}, TaskError("generation_failed")),
        ({"message": "no"}, TaskError(message="no")),
        ({"code": 500, "message": "no"}, TaskError("500", "no")),
        ({"code": True, "message": ["no"]}, TaskError("unknown_error")),
        ({"type": "task_error"}, TaskError("unknown_error", type="task_error")),
        ({}, TaskError("unknown_error")),
        ("it broke", TaskError(message="it broke")),
        ("", TaskError("unknown_error")),
        (None, TaskError("unknown_error")),
        ([], TaskError("unknown_error")),
        (5, TaskError("unknown_error")),
    ],
)
def test_a_failed_task_always_has_an_error(error, read):
    assert task(status="failed", error=error).error == read
    assert task(status="failed").error == TaskError("unknown_error")


def test_a_task_that_did_not_fail_has_only_the_error_of_the_answer():
    assert task(status="completed", error=None).error is None
    assert task(status="processing", error={}).error == TaskError()
    assert task(status="cancelled", error={"code": "c"}).error == TaskError("c")


@pytest.mark.parametrize("usage", [None, [], "60000", 5])
def test_usage_that_is_not_an_object_is_empty(usage):
    assert task(usage=usage).usage == {}


def test_unknown_fields_are_kept_in_the_raw_object():
    read = task(stream={"url": "/x"}, queue_position=3)
    assert read.raw == {"id": ID, "stream": {"url": "/x"}, "queue_position": 3}


UPLOADED = {
    "id": "file-1760000000-a1b2c3",
    "filename": "face.png",
    "url": "https://cdn.foxapi.cc/uploads/20261009/9f3c/face.png",
    "size": 48213,
    "created": 1760000000,
}


def test_the_answer_to_an_upload_is_read_completely():
    file = read_upload(UPLOADED)
    assert (file.id, file.filename, file.url) == (
        UPLOADED["id"],
        UPLOADED["filename"],
        UPLOADED["url"],
    )
    assert (file.size, file.created) == (48213, datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC))
    assert file.raw is UPLOADED


def test_only_the_url_of_an_upload_is_required():
    file = read_upload({"url": "u", "id": None, "filename": 5, "size": "big", "created": "now"})
    assert (file.id, file.filename, file.size, file.created) == (None, None, None, None)
    assert read_upload({"url": "u", "size": -1}).size is None
    assert read_upload({"url": "u", "size": "48213"}).size == 48213


@given(
    anything | st.fixed_dictionaries({"url": anything}, optional={"size": anything, "id": anything})
)
def test_any_json_gives_an_upload_or_an_invalid_response_error(payload):
    try:
        file = read_upload(payload)
    except InvalidResponseError:
        return
    assert file.url == payload["url"]
    assert file.size is None or file.size >= 0


def test_a_payload_is_encoded_as_compact_ascii():
    payload = {"model": "m", "prompt": "f\xf6x", "num_outputs": 2, "seed": None}
    assert encode(payload) == b'{"model":"m","prompt":"f\\u00f6x","num_outputs":2,"seed":null}'


def circular() -> list[object]:
    outermost: list[object] = []
    outermost.append(outermost)
    return outermost


@pytest.mark.parametrize(
    "value",
    [
        *(float("nan"), float("inf"), float("-inf"), {"deeper": [float("nan")]}),
        *(object(), {1, 2}, b"bytes", circular(), nested(100_000), {(1, 2): 3}, 10**5000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_payload_that_is_not_json_is_an_invalid_request(value):
    with pytest.raises(InvalidRequestError, match=r"field 'seed'.*finite numbers") as refused:
        encode({"model": "m", "seed": value, "size": 1})
    assert refused.value.field == "seed"
    assert refused.value.value is value
    assert refused.value.__cause__ is not None


def test_a_payload_with_a_key_that_is_not_json_is_an_invalid_request():
    with pytest.raises(InvalidRequestError) as refused:
        encode({"model": "m", (1, 2): 3})  # type: ignore[dict-item]
    assert (refused.value.field, refused.value.value) == ("(1, 2)", 3)


@pytest.mark.parametrize("payload", [None, [], "text", 5, [("model", "m")]])
def test_a_payload_that_is_not_an_object_is_an_invalid_request(payload):
    with pytest.raises(InvalidRequestError, match="it must return a dict") as refused:
        encode(payload)
    assert refused.value.value is payload


@given(st.binary() | st.text().map(str.encode) | anything.map(json.dumps).map(str.encode))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"9" * 5000)
@example(b"\xff\xfe\x00")
@example(b"\xef\xbb\xbf{}")
@example(b"")
def test_any_body_is_json_or_a_value_error(body):
    try:
        decode(body)
    except ValueError:
        return


@given(st.binary(max_size=4000))
@example(("é" * 200).encode())
@example("é".encode() * 5000)
@example(("x" + "🦊" * 200).encode())
@example(b"\x1b[31mred\x1b[0m\r\nnext\x00\xe2\x80\xa8line")
def test_an_excerpt_is_short_and_on_one_line(body):
    text = excerpt(body)
    assert len(text) <= 201
    assert text.isprintable()
    assert text == text.strip()


def test_an_excerpt_is_the_beginning_of_a_body():
    assert excerpt(b"<html>\n  <p>error code: 1010</p>") == "an HTML page: error code: 1010"
    page = b"<!DOCTYPE html><html><head><title>\n502 Bad\nGateway</title></head><h1>x</h1></html>"
    assert excerpt(page) == "an HTML page: 502 Bad Gateway"
    assert excerpt(b"<HTML><script>if (a < b) c</script>") == "an HTML page"
    assert excerpt(b"x" * 201) == "x" * 200 + "…"
    assert excerpt(b"x" * 200) == "x" * 200


@pytest.mark.parametrize(
    "c", "\u202e\u202a\u2066\u2069\u200f\u061c\u2028\u2029\x85\x0b\x9b\ufeff\U000e0041"
)
def test_no_control_of_direction_or_lines_is_left_in_a_text_of_the_server(c):
    assert one_line(f"a{c}b") == excerpt(f"a{c}b".encode()) == "a b"


def test_a_text_of_the_server_becomes_one_line_and_is_truncated():
    assert one_line("a\nb\x1b[0m\ud800c") == "a b [0m c"
    assert one_line("x" * 10**7) == "x" * 500 + "…"
    assert one_line("x" * 11, longest=10) == "x" * 10 + "…"


def test_numbers_that_json_cannot_express_are_read_as_none():
    body = b'{"a": NaN, "b": [-Infinity, 1e999], "c": 1.5, "d": ' + b"9" * 5000 + b"}"
    assert decode(body) == {"a": None, "b": [None, None], "c": 1.5, "d": None}


def test_a_long_title_without_an_end_takes_no_long_time():
    assert excerpt(b"<html><title>" + b"a " * 500_000)
