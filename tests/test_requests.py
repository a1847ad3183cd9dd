"""GenerationRequest, and the members of every request."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from types import MappingProxyType

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import (
    GenerationRequest,
    InvalidRequestError,
    PhotaImage,
    PhotaImageEdit,
    PhotaImageEnhance,
    Request,
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=8,
)  # fmt: skip
params = st.dictionaries(
    texts.filter(lambda name: name not in {"model", "num_outputs"}), json_values, max_size=4
)


def refusal(*args: object, **kwargs: object) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as refused:
        GenerationRequest(*args, **kwargs)  # type: ignore[arg-type]
    return refused.value


@given(params)
def test_parameters_are_sent_unchanged_except_for_none(given_params):
    payload = GenerationRequest("gpt-image-2", given_params).payload()
    sent = {name: value for name, value in given_params.items() if value is not None}
    assert payload == {"model": "gpt-image-2", **sent}
    assert list(payload) == ["model", *sent]
    json.dumps(payload, allow_nan=False)


def test_without_parameters_only_the_model_is_sent():
    assert GenerationRequest("gpt-image-2").payload() == {"model": "gpt-image-2"}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("image", "/v1/images/generations"),
        ("video", "/v1/videos/generations"),
        ("audio", "/v1/audios/generations"),
        ("document", "/v1/run/generations"),
        ("llm", "/v1/llm/generations"),
    ],
)
def test_the_path_is_derived_from_the_kind(kind, path):
    assert GenerationRequest("some-model", kind=kind).path == path


def test_a_model_with_its_own_path_gets_it():
    assert GenerationRequest("suno-v4", kind="audio").path == "/v1/audio/generations"


def test_a_given_path_is_used_for_an_unknown_kind_too():
    request = GenerationRequest("m", kind="hologram", path="/v2/holograms/generations")
    assert (request.kind, request.path) == ("hologram", "/v2/holograms/generations")


def test_an_unknown_kind_without_a_path_is_rejected_with_the_known_kinds():
    error = refusal("m", kind="hologram")
    assert (error.field, error.value) == ("kind", "hologram")
    for known in ("'image'", "'video'", "'audio'", "'document'", "'llm'", "path"):
        assert known in str(error)


@pytest.mark.parametrize("kind", [None, 1, "", [], {}, ["image"], b"image"])
def test_a_kind_that_is_not_a_text_is_rejected(kind):
    assert refusal("m", kind=kind).field == "kind"
    assert refusal("m", kind=kind, path="/v1/images/generations").field == "kind"


@pytest.mark.parametrize("model", [None, 1, "", " ", [], ["phota-image"], {"model": "m"}, b"m"])
def test_a_model_that_is_not_an_id_is_rejected(model):
    error = refusal(model)
    assert (error.field, error.value) == ("model", model)
    assert repr(model) in str(error)
    assert "phota-image" in str(error)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "v1/images", "/v1/", "//evil.example", "/v1//x", "/v1/../x", "/v1/..", "/./x"),
        *(
            "/v1/x?a=1",
            "/v1/x#a",
            "/v1/a b",
            "/v1/x\n",
            "/v1/%2e%2e",
            "https://evil.example/",
            "/é",
        ),
        *(None, 1, [], b"/v1/x"),
    ],
)
def test_a_path_that_is_not_plain_is_rejected(path):
    error = refusal("m", path=path)
    assert (error.field, error.value) == ("path", path)
    assert repr(path) in str(error)


@pytest.mark.parametrize(
    "given_params", [None, [], [("a", 1)], "a=1", 7, {1: "a"}, {"a": 1, None: 2}]
)
def test_parameters_that_are_not_a_mapping_of_names_are_rejected(given_params):
    error = refusal("m", given_params)
    assert (error.field, error.value) == ("params", given_params)
    assert "must be a mapping of field names to values" in str(error)


def test_a_model_among_the_parameters_is_rejected():
    error = refusal("m", {"model": "n"})
    assert error.field == "params"
    assert "'n'" in str(error)
    assert "GenerationRequest(model" in str(error)


def nested(depth: int) -> list[object]:
    outermost: list[object] = []
    for _ in range(depth):
        outermost = [outermost]
    return outermost


def circle() -> dict[str, object]:
    outermost: dict[str, object] = {}
    outermost["again"] = outermost
    return outermost


@pytest.mark.parametrize(
    "value",
    [
        *(float("nan"), float("inf"), {1, 2}, b"bytes", object(), 1j, threading.Lock()),
        *(nested(100_000), circle(), {"deeper": [float("-inf")]}, {(1, 2): 3}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_is_not_json_is_rejected_before_anything_is_billed(value):
    error = refusal("m", {"field": value})
    assert error.field == "params"
    assert "cannot be sent as JSON" in str(error)
    assert error.__cause__ is not None


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "2", [1]])
def test_an_invalid_number_of_outputs_is_rejected(value):
    error = refusal("m", {"num_outputs": value})
    assert (error.field, error.value) == ("params['num_outputs']", value)
    assert "a whole number of at least 1" in str(error)


@pytest.mark.parametrize(("given_params", "outputs"), [({}, 1), ({"num_outputs": 7}, 7)])
def test_the_number_of_outputs_is_the_parameter_or_one(given_params, outputs):
    assert GenerationRequest("m", given_params).num_outputs == outputs


def test_later_changes_by_the_caller_have_no_effect():
    prompts = ["a fox"]
    given_params = {"prompts": prompts, "size": {"width": 1}}
    request = GenerationRequest("m", given_params)
    prompts.append("a hare")
    given_params["size"] = {"width": 2}
    payload = request.payload()
    assert payload == {"model": "m", "prompts": ["a fox"], "size": {"width": 1}}
    payload["prompts"].append("a bear")
    payload["num_outputs"] = 100
    assert request.payload() == {"model": "m", "prompts": ["a fox"], "size": {"width": 1}}


class Number:
    """A number of another library, such as numpy.int64 or numpy.float32."""

    def __init__(self, value: float) -> None:
        self.value = value


class Whole(Number):
    def __index__(self) -> int:
        return int(self.value)


class Real(Number):
    def __float__(self) -> float:
        return float(self.value)


def test_numbers_of_other_types_are_sent_as_plain_ones():
    given_params = {
        "num_outputs": Whole(2),
        "size": {"width": Whole(3)},
        "at": [Real(0.5), (Whole(4),)],
    }
    request = GenerationRequest("m", given_params)
    assert type(request.num_outputs) is int
    assert json.dumps(request.payload()) == json.dumps(
        {"model": "m", "num_outputs": 2, "size": {"width": 3}, "at": [0.5, [4]]}
    )
    assert [each.num_outputs for each in request.split(Whole(1))] == [1, 1]
    assert type(PhotaImage("a fox", num_outputs=Whole(3)).payload()["num_outputs"]) is int
    enhance = PhotaImageEnhance(URL, creativity=Real(0.25), resemblance=Whole(1))
    assert (enhance.creativity, enhance.resemblance) == (0.25, 1)


URL = "https://files.example/1.png"
BAD_TEXTS = ["a\0b", "a\ud800b", "\udfff", "a\udc80", "\0"]


@pytest.mark.parametrize("bad", BAD_TEXTS)
@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda bad: PhotaImage(f"fox {bad}"), "prompt"),
        (lambda bad: PhotaImageEdit(f"fox {bad}", image_urls=[URL]), "prompt"),
        (lambda bad: PhotaImageEdit("f", image_urls=[URL, URL + bad]), "image_urls[1]"),
        (
            lambda bad: PhotaImageEdit("f", image_urls=[URL], profile_ids=[f"p{bad}"]),
            "profile_ids[0]",
        ),
        (lambda bad: PhotaImageEnhance(URL + bad), "image_url"),
        (lambda bad: GenerationRequest(f"m{bad}"), "model"),
        (lambda bad: GenerationRequest("m", kind=f"k{bad}", path="/v1/x"), "kind"),
        (lambda bad: GenerationRequest("m", {"style": bad}), "params['style']"),
        (lambda bad: GenerationRequest("m", {"a": [{"b": (1, bad)}]}), "params['a'][0]['b'][1]"),
        (lambda bad: GenerationRequest("m", {bad: 1}), "the name "),
        (lambda bad: GenerationRequest("m", {"a": {bad: 1}}), "the name "),
    ],
)
def test_a_text_that_servers_cannot_take_is_rejected_with_its_field(make, field, bad):
    with pytest.raises(InvalidRequestError) as refused:
        make(bad)
    assert str(refused.value).startswith(field)
    str(refused.value).encode()
    assert "\0" not in str(refused.value)


def test_emoji_and_controls_other_than_nul_are_sent():
    prompt = "🦊 \x01 \u202e \uffff 狐 \\u0000 \\ud800"
    assert PhotaImage(prompt).payload()["prompt"] == prompt


def test_any_mapping_is_accepted():
    request = GenerationRequest("m", MappingProxyType({"prompt": "a fox"}))
    assert request.payload() == {"model": "m", "prompt": "a fox"}


@given(params)
def test_a_request_is_a_value(given_params):
    request = GenerationRequest("m", given_params, "video")
    twin = GenerationRequest("m", copy.deepcopy(given_params), "video")
    assert request == twin
    assert hash(request) == hash(twin)
    assert pickle.loads(pickle.dumps(request)) == request
    assert request != GenerationRequest("m", given_params, "image")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.model = "n"  # type: ignore[misc]


def test_requests_differ_by_their_parameters():
    assert GenerationRequest("m", {"prompt": "a"}) != GenerationRequest("m", {"prompt": "b"})


requests = st.builds(
    lambda outputs, kind: kind(outputs),
    st.integers(1, 300),
    st.sampled_from(
        [
            lambda outputs: PhotaImage("a fox", num_outputs=outputs, aspect_ratio="16:9"),
            lambda outputs: PhotaImageEdit(
                "a fox", image_urls=["https://a.example/1.png"], num_outputs=outputs
            ),
            lambda outputs: GenerationRequest(
                "m", {"prompt": "a fox", "num_outputs": outputs}, "audio", "/v1/audio/generations"
            ),
        ]
    ),
)


@given(requests, st.integers(1, 400))
def test_the_parts_of_a_request_are_equivalent_to_it(request, outputs_per_task):
    parts = request.split(outputs_per_task)
    sizes = [part.num_outputs for part in parts]
    assert sum(sizes) == request.num_outputs
    assert all(1 <= size <= outputs_per_task for size in sizes)
    assert len(parts) == -(-request.num_outputs // outputs_per_task)
    for part in parts:
        assert type(part) is type(request)
        assert (part.path, part.kind) == (request.path, request.kind)
        assert {**part.payload(), "num_outputs": request.num_outputs} == request.payload()


def test_a_request_is_split_into_single_outputs_by_default():
    assert PhotaImage("a fox", num_outputs=3).split() == [PhotaImage("a fox")] * 3


def test_a_request_that_need_not_be_split_is_its_only_part():
    request = GenerationRequest("m")
    assert request.split() == [request]
    assert request.split()[0].payload() == {"model": "m"}


@pytest.mark.parametrize("outputs_per_task", [0, -1, 1.5, True, "2", None])
def test_an_invalid_size_of_parts_is_rejected(outputs_per_task):
    with pytest.raises(InvalidRequestError, match="outputs_per_task is") as refused:
        PhotaImage("a fox").split(outputs_per_task)
    assert refused.value.field == "outputs_per_task"


def test_a_custom_request_must_implement_every_member():
    class Half(Request):
        @property
        def model(self) -> str:
            return "m"

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract]


def test_a_number_of_outputs_that_is_none_is_omitted():
    request = GenerationRequest("m", {"num_outputs": None})
    assert (request.num_outputs, request.payload()) == (1, {"model": "m"})
