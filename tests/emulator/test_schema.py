"""Which submissions are taken."""

from __future__ import annotations

import pytest

from foxapi_async.emulator.schema import check, outputs

IMAGES = "/v1/images/generations"
FOX = {"model": "phota-image", "prompt": "a fox"}
EDIT = {"model": "phota-image-edit", "prompt": "x", "image_urls": ["https://a.example/1.png"]}
ENHANCE = {"model": "phota-image-enhance", "image_url": "https://a.example/1.png"}
PROFILE = {"model": "phota-create-profile", "image_archive_url": "https://a.example/1.zip"}


@pytest.mark.parametrize(
    "payload",
    [
        FOX,
        FOX | {"num_outputs": 4, "resolution": "4K", "aspect_ratio": "9:16"},
        EDIT,
        EDIT | {"num_outputs": 2, "resolution": "4K", "profile_ids": ["pf_1"]},
        ENHANCE,
        ENHANCE | {"resolution": "1K", "creativity": 0.5, "resemblance": 1, "profile_ids": []},
        PROFILE,
        {"model": "gpt-image-2", "prompt": "x", "anything": {"goes": True}, "num_outputs": 9},
    ],
)
def test_what_the_reference_lists_is_taken(payload):
    assert check(IMAGES, payload) is None


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({}, "model"),
        ({"model": 3}, "model"),
        ({"model": "phota-image"}, "prompt"),
        (FOX | {"prompt": " "}, "prompt"),
        (FOX | {"prompt": 3}, "prompt"),
        (FOX | {"seed": 1}, "seed"),
        (FOX | {"num_outputs": 0}, "num_outputs"),
        (FOX | {"num_outputs": True}, "num_outputs"),
        (FOX | {"num_outputs": "2"}, "num_outputs"),
        (FOX | {"num_outputs": None}, "num_outputs"),
        (FOX | {"resolution": "2K"}, "resolution"),
        (FOX | {"aspect_ratio": "5:4"}, "aspect_ratio"),
        (EDIT | {"aspect_ratio": "1:1"}, "aspect_ratio"),
        (EDIT | {"image_urls": []}, "image_urls"),
        (EDIT | {"image_urls": "https://a.example"}, "image_urls"),
        (EDIT | {"image_urls": ["https://a.example", 3]}, "image_urls"),
        (EDIT | {"image_urls": ["data:image/png;base64,AA"]}, "image_urls"),
        (EDIT | {"profile_ids": "pf_1"}, "profile_ids"),
        (ENHANCE | {"creativity": 1.5}, "creativity"),
        (ENHANCE | {"resemblance": True}, "resemblance"),
        (PROFILE | {"prompt": "x"}, "prompt"),
        ({"model": "gpt-image-2", "num_outputs": "many"}, "num_outputs"),
    ],
)
def test_what_is_not_listed_is_refused_with_its_name(payload, word):
    refusal = check(IMAGES, payload)
    assert refusal is not None
    assert refusal.status == 422
    assert word in refusal.message


def test_a_model_is_served_on_its_own_path_only():
    film = check("/v1/videos/generations", FOX)
    assert film is not None
    assert film.code == "model_not_found"
    song = check("/v1/audios/generations", {"model": "suno-v4"})
    assert song is not None
    assert song.status == 404
    assert check("/v1/audio/generations", {"model": "suno-v4"}) is None


def test_a_missing_count_is_one():
    assert outputs(FOX) == 1
    assert outputs(FOX | {"num_outputs": 3}) == 3
