"""The requests of the PHOTA models: their payloads, and the values that they reject."""

from __future__ import annotations

import pickle
import time

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import (
    InvalidRequestError,
    PhotaCreateProfile,
    PhotaImage,
    PhotaImageEdit,
    PhotaImageEnhance,
)

URL = "https://files.example/face.png"
EDIT = {"image_urls": [URL]}

ASPECT_RATIOS = ["1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9"]
RESOLUTIONS = ["1K", "4K"]

ONE_OF_EACH = [
    PhotaImage("a fox", num_outputs=2, resolution="4K", aspect_ratio="3:4"),
    PhotaImageEdit("a hat", image_urls=[URL], num_outputs=2, profile_ids=["pf_1"]),
    PhotaImageEnhance(URL, creativity=0.5, resemblance=1, profile_ids=["pf_1"]),
    PhotaCreateProfile("https://files.example/me.zip"),
]


def refusal(make: type, *args: object, **kwargs: object) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as refused:
        make(*args, **kwargs)
    return refused.value


@pytest.mark.parametrize(
    ("request_", "payload"),
    [
        (
            PhotaImage("a fox"),
            {
                "model": "phota-image",
                "prompt": "a fox",
                "num_outputs": 1,
                "resolution": "1K",
                "aspect_ratio": "1:1",
            },
        ),
        (
            PhotaImage("a fox", num_outputs=4, resolution="4K", aspect_ratio="9:16"),
            {
                "model": "phota-image",
                "prompt": "a fox",
                "num_outputs": 4,
                "resolution": "4K",
                "aspect_ratio": "9:16",
            },
        ),
        (
            PhotaImageEdit("a hat", image_urls=[URL]),
            {
                "model": "phota-image-edit",
                "prompt": "a hat",
                "image_urls": [URL],
                "num_outputs": 1,
                "resolution": "1K",
            },
        ),
        (
            PhotaImageEdit("a hat", image_urls=(URL, URL), num_outputs=2, profile_ids=("pf_1",)),
            {
                "model": "phota-image-edit",
                "prompt": "a hat",
                "image_urls": [URL, URL],
                "num_outputs": 2,
                "resolution": "1K",
                "profile_ids": ["pf_1"],
            },
        ),
        (
            PhotaImageEnhance(URL),
            {"model": "phota-image-enhance", "image_url": URL, "resolution": "4K"},
        ),
        (
            PhotaImageEnhance(URL, resolution="1K", creativity=0, resemblance=0.5, profile_ids=[]),
            {
                "model": "phota-image-enhance",
                "image_url": URL,
                "resolution": "1K",
                "creativity": 0,
                "resemblance": 0.5,
                "profile_ids": [],
            },
        ),
        (
            PhotaCreateProfile(URL),
            {"model": "phota-create-profile", "image_archive_url": URL},
        ),
    ],
    ids=lambda value: value["model"] if isinstance(value, dict) else "",
)
def test_exactly_the_documented_fields_are_sent(request_, payload):
    assert request_.payload() == payload
    assert request_.model == payload["model"]
    assert request_.num_outputs == payload.get("num_outputs", 1)
    assert (request_.kind, request_.path) == ("image", "/v1/images/generations")


@pytest.mark.parametrize("request_", ONE_OF_EACH, ids=lambda value: value.model)
def test_a_request_is_a_value(request_):
    twin = attrs.evolve(request_)
    assert (twin, hash(twin)) == (request_, hash(request_))
    assert pickle.loads(pickle.dumps(request_)) == request_
    assert len({request_, twin}) == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request_.prompt = "other"
    request_.payload()["prompt"] = "other"
    assert request_ == twin
    assert request_.payload() == twin.payload()


def test_later_changes_by_the_caller_have_no_effect():
    urls, profiles = [URL], ["pf_1"]
    request = PhotaImageEdit("a hat", image_urls=urls, profile_ids=profiles)
    urls.append("https://files.example/other.png")
    profiles.clear()
    request.payload()["image_urls"].clear()
    assert request.payload()["image_urls"] == [URL]
    assert request.payload()["profile_ids"] == ["pf_1"]


def test_any_iterable_of_urls_is_accepted():
    request = PhotaImageEdit(
        "a hat", image_urls=(url for url in [URL]), profile_ids={"pf_1": 0}.keys()
    )
    assert (request.image_urls, request.profile_ids) == ((URL,), ("pf_1",))


def test_only_the_first_field_is_positional():
    for make in (PhotaImage, PhotaImageEdit, PhotaImageEnhance, PhotaCreateProfile):
        with pytest.raises(TypeError):
            make("https://a.example/", 2)


@pytest.mark.parametrize("make", [PhotaImage, lambda prompt: PhotaImageEdit(prompt, **EDIT)])
@pytest.mark.parametrize("prompt", ["", " \n\t", None, 5, ["a fox"], b"a fox"])
def test_a_blank_prompt_is_rejected(make, prompt):
    error = refusal(make, prompt)
    assert (error.field, error.value) == ("prompt", prompt)
    assert str(error) == f"prompt is {prompt!r}; it must be a text that is not empty"


@pytest.mark.parametrize("outputs", [0, -3, 1.0, 2.5, True, "4", None])
def test_an_invalid_number_of_outputs_is_rejected(outputs):
    for error in (
        refusal(PhotaImage, "a fox", num_outputs=outputs),
        refusal(PhotaImageEdit, "a fox", **EDIT, num_outputs=outputs),
    ):
        assert (error.field, error.value) == ("num_outputs", outputs)
        assert str(error) == f"num_outputs is {outputs!r}; it must be a whole number of at least 1"


