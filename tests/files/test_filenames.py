"""Any text becomes a file name that stays in its folder and is legal on every system."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxapi_async.files.filenames import MAX_NAME, clean, file_name, numbered, safe_name

anything = st.text(st.characters(exclude_categories=())) | st.text(
    "./\\ ~-:conula1²\0\n", max_size=8
)

DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    port + number for port in ("COM", "LPT") for number in "0123456789¹²³"
}


def check_is_safe(name):
    assert name
    assert name not in {".", ".."}
    assert len(name.encode("utf-8")) <= MAX_NAME
    assert not set(name) & set('/\\<>:"|?*')
    assert all(ord(c) >= 32 and ord(c) != 127 for c in name)
    assert name[0] not in ". -"
    assert name[-1] not in ". "
    assert name.partition(".")[0].rstrip(" ").upper() not in DEVICES
    assert Path("folder", name).parent == Path("folder")


@given(anything)
@example("")
@example(".")
@example("..")
@example("../../etc/passwd")
@example("CON")
@example("nul.txt")
@example("Com1 .tar.gz")
@example("a" * 300)
@example("🦊" * 300)
@example("\ud800")
@example("a\u202egpj.exe")
@example("x" * 149 + ". ")
@example("con" + " " * 200 + ".x")
def test_every_text_becomes_a_safe_name(text):
    check_is_safe(safe_name(text))
    check_is_safe(clean(text))


@given(anything, anything)
@example("a/b", "a_b")
@example("a/b", safe_name("a/b"))
@example("\ud800", "\ud801")
@example("a" * 300, "a" * 301)
def test_distinct_texts_have_distinct_names(one, other):
    assert (safe_name(one) == safe_name(other)) == (one == other)


@pytest.mark.parametrize(
    "text", ["portrait", "Füchsin", "狐 in snow", "🦊👩\u200d🎨", "v1.5", "task-abc-123", "a~2"]
)
def test_a_good_name_stays_as_it_is(text):
    assert safe_name(text) == text


def test_a_changed_name_still_resembles_the_text():
    assert safe_name("fox/in: snow").startswith("fox_in_ snow-")


@pytest.mark.parametrize(
    ("given_name", "extension", "several", "expected"),
    [
        (None, "png", False, "task-7-3.png"),
        (None, "png", True, "task-7-3.png"),
        ("fox", "png", False, "fox.png"),
        ("fox", "png", True, "fox-3.png"),
        ("fox.png", "png", False, "fox.png"),
        ("fox.png", "webp", False, "fox.webp"),
        ("fox.PNG", "jpg", True, "fox-3.jpg"),
        ("fox.jpeg", "jpg", False, "fox.jpeg"),
        ("fox.jpeg", "png", False, "fox.png"),
        ("v1.5", "png", False, "v1.5.png"),
        ("talk.mp3", "mp3", False, "talk.mp3"),
        ("talk.mp3", "wav", False, "talk.mp3.wav"),
    ],
)
def test_the_extension_is_the_true_one(given_name, extension, several, expected):
    assert file_name(given_name, "task-7", 3, extension, several=several) == expected


def test_an_output_without_a_task_id_has_a_name():
    assert file_name(None, None, 0, "png", several=False) == "output-0.png"


def test_a_leading_dot_starts_no_extension():
    assert file_name(".png", None, 0, "png", several=False).startswith("_png-")


def test_a_number_is_put_before_the_extension():
    assert numbered("a.png", 1) == "a.png"
    assert numbered("a.png", 2) == "a~2.png"
    assert numbered("v1.5.png", 3) == "v1.5~3.png"
    assert numbered("a", 2) == "a~2"


@given(anything, st.integers(1, 10**6))
@example("con", 2)
def test_a_numbered_name_is_safe(text, number):
    check_is_safe(numbered(f"{safe_name(text[:30])}.png", number))


ENCODINGS = ("utf-8", "ascii", "latin-1", "gb18030", "euc_jp", "cp1252")


@given(st.text(max_size=200), st.sampled_from(ENCODINGS))
def test_a_name_fits_the_encoding_of_the_file_system(text, encoding):
    name = safe_name(text, encoding)
    assert 0 < len(name.encode(encoding)) <= MAX_NAME
    assert len(name.encode()) <= MAX_NAME
    assert not set(name) & set('/\\<>:"|?*')


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(ENCODINGS))
def test_distinct_texts_have_distinct_names_in_every_encoding(one, other, encoding):
    assert (one == other) == (safe_name(one, encoding) == safe_name(other, encoding))


def test_what_the_encoding_has_is_kept():
    assert safe_name("Füchse", "latin-1") == "Füchse"
    assert safe_name("狐", "utf-8") == "狐"
    assert safe_name("狐 und Füchse", "latin-1").startswith("_ und Füchse-")
