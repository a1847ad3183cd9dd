"""Public values: equality, hash, repr, pickling."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import attrs
import pytest

import foxapi_async
from foxapi_async import (
    Balance,
    Credits,
    GenerationRequest,
    Limits,
    Outcome,
    Output,
    PhotaCreateProfile,
    PhotaImage,
    PhotaImageEdit,
    PhotaImageEnhance,
    Polling,
    RawResponse,
    Retry,
    Task,
    TaskError,
    Timeout,
    UploadedFile,
    events,
)
from foxapi_async.statistics import Counters
from tests.test_events import ONE_OF_EACH as EVENTS
from tests.test_models import VALUES as MODELS

URL = "https://files.example/1.png"
VALUES = [
    *MODELS,
    *EVENTS,
    PhotaImage("a fox", num_outputs=2),
    PhotaImageEdit("in snow", image_urls=[URL], profile_ids=["p"]),
    PhotaImageEnhance(URL, creativity=0.5),
    PhotaCreateProfile(URL),
    GenerationRequest("suno-v4", {"prompt": "a fox"}, "audio"),
    Balance(key=Credits(remaining=5)),
    Credits(remaining=5, used=2.5),
    Limits(outputs=4),
    Polling(),
    Retry(attempts=2),
    Timeout(),
    Outcome(PhotaImage("a fox"), "k-1", 3, "unknown"),
    RawResponse(method="GET", path="/v1/tasks/t", status=200, headers={}, body=b"{}", size=2),
    Counters().snapshot(
        in_flight=1,
        images_in_flight=2,
        requests_per_second=None,
        downloads=3,
        bytes_downloaded=4,
    ),
]

each_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


def public_classes() -> list[type]:
    names = [getattr(foxapi_async, name) for name in foxapi_async.__all__]
    names += [getattr(events, name) for name in events.__all__]
    return [cls for cls in names if inspect.isclass(cls) and attrs.has(cls)]


def test_every_public_value_has_an_example():
    examples = {type(value) for value in VALUES}
    assert set(public_classes()) - examples == {events.Event}


@each_value
def test_repr_lists_the_fields_that_are_shown(value):
    shown = [field for field in attrs.fields(type(value)) if field.repr]
    fields = ", ".join(
        f"{field.name}={(field.repr if callable(field.repr) else repr)(getattr(value, field.name))}"
        for field in shown
    )
    assert repr(value) == f"{type(value).__name__}({fields})"


@each_value
def test_a_value_equals_its_copies_and_nothing_else(value):
    copies = [attrs.evolve(value)]
    if type(value) not in NOT_COPIED:
        copies.append(pickle.loads(pickle.dumps(value)))
    for copy in copies:
        assert copy == value
        assert hash(copy) == hash(value)
    assert value != repr(value)
    assert value.__eq__(repr(value)) is NotImplemented


@each_value
def test_a_value_differs_from_a_subclass_with_the_same_fields(value):
    subclass = attrs.frozen(type(type(value).__name__, (type(value),), {}))
    fields = attrs.fields(type(value))
    assert value != subclass(**{field.alias: getattr(value, field.name) for field in fields})


NOT_COPIED = {events.SubmissionFailed, events.SubmissionsPaused, events.PollFailed}
"""They hold an error, and errors compare by identity."""


@each_value
def test_equality_and_hash_depend_on_the_declared_fields(value):
    for field in attrs.fields(type(value)):
        changed = attrs.evolve(value)
        object.__setattr__(changed, field.name, Different())
        assert (changed == value) is not field.eq, field.name
        hashed = field.eq if field.hash is None else field.hash
        assert (hash(changed) == hash(value)) is not hashed, field.name


class Different:
    """A value that no field holds."""


SIGNED = "https://cdn.example/r/1.png?Expires=9&Signature=s3cret~x,y_z#s3cret"
OUTPUT = Output(
    0, SIGNED, {"url": SIGNED, "more": [SIGNED, "/r/1?s3cret", {"b": "//c/d?a=s3cret"}]}
)
SIGNED_TASK = Task(
    "task-1", outputs=(OUTPUT,), error=TaskError("c", f"no: {SIGNED}"), raw={"a": SIGNED}
)
REQUEST = PhotaImageEdit("why/not? yes", image_urls=[SIGNED])


@pytest.mark.parametrize(
    "value",
    [
        OUTPUT,
        SIGNED_TASK,
        UploadedFile("file-1", SIGNED, raw={"url": SIGNED}),
        REQUEST,
        PhotaImageEnhance(SIGNED),
        PhotaCreateProfile(SIGNED),
        GenerationRequest("m", {"images": [{"url": SIGNED}]}),
        Outcome(REQUEST, "k", 0, "completed", SIGNED_TASK),
        events.TaskSubmitted(SIGNED_TASK, REQUEST, "k"),
        events.TaskUpdated(SIGNED_TASK, REQUEST),
        events.TaskEnded("task-1", SIGNED_TASK, None, REQUEST, 1.0),
        events.DownloadProgress(OUTPUT, 1, 2),
        events.Downloaded(OUTPUT, Path("a"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_signature_of_a_link_is_in_a_repr(value):
    for said in (repr(value), str(value), f"{value}", repr([value])):
        assert "s3cret" not in said
        assert "Signature" not in said
        assert "https://cdn.example/r/1.png?..." in said
    assert OUTPUT.url == OUTPUT.data["url"] == SIGNED
    assert "why/not? yes" in repr(REQUEST)


@pytest.mark.parametrize(
    "query", ["?a='b's3cret", '?a="s3cret', "?a='s3cret\"x", "#s3cret", "?s3cret"]
)
def test_a_quote_does_not_end_a_signature(query):
    url = f"https://cdn.example/1.png{query}"
    for data in (
        {},
        {"url": url},
        {"all": [url, (url,)], "b": 1},
        {"json": f'{{"url":"{url}","b":1}}'},
    ):
        assert "s3cret" not in repr(Output(0, url, data))


def test_a_repr_of_inline_data_takes_no_time():
    data = "/" * 2_000_000
    assert data in repr(Output(0, None, {"b64_json": data}))


def test_repr_of_a_value_that_contains_itself_ends():
    data: dict[str, object] = {}
    output = Output(0, None, data)
    data["me"] = output
    assert repr(output) == "Output(index=0, url=None, data={'me': ...})"