@given(st.integers(1, 10**12))
def test_the_number_of_outputs_has_no_upper_bound(outputs):
    assert PhotaImage("a fox", num_outputs=outputs).num_outputs == outputs


def test_every_documented_value_is_accepted():
    for resolution in RESOLUTIONS:
        assert PhotaImageEdit("a hat", **EDIT, resolution=resolution).resolution == resolution
        assert PhotaImageEnhance(URL, resolution=resolution).resolution == resolution
        for ratio in ASPECT_RATIOS:
            request = PhotaImage("a fox", resolution=resolution, aspect_ratio=ratio)
            assert (request.resolution, request.aspect_ratio) == (resolution, ratio)


@pytest.mark.parametrize(
    ("make", "field", "allowed"),
    [
        (lambda value: PhotaImage("a fox", resolution=value), "resolution", RESOLUTIONS),
        (lambda value: PhotaImage("a fox", aspect_ratio=value), "aspect_ratio", ASPECT_RATIOS),
        (lambda value: PhotaImageEdit("a", **EDIT, resolution=value), "resolution", RESOLUTIONS),
        (lambda value: PhotaImageEnhance(URL, resolution=value), "resolution", RESOLUTIONS),
    ],
)
@pytest.mark.parametrize("value", ["2K", "1k", "", "21:9", None, 1, [], {}])
def test_an_unlisted_value_is_rejected_with_the_list_and_the_alternative(
    make, field, allowed, value
):
    error = refusal(make, value)
    assert (error.field, error.value) == (field, value)
    assert str(error).startswith(f"{field} is {value!r}; it must be one of ")
    for choice in allowed:
        assert repr(choice) in str(error)
    assert "GenerationRequest(model, params)" in str(error)


@pytest.mark.parametrize("field", ["creativity", "resemblance"])
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf"), True, "0.5", [0.5]])
def test_a_strength_outside_of_0_to_1_is_rejected(field, value):
    error = refusal(PhotaImageEnhance, URL, **{field: value})
    assert error.field == field
    assert str(error) == f"{field} is {value!r}; it must be a number from 0 to 1, or None"


@given(st.floats(0, 1) | st.integers(0, 1) | st.none())
def test_a_strength_from_0_to_1_is_sent_unchanged(value):
    payload = PhotaImageEnhance(URL, creativity=value).payload()
    assert ("creativity" in payload) is (value is not None)
    assert payload.get("creativity") == value


NO_URLS = [
    *("", "face.png", "/tmp/face.png", "file:///face.png", "ftp://a.example/x", "https://", "http:///x"),
    *("https://a.example/a b.png", "https://a.example/\n", "https://[::1", "data:image/png;base64,AA"),
    *(None, 5, b"https://a.example/x", {}),
]  # fmt: skip


@pytest.mark.parametrize("value", NO_URLS)
def test_a_value_that_is_not_a_url_is_rejected_with_a_way_to_get_one(value):
    for error, field in (
        (refusal(PhotaImageEnhance, value), "image_url"),
        (refusal(PhotaCreateProfile, value), "image_archive_url"),
        (refusal(PhotaImageEdit, "a hat", image_urls=[URL, value]), "image_urls[1]"),
    ):
        assert (error.field, error.value) == (field, value)
        assert str(error).startswith(f"{field} is {value!r}; it must be a public http(s) URL")
        assert "session.upload" in str(error)


@pytest.mark.parametrize("urls", [[], (), None, URL, URL.encode(), 5, {URL: 1}])
def test_a_value_that_is_not_a_list_of_urls_is_rejected(urls):
    error = refusal(PhotaImageEdit, "a hat", image_urls=urls)
    assert error.field == "image_urls"
    assert "a list of at least one URL" in str(error)


@pytest.mark.parametrize("make", [lambda ids: PhotaImageEdit("a", **EDIT, profile_ids=ids),
                                  lambda ids: PhotaImageEnhance(URL, profile_ids=ids)])  # fmt: skip
def test_profiles_that_are_not_ids_are_rejected(make):
    assert refusal(make, "pf_1").field == "profile_ids"
    assert refusal(make, 5).field == "profile_ids"
    assert "a list of profile ids" in str(refusal(make, {"pf_1": 1}))
    for value in ("", " ", None, 5):
        error = refusal(make, ["pf_1", value])
        assert (error.field, error.value) == ("profile_ids[1]", value)


@pytest.mark.parametrize(
    ("prompt", "ids"),
    [
        ("a fox", ()),
        ("… [[abc]] …", ("abc",)),
        ("[[pf_2]] beside [[pf_1]] and again [[pf_2]]", ("pf_2", "pf_1")),
        ("[[ spaced id ]]", ("spaced id",)),
        ("[[]] [[ ]] [a] [[b] [c]]", ()),
        ("[[[abc]]]", ("abc",)),
        ("[[a]][[b]]", ("a", "b")),
        ("[[line\nbreak]]", ("line\nbreak",)),
    ],
)
def test_the_profiles_of_a_prompt_are_found_once_each_and_in_order(prompt, ids):
    assert PhotaImage(prompt).profile_ids == ids


def test_a_hostile_prompt_is_parsed_in_linear_time():
    def seconds(length: int) -> float:
        requests = [PhotaImage(part * length) for part in ("[[a", "[[a ", "[[", "[[a]", "[", "]")]
        requests.append(PhotaImage("[[a" + " " * length))
        began = time.process_time()
        for request in requests:
            assert len(request.profile_ids) <= 1
        return time.process_time() - began

    short = min(seconds(20_000) for _ in range(3))
    # Twenty times the length, squared, would be four hundred times the work.
    assert min(seconds(400_000) for _ in range(2)) < 100 * short
