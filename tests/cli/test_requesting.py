"""From options to a request."""

from __future__ import annotations

import io

import pytest

from foxapi_async import GenerationRequest, InvalidRequestError, PhotaImage
from foxapi_async.cli.requesting import Asked, parameters, prompt_from


def test_only_what_was_said_is_sent():
    assert Asked("a fox").request() == PhotaImage("a fox")
    asked = Asked("a fox", outputs=2, aspect_ratio="3:4", resolution="4K")
    assert asked.request() == PhotaImage(
        "a fox", num_outputs=2, aspect_ratio="3:4", resolution="4K"
    )
    assert Asked("a fox", model="gpt-image-2").request().payload() == {
        "model": "gpt-image-2",
        "prompt": "a fox",
    }


def test_parameters_reach_any_model_and_the_kind_decides_the_path():
    asked = Asked(None, model="suno-v5", kind="audio", params=["lyrics=la la", "seed=7"])
    request = asked.request()
    assert isinstance(request, GenerationRequest)
    assert request.payload() == {"model": "suno-v5", "lyrics": "la la", "seed": 7}
    assert request.path == "/v1/audios/generations"
    assert Asked("x", params=["aspect_ratio=5:4"]).request().payload() == {
        "model": "phota-image",
        "prompt": "x",
        "aspect_ratio": "5:4",
    }


def test_a_value_is_json_or_text():
    given = ["a=1", 'b={"c": [true]}', "d=1:1", "e=", 'f="1"', "g=a=b", "h=null"]
    assert parameters(given) == {
        "a": 1,
        "b": {"c": [True]},
        "d": "1:1",
        "e": "",
        "f": "1",
        "g": "a=b",
        "h": None,
    }


@pytest.mark.parametrize("given", [["a"], ["=1"], ["a={"], ['a="x'], ["a=1", "a=2"]])
def test_a_parameter_that_cannot_be_meant_is_refused(given):
    with pytest.raises(InvalidRequestError):
        parameters(given)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(None), "a prompt is needed"),
        (Asked("  "), "prompt is"),
        (Asked("x", outputs=0), "num_outputs is 0"),
        (Asked("x", resolution="2K"), "--param resolution=2K"),
    ],
)
def test_what_cannot_be_right_is_refused_in_the_words_of_the_command_line(asked, words):
    with pytest.raises(InvalidRequestError, match=words):
        asked.request()


def test_a_dash_reads_the_prompt_from_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a fox\nin the snow\n"))
    assert prompt_from("-") == "a fox\nin the snow"
    assert prompt_from("a fox") == "a fox"
    assert prompt_from(None) is None
    monkeypatch.setattr("sys.stdin", None)
    assert prompt_from("-") == ""
