"""Public values: equality, hash, repr, pickling."""

from __future__ import annotations

import inspect
import pickle

import attrs
import pytest

import foxapi_async
from foxapi_async import (
    GenerationRequest,
    Limits,
    Outcome,
    Output,
    PhotaCreateProfile,
    PhotaImage,
    PhotaImageEdit,
    PhotaImageEnhance,
    Polling,
    Retry,
    Timeout,
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
    Limits(outputs=4),
    Polling(),
    Retry(attempts=2),
    Timeout(),
    Outcome(PhotaImage("a fox"), "k-1", 3, "unknown"),
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
    shown = [field.name for field in attrs.fields(type(value)) if field.repr]
    fields = ", ".join(f"{name}={getattr(value, name)!r}" for name in shown)
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


NOT_COPIED = {events.SubmissionFailed, events.PollFailed}
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


def test_repr_of_a_value_that_contains_itself_ends():
    data: dict[str, object] = {}
    output = Output(0, None, data)
    data["me"] = output
    assert repr(output) == "Output(index=0, url=None, data={'me': ...})"
