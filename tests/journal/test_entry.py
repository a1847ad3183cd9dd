"""Entries, the requests that they are rebuilt into, and how requests differ."""

from __future__ import annotations

import json
import time
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.journal import Entry, JournalStatus
from foxapi_async.journal.entry import bytes_of, difference, entry_from_row, json_line, text_of
from foxapi_async.journal.operations import new_entry
from foxapi_async.phota import PhotaCreateProfile, PhotaImage, PhotaImageEdit, PhotaImageEnhance
from foxapi_async.requests import GenerationRequest, Request


def entry_of(request: Request) -> Entry:
    new = new_entry("k", request, time.time(), keyed=True)
    row = [b"k", "planned", 1, new.model, new.kind, new.path, new.payload, new.num_outputs]
    return entry_from_row([*row, None, None, None, None, None, None, 0.0, 1.5, None])


REQUESTS: list[Request] = [
    PhotaImage("a cat", num_outputs=3, aspect_ratio="3:4"),
    PhotaImageEdit("a dog", image_urls=["https://x.example/a.png"], profile_ids=["p"]),
    PhotaImageEnhance("https://x.example/a.png", creativity=0.5),
    PhotaCreateProfile("https://x.example/a.zip"),
    GenerationRequest("wan-2", {"prompt": "a film", "seed": 7}, "video"),
    GenerationRequest("phota-image", {"prompt": "a cat", "new_field": [1, None]}),
    GenerationRequest("phota-image", {"prompt": "a cat"}, "image", "/v2/images"),
    GenerationRequest("odd", {}, "sculpture", "/v9/sculptures"),
    GenerationRequest("odd \uffff", {"prompt": "\u202e \x01 \U0001f98a"}),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_is_rebuilt_so_that_it_sends_the_same(request_: Request):
    rebuilt = entry_of(request_).request
    assert rebuilt == request_
    assert type(rebuilt) is type(request_)
    assert json.dumps(rebuilt.payload()) == json.dumps(request_.payload())
    assert (rebuilt.path, rebuilt.kind) == (request_.path, request_.kind)


def test_a_phota_model_with_values_that_this_release_does_not_know_is_rebuilt_as_a_general_request():
    request = GenerationRequest("phota-image", {"prompt": "a cat", "resolution": "16K"})
    assert entry_of(request).request == request


@given(st.text(st.characters(codec=None)))
def test_any_text_survives_as_a_key(key: str):
    assert text_of(bytes_of(key)) == key


@given(st.text(st.characters(codec=None)))
def test_any_key_makes_one_line_of_json_in_ascii(key: str):
    line = json_line(attrs.evolve(entry_of(REQUESTS[0]), key=key))
    assert "\n" not in line
    assert line.isascii()
    assert json.loads(line)["key"] == key


def test_moments_are_aware():
    entry = entry_of(REQUESTS[0])
    assert entry.updated.isoformat() == "1970-01-01T00:00:01.500000+00:00"
    assert json.loads(json_line(entry))["created"] == "1970-01-01T00:00:00+00:00"
    assert entry.submitted is None


def test_an_entry_is_frozen(path: Path):
    entry = entry_of(REQUESTS[0])
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        entry.status = JournalStatus.SAVED  # type: ignore[misc]


def test_a_huge_number_of_outputs_can_be_stored():
    assert entry_of(GenerationRequest("m", {"num_outputs": 10**30})).num_outputs == 2**63 - 1


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ""),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, ""),
        ({"a": 1}, {"a": 1.0}, "a 1 → 1.0"),
        ({"a": 1}, {"a": True}, "a 1 → true"),
        ({"a": None}, {}, "a null → nothing"),
        ({}, {"a": "b"}, 'a nothing → "b"'),
        ({"a": "x" * 1000}, {"a": "y" * 1000}, f'a "{"x" * 79}… → "{"y" * 79}…'),
    ],
)
def test_a_difference_is_shown_field_by_field(before: dict, now: dict, said: str):
    assert difference("/p", before, "/p", now) == said


def test_another_path_is_another_request():
    assert difference("/v1/a", {}, "/v1/b", {}) == 'path "/v1/a" → "/v1/b"'
