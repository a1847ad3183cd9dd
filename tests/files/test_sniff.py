"""The bytes of a file tell its format, whether it is an error page, and whether it is complete."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foxapi_async.files.sniff import (
    HEAD,
    TAIL,
    content_type_of,
    extension_for,
    is_whole,
    objection,
    recognise,
    same_extension,
)


def picture(kind):
    buffer = io.BytesIO()
    Image.effect_noise((200, 200), 80).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


PICTURES = {kind: picture(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")}
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>\n'
HEADS = {
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1",
    "mp4": b"\0\0\0\x18ftypisom\0\0\x02\0isommp42",
    "mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
    "m4a": b"\0\0\0\x18ftypM4A \0\0\0\0isom",
    "webm": b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm",
    "mkv": b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska",
    "wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "mp3": b"ID3\x04",
    "ogg": b"OggS",
    "flac": b"fLaC",
    "pdf": b"%PDF-1.7",
    "zip": b"PK\x03\x04",
    "svg": SVG,
}
PAGES = [
    b"<!DOCTYPE html><html>",
    b"\xef\xbb\xbf\n <HTML>",
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    b'{"error": {"message": "no"}}',
    b" [1, 2]",
]


def ends(content):
    return content[:HEAD], content[-TAIL:], len(content)


@pytest.mark.parametrize(
    ("kind", "extension"),
    [
        ("PNG", "png"),
        ("JPEG", "jpg"),
        ("WEBP", "webp"),
        ("GIF", "gif"),
        ("BMP", "bmp"),
        ("TIFF", "tif"),
    ],
)
def test_a_real_picture_is_recognised_and_accepted(kind, extension):
    head = PICTURES[kind][:HEAD]
    known = recognise(head)
    assert known is not None
    assert (known.extension, known.is_image) == (extension, True)
    assert objection("image", head) is None
    assert objection(None, head) is None


@pytest.mark.parametrize("extension", HEADS)
def test_other_formats_are_recognised(extension):
    known = recognise(HEADS[extension])
    assert known is not None
    assert known.extension == extension
    assert (objection("image", HEADS[extension]) is None) == known.is_image


def test_compatible_brands_tell_avif_from_heic():
    assert recognise(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif").extension == "avif"
    assert recognise(b"\0\0\0\x18ftypmif1\0\0\0\0mif1").extension == "heic"


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("kind", ["image", "video", "audio", None])
def test_an_error_page_is_not_an_output(page, kind):
    assert objection(kind, page) in {"it is JSON", "it is a page of HTML or XML"}


def test_a_document_may_be_text():
    assert objection("document", b'{"pages": []}') is None
    assert objection("document", b"<html>") is None


def test_unknown_bytes_are_no_image_but_may_be_any_other_kind():
    assert objection("image", b"\x00\x01\x02") == "it is no known image format"
    assert objection("video", b"\x00\x01\x02") is None
    assert objection(None, b"\x00\x01\x02") is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@given(data=st.data())
def test_a_picture_without_its_end_is_not_whole(kind, data):
    content = PICTURES[kind]
    assert is_whole(*ends(content))
    assert is_whole(*ends(content + bytes(8)))
    cut = data.draw(st.integers(HEAD, len(content) - 2))
    assert not is_whole(*ends(content[:cut]))


def test_the_ends_of_other_formats():
    assert is_whole(*ends(PICTURES["GIF"]))
    assert not is_whole(*ends(PICTURES["GIF"][:-1] + b"\x01"))
    assert is_whole(*ends(SVG))
    assert not is_whole(*ends(SVG[:-10]))
    assert is_whole(b"who knows", b"who knows", 9)
    assert not is_whole(b"", b"", 0)


@pytest.mark.parametrize(
    ("head", "content_type", "path", "expected"),
    [
        (PICTURES["JPEG"], "image/png", "/a.png", "jpg"),
        (b"?", "audio/mpeg", "/a", "mp3"),
        (b"?", "text/vtt; charset=utf-8", "/a.txt", "vtt"),
        (b"?", None, "/a/talk.SRT", "srt"),
        (b"?", "application/octet-stream", "/model.obj", "obj"),
        (b"?", "image/png", "/a.png", "bin"),
        (b"?", None, "/a.jpeg", "bin"),
        (b"?", None, "/a.b/c", "bin"),
        (b"?", None, "/a.%2e%2e", "bin"),
    ],
)
def test_the_extension_comes_from_the_bytes_then_the_type_then_the_path(
    head, content_type, path, expected
):
    assert extension_for(head, content_type, path) == expected


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.jpg", PICTURES["PNG"], "image/png"),
        ("a.JPEG", b"?", "image/jpeg"),
        ("a.csv", b"?", "text/csv"),
        ("a", b"?", "application/octet-stream"),
        ("a.xyz", b"?", "application/octet-stream"),
    ],
)
def test_the_media_type_comes_from_the_bytes_then_the_name(name, head, expected):
    assert content_type_of(name, head) == expected


@given(st.binary(max_size=64), st.sampled_from(["image", "video", "document", None]))
def test_any_bytes_can_be_checked(head, kind):
    recognise(head)
    objection(kind, head)
    is_whole(head, head, len(head))


def test_spellings_of_one_format_are_the_same():
    assert same_extension("JPEG", "jpg") is True
    assert same_extension("png", "jpg") is False
    assert same_extension("5", "jpg") is None
