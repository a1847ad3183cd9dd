"""Limits, polling, retries and timeouts: their defaults and validation."""

from __future__ import annotations

import pickle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import ConfigurationError, Limits, Polling, Retry, Timeout

CLASSES = [Limits, Polling, Retry, Timeout]

DURATIONS = [
    *((Polling, name) for name in ("poll_cost", "min_interval", "max_interval", "give_up_after")),
    *((Retry, name) for name in ("first", "longest", "patience")),
    *((Timeout, name) for name in ("connect", "request", "stall")),
    *((Limits, name) for name in ("submissions_per_second", "polls_per_second")),
]
COUNTS = [
    (Limits, "outputs"),
    (Limits, "total_outputs"),
    (Limits, "downloads"),
    (Retry, "attempts"),
]
CHOICES = [(Limits, "scope")]
FLAGS = [(Polling, "sync_upstream"), (Retry, "submissions")]
NONE_ALLOWED = {"total_outputs", "submissions_per_second", "polls_per_second", "give_up_after"}


def refusal(cls: type, **values: object) -> str:
    with pytest.raises(ConfigurationError) as refused:
        cls(**values)
    return str(refused.value)


def test_every_option_is_tested_here():
    listed = {(cls, name) for cls, name in [*DURATIONS, *COUNTS, *FLAGS, *CHOICES]}
    assert listed == {(cls, field.name) for cls in CLASSES for field in attrs.fields(cls)}


@pytest.mark.parametrize(("cls", "name"), DURATIONS)
@pytest.mark.parametrize(
    "value", [0, -1, 0.0, float("nan"), float("inf"), 10**309, True, "1", [], 1j]
)
def test_a_duration_that_is_not_above_zero_is_rejected_by_name(cls, name, value):
    allowed = "a number above 0" + (", or None" if name in NONE_ALLOWED else "")
    assert (
        refusal(cls, **{name: value})
        == f"{cls.__name__}({name}=…) is {value!r}; it must be {allowed}"
    )


@pytest.mark.parametrize(("cls", "name"), COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", float("inf"), []], ids=repr)
def test_a_count_that_is_not_a_whole_number_is_rejected_by_name(cls, name, value):
    allowed = "a whole number of at least 1" + (", or None" if name in NONE_ALLOWED else "")
    assert (
        refusal(cls, **{name: value})
        == f"{cls.__name__}({name}=…) is {value!r}; it must be {allowed}"
    )


@pytest.mark.parametrize(("cls", "name"), FLAGS)
@pytest.mark.parametrize("value", [None, 1, 0, "true"])
def test_a_flag_that_is_not_a_boolean_is_rejected_by_name(cls, name, value):
    assert refusal(cls, **{name: value}).endswith(
        f"({name}=…) is {value!r}; it must be True or False"
    )


@pytest.mark.parametrize(("cls", "name"), [*DURATIONS, *COUNTS])
def test_none_is_accepted_where_a_bound_is_optional(cls, name):
    if name in NONE_ALLOWED:
        assert getattr(cls(**{name: None}), name) is None
    else:
        assert "is None" in refusal(cls, **{name: None})


@given(st.sampled_from(DURATIONS), st.floats(1e-9, 1e9) | st.integers(1, 10**9))
def test_every_positive_duration_or_rate_is_accepted(option, value):
    cls, name = option
    bound = {"min_interval": {"max_interval": 1e10}, "max_interval": {"min_interval": 1e-10}}
    assert getattr(cls(**{name: value}, **bound.get(name, {})), name) == value


@pytest.mark.parametrize(("cls", "name"), [*DURATIONS, *COUNTS])
def test_numbers_of_other_types_are_kept_as_plain_ones(cls, name):
    class Whole:  # as numpy.int64 is
        def __index__(self) -> int:
            return 7

    class Real:  # as numpy.float32 is
        def __float__(self) -> float:
            return 7.5

    assert type(getattr(cls(**{name: Whole()}), name)) is int
    if (cls, name) in DURATIONS:
        kept = getattr(cls(**{name: Real()}), name)
        assert (type(kept), kept) == (float, 7.5)


def test_max_interval_cannot_be_below_min_interval():
    assert Polling(min_interval=5, max_interval=5).max_interval == 5
    said = refusal(Polling, min_interval=5, max_interval=4.9)
    assert said == "Polling(max_interval=4.9) is below min_interval=5"


@pytest.mark.parametrize("cls", CLASSES)
def test_options_are_frozen_values_with_keyword_arguments(cls):
    options = cls()
    assert options == cls()
    assert hash(options) == hash(cls())
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(TypeError):
        cls(1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(options, attrs.fields(cls)[0].name, 1)


def test_the_default_polling_intervals_are_moderate():
    polling = Polling()
    assert 0.1 <= polling.min_interval <= 2
    assert 10 <= polling.max_interval <= 300


@pytest.mark.parametrize("value", ["machine", "", None, 1, ["journal"]])
def test_a_choice_names_its_values(value):
    assert 'must be "session" or "journal"' in refusal(Limits, scope=value)
