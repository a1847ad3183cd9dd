"""Puts the prompt of a picture into the metadata of its file; the pixels stay as they are. Pure.

PNG gets text chunks, which Stable Diffusion tools read; JPEG and WebP get XMP, which photo tools read.
Only what is needed to insert a few bytes is done here, because Pillow would encode the picture again,
and libraries that would not are unmaintained or need a C++ library. Sources: the PNG specification
(section 11.3), ITU T.81, the XMP specification part 3 (JPEG), RFC 9649 (WebP).
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape

Pieces = list[bytes | memoryview]

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER: Final = len(_PNG) + 25  # The signature and the chunk IHDR

_XMP_IN_JPEG: Final = b"http://ns.adobe.com/xap/1.0/\0"
_APP0, _APP1, _START_OF_SCAN = 0xE0, 0xE1, 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LONGEST_SEGMENT: Final = 65_533  # Bytes of a JPEG segment without its length
_VP8X_HAS_ALPHA, _VP8X_HAS_XMP = 0x10, 0x04

_NAMESPACE: Final = "urn:foxapi-async:request#"
_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ABOUT: Final = re.compile(rb'rdf:about="([^"<>]*)"')
_END_OF_RDF: Final = b"</rdf:RDF>"


class NotEmbeddableError(ValueError):
    """Nothing can be put into this file; the text says why."""


def embedded(content: bytes, prompt: str, request: Mapping[str, Any]) -> Pieces:
    """Return the content of a picture with its prompt and its request as JSON in the metadata, in pieces.

    Metadata that the picture has is kept.

    Raises:
        NotEmbeddableError: It is not a PNG, JPEG or WebP, its structure is damaged, or the prompt is too
            long for its format.
    """
    try:
        if content.startswith(_PNG):
            return _embedded_in_png(content, prompt, _json(request))
        if content.startswith(b"\xff\xd8\xff"):
            return _embedded_in_jpeg(content, prompt, _json(request))
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _embedded_in_webp(content, prompt, _json(request))
    except (struct.error, IndexError) as error:
        raise NotEmbeddableError("the file ends within its header") from error
    raise NotEmbeddableError("the file is not a PNG, JPEG or WebP")


def _json(request: Mapping[str, Any]) -> str:
    return json.dumps(request, sort_keys=True)


def _embedded_in_png(content: bytes, prompt: str, request: str) -> Pieces:
    kinds = [kind for kind, _ in _png_chunks(content)]
    if kinds[0] != b"IHDR" or kinds[-1] != b"IEND" or b"IDAT" not in kinds:
        raise NotEmbeddableError("the chunks of the PNG are incomplete")
    # "parameters" is what Stable Diffusion tools show, "Description" a keyword of the PNG standard.
    texts = {"parameters": prompt, "Description": prompt, "foxapi": request}
    whole = memoryview(content)
    chunks = [_text_chunk(keyword, text) for keyword, text in texts.items()]
    return [whole[:_PNG_HEADER], *chunks, whole[_PNG_HEADER:]]


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int]]:
    place = len(_PNG)
    while True:
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if end > len(content) or (kind == b"IHDR" and end != _PNG_HEADER):
            raise NotEmbeddableError("the chunks of the PNG are incomplete")
        yield kind, place
        if kind == b"IEND":
            return
        place = end


def _text_chunk(keyword: str, text: str) -> bytes:
    value = text.replace("\0", "\ufffd").encode("utf-8", "replace")
    # No compression, language or translated keyword.
    data = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + value
    return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


class _Segment(NamedTuple):
    marker: int
    start: int
    end: int


def _embedded_in_jpeg(content: bytes, prompt: str, request: str) -> Pieces:
    segments = list(_jpeg_segments(content))
    if not any(each.marker in _FRAMES for each in segments):
        raise NotEmbeddableError("the JPEG has no picture")
    found = [s for s in segments if content.startswith(_XMP_IN_JPEG, s.start + 4)]
    if len(found) > 1:
        raise NotEmbeddableError("the JPEG has several XMP packets")
    old = b""
    if found:
        old = content[found[0].start + 4 + len(_XMP_IN_JPEG) : found[0].end]
    most = _LONGEST_SEGMENT - len(_XMP_IN_JPEG)
    packet = _packet(old, prompt, request)
    if len(packet) > most:
        packet = _packet(old, prompt, None)
    if len(packet) > most:
        raise NotEmbeddableError("the prompt is too long for the metadata of a JPEG (64 KiB)")
    data = _XMP_IN_JPEG + packet
    segment = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
    if found:
        start, end = found[0].start, found[0].end
    else:
        start = end = _after_headers(content, segments)
    whole = memoryview(content)
    return [whole[:start], segment, whole[end:]]


def _after_headers(content: bytes, segments: list[_Segment]) -> int:
    """Return the place behind JFIF and Exif, which must come first."""
    place = 2
    for each in segments:
        is_exif = each.marker == _APP1 and content.startswith(b"Exif\0", each.start + 4)
        if each.marker != _APP0 and not is_exif:
            break
        place = each.end
    return place


def _jpeg_segments(content: bytes) -> Iterator[_Segment]:
    """Yield the segments up to the first scan."""
    place = 2
    while True:
        if content[place] != 0xFF:  # noqa: PLR2004 - every marker begins with it
            raise NotEmbeddableError("the segments of the JPEG are damaged")
        while content[place + 1] == 0xFF:  # noqa: PLR2004 - fill bytes
            place += 1
        marker = content[place + 1]
        (length,) = struct.unpack_from(">H", content, place + 2)
        end = place + 2 + length
        if marker < 0xC0 or 0xD0 <= marker <= 0xD9 or length < 2 or end > len(content):  # noqa: PLR2004
            raise NotEmbeddableError("the segments of the JPEG are damaged")
        if marker == _START_OF_SCAN:
            return
        yield _Segment(marker, place, end)
        place = end


def _embedded_in_webp(content: bytes, prompt: str, request: str) -> Pieces:
    (size,) = struct.unpack_from("<I", content, 4)
    end = 8 + size
    if end > len(content):
        raise NotEmbeddableError("the WebP is incomplete")
    chunks = list(_riff_chunks(content, end))
    whole = memoryview(content)
    kept: Pieces = [whole[start:stop] for name, start, stop in chunks if name != b"XMP "]
    old = [content[start + 8 : stop] for name, start, stop in chunks if name == b"XMP "]
    if len(old) > 1:
        raise NotEmbeddableError("the WebP has several XMP packets")
    first, place, stop = chunks[0]
    if first == b"VP8X":
        header = bytearray(content[place:stop])
        header[8] |= _VP8X_HAS_XMP
        kept[0] = bytes(header)
    else:
        kept.insert(0, _extended_header(first, content[place + 8 : stop]))
    packet = _packet(old[0].rstrip(b"\0") if old else b"", prompt, request)
    kept.append(b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) % 2))
    length = 4 + sum(map(len, kept))
    return [b"RIFF" + struct.pack("<I", length) + b"WEBP", *kept, whole[end:]]


def _riff_chunks(content: bytes, end: int) -> Iterator[tuple[bytes, int, int]]:
    place = 12
    while place < end:
        name, length = struct.unpack_from("<4sI", content, place)
        stop = place + 8 + length + length % 2
        if stop > end:
            raise NotEmbeddableError("the chunks of the WebP are incomplete")
        yield name, place, stop
        place = stop
    if place == 12:  # noqa: PLR2004 - the header
        raise NotEmbeddableError("the WebP has no picture")


def _extended_header(name: bytes, data: bytes) -> bytes:
    """Return the chunk VP8X that a simple WebP needs before it can have metadata."""
    flags = _VP8X_HAS_XMP
    width: int
    height: int
    if name == b"VP8 ":
        if data[3:6] != b"\x9d\x01\x2a":
            raise NotEmbeddableError("the header of the WebP is damaged")
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 6))
    elif name == b"VP8L" and data[:1] == b"\x2f":
        (bits,) = struct.unpack_from("<I", data, 1)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags |= _VP8X_HAS_ALPHA if bits >> 28 & 1 else 0
    else:
        raise NotEmbeddableError("the header of the WebP is damaged")
    if not width or not height:
        raise NotEmbeddableError("the header of the WebP is damaged")
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X" + struct.pack("<II", 10, flags) + sides


def _packet(old: bytes, prompt: str, request: str | None) -> bytes:
    """Return an XMP packet with the prompt, added to what an old packet says."""
    about, description = b"", b"dc:description" not in old
    if old:
        if old.count(_END_OF_RDF) != 1 or _NAMESPACE.encode() in old:
            raise NotEmbeddableError("the picture has XMP metadata that cannot be extended")
        match = _ABOUT.search(old)
        about = b"" if match is None else match[1]
    prompt_of_request = "" if request is None else f"<f:request>{_xml(request)}</f:request>"
    described = (
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{_xml(prompt)}</rdf:li></rdf:Alt>'
        "</dc:description>"
    )
    added = (
        b'<rdf:Description xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" rdf:about="'
        + about
        + f'" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:f="{_NAMESPACE}">'.encode()
        + (described if description else "").encode()
        + f"<f:prompt>{_xml(prompt)}</f:prompt>{prompt_of_request}</rdf:Description>".encode()
    )
    if old:
        return old.replace(_END_OF_RDF, added + _END_OF_RDF)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    ).encode() + (added + _END_OF_RDF + b'</x:xmpmeta><?xpacket end="w"?>')


def _xml(text: str) -> str:
    # XML turns a bare carriage return into a line feed.
    return escape(_NOT_IN_XML.sub("\ufffd", text), {"\r": "&#13;"})
