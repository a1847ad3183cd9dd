"""Values compare, hash and show themselves as attrs would have them do."""

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
from foxapi_async.value import Value
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


def by_attrs(value: Value) -> object:
    """Return what holds the same, with methods that attrs has generated."""
    cls = type(value)
    twin = attrs.frozen(type(cls.__name__, (cls,), {"__qualname__": cls.__qualname__}))
    assert not {"__eq__", "__hash__", "__repr__"} - vars(twin).keys()
    return twin(**{field.alias: getattr(value, field.name) for field in attrs.fields(cls)})


def public_classes() -> list[type]:
    names = [getattr(foxapi_async, name) for name in foxapi_async.__all__]
    names += [getattr(events, name) for name in events.__all__]
    return [cls for cls in names if inspect.isclass(cls) and attrs.has(cls)]


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_every_public_value_is_compared_by_what_it_holds(cls):
    # attrs was told to leave this to `Value`; without it two equal values would differ.
    assert issubclass(cls, Value)
    assert cls.__eq__ is Value.__eq__
    assert cls.__hash__ is Value.__hash__
    assert cls.__repr__ is Value.__repr__


def test_there_is_an_example_of_each():
    examples = {type(value) for value in VALUES}
    assert set(public_classes()) - examples == {events.Event}


@each_value
def test_it_reads_as_attrs_would_write_it(value):
    assert repr(value) == repr(by_attrs(value))


@each_value
def test_it_is_equal_to_its_copy_and_to_nothing_else(value):
    twin = pickle.loads(pickle.dumps(value)) if type(value) not in NOT_COPIED else value
    assert value == attrs.evolve(value) == twin
    assert hash(value) == hash(attrs.evolve(value)) == hash(twin)
    assert value != by_attrs(value), "another class"
    assert value != repr(value)
    assert value.__eq__(repr(value)) is NotImplemented


NOT_COPIED = {events.SubmissionFailed, events.PollFailed}
"""They hold an error, and errors are equal to themselves only."""


@each_value
def test_it_differs_by_the_fields_by_which_attrs_tells_values_apart(value):
    twin = by_attrs(value)
    for field in attrs.fields(type(value)):
        changed, other = attrs.evolve(value), attrs.evolve(twin)
        for each in (changed, other):
            object.__setattr__(each, field.name, Different())
        assert (changed == value) is (other == twin) is (not field.eq), field.name
        hashed = field.eq if field.hash is None else field.hash
        assert (hash(changed) == hash(value)) is (hash(other) == hash(twin)) is (not hashed)


class Different:
    """Something that no field holds."""


def test_one_that_contains_itself_can_be_shown():
    data: dict[str, object] = {}
    output = Output(0, None, data)
    data["me"] = output
    assert repr(output) == "Output(index=0, url=None, data={'me': ...})"


def test_a_class_inside_of_a_function_is_shown_by_its_name():
    @attrs.frozen(eq=False, repr=False)
    class Inner(Value):
        size: int

    assert repr(Inner(3)) == "Inner(size=3)"
