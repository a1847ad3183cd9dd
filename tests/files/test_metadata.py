"""The prompt in the metadata of a picture: tools find it, the pixels stay, and damaged files are refused."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foxapi_async.files.metadata import NotEmbeddableError, embedded

REQUEST = {"model": "phota-image", "request": {"prompt": "x & <y>", "n": 1}}
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG"},
    "progressive jpeg": {"format": "JPEG", "progressive": True},
    "webp": {"format": "WEBP"},
    "lossless webp": {"format": "WEBP", "lossless": True},
}


def drawn(options: dict[str, Any], mode: str = "RGB", size: tuple[int, int] = (33, 17)) -> bytes:
    picture = Image.effect_noise(size, 80).convert(mode)
    if mode == "RGBA":
        picture.putalpha(picture.convert("L"))
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def put(content: bytes, prompt: str = "a fox", request: dict[str, Any] = REQUEST) -> bytes:
    return b"".join(embedded(content, prompt, request))


PICTURES = {name: drawn(options) for name, options in FORMATS.items()}
PICTURES["transparent webp"] = drawn({"format": "WEBP", "lossless": True}, "RGBA")
EXIF = Image.Exif()
EXIF[0x010E] = "described by another program"
PICTURES["extended webp"] = drawn({"format": "WEBP", "exif": EXIF})
PICTURES["jpeg with exif"] = drawn({"format": "JPEG", "exif": EXIF})


def xmp_of(picture: Image.Image) -> tuple[str | None, str, str | None]:
    """Return description, prompt and request of the XMP packet, as an XML parser reads them."""
    packet = picture.info["xmp"]
    root = ET.fromstring(packet.strip(b"\0"))
    names = {"dc": "http://purl.org/dc/elements/1.1/", "f": "urn:foxapi-async:request#",
             "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#"}  # fmt: skip
    prompt = root.findtext(".//f:prompt", namespaces=names)
    assert prompt is not None
    return (
        root.findtext(".//dc:description/rdf:Alt/rdf:li", namespaces=names),
        prompt,
        root.findtext(".//f:request", namespaces=names),
    )


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("prompt", ["a fox", "ein Fuchs & <Hase>\n🦊\x01\0\ud800"])
def test_the_prompt_is_found_and_the_pixels_stay(name: str, prompt: str):
    before = opened(PICTURES[name])
    after = opened(put(PICTURES[name], prompt))
    assert (after.mode, after.size, after.tobytes()) == (before.mode, before.size, before.tobytes())
    shown = prompt.replace("\0", "\ufffd").replace("\ud800", "?")
    if name == "png":
        assert after.info["parameters"] == after.info["Description"] == shown
        assert json.loads(after.info["foxapi"]) == REQUEST
        return
    shown = prompt.replace("\0", "\ufffd").replace("\x01", "\ufffd").replace("\ud800", "\ufffd")
    description, found, request = xmp_of(after)
    assert description == found == shown
    assert json.loads(request or "") == REQUEST
    assert after.info.get("exif") == before.info.get("exif")


@given(st.sampled_from(sorted(PICTURES)), st.text(), st.dictionaries(st.text(), st.text()))
def test_any_prompt_can_be_embedded_and_says_the_same_each_time(name, prompt, request):
    content = put(PICTURES[name], prompt, request)
    assert content == put(PICTURES[name], prompt, request)
    assert opened(content).tobytes() == opened(PICTURES[name]).tobytes()


@given(st.sampled_from(sorted(PICTURES)), st.data())
def test_a_damaged_picture_is_refused_or_keeps_every_byte(name: str, data: st.DataObject):
    content = bytearray(PICTURES[name])
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    damaged = bytes(content)
    try:
        made = put(damaged)
    except NotEmbeddableError:
        return
    # Whatever was not understood is still there, at the end of the file.
    assert made.endswith(damaged[-8:]) or b"XMP " in made
    assert len(made) > len(damaged)


def test_existing_xmp_is_extended_and_keeps_what_it_says():
    own = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf'
           b'-syntax-ns#"><rdf:Description rdf:about="uuid:1" xmlns:t="urn:t#"><t:aigc>{"Label":"1"}'
           b"</t:aigc></rdf:Description></rdf:RDF></x:xmpmeta>")  # fmt: skip
    for form in ("JPEG", "WEBP"):
        made = opened(put(drawn({"format": form, "xmp": own})))
        assert xmp_of(made)[:2] == ("a fox", "a fox")
        assert b'{"Label":"1"}' in made.info["xmp"]
        assert made.info["xmp"].count(b'rdf:about="uuid:1"') == 2
        described = own.replace(b"<t:aigc>", b"<t:dc:description/><t:aigc>")
        strange = drawn({"format": form, "xmp": described.replace(b"</rdf:RDF>", b"")})
        with pytest.raises(NotEmbeddableError, match="cannot be extended"):
            put(strange)


def test_a_jpeg_has_room_for_64_kib():
    request = {"request": "r" * 60_000}
    assert xmp_of(opened(put(PICTURES["jpeg"], "p" * 20_000, request)))[2] is None
    with pytest.raises(NotEmbeddableError, match="too long"):
        put(PICTURES["jpeg"], "p" * 40_000, request)
    assert opened(put(PICTURES["png"], "p" * 70_000)).info["parameters"] == "p" * 70_000


def without_picture() -> bytes:
    data = b"IEND"
    return PICTURES["png"][:33] + struct.pack(">I", 0) + data + struct.pack(">I", zlib.crc32(data))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a PNG, JPEG or WebP"),
        (b"GIF89a", "not a PNG, JPEG or WebP"),
        (PICTURES["png"][:60], "incomplete"),
        (PICTURES["png"][:10], "within its header"),
        (without_picture(), "incomplete"),
        (PICTURES["jpeg"][:30], "damaged|within"),
        (b"\xff\xd8\xff\xda\0\2", "no picture"),
        (b"\xff\xd8\xff\xe0\0\2\0", "damaged"),
        (PICTURES["webp"][:40], "incomplete"),
        (b"RIFF\4\0\0\0WEBP", "no picture"),
        (b"RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0", "damaged"),
        (b"RIFF\x0c\0\0\0WEBPNONE\0\0\0\0", "damaged"),
    ],
)
def test_what_is_no_whole_picture_is_refused(content: bytes, reason: str):
    with pytest.raises(NotEmbeddableError, match=reason):
        put(content)
