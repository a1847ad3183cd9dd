"""What the bytes of a file tell: its format, whether it is an error page, and whether it is complete.

Pure. The first `HEAD` and the last `TAIL` bytes are enough, so that no file is held in memory.
Signatures: the PNG specification (section 5), ITU T.81 (JPEG), RFC 9649 (WebP), ISO/IEC 14496-12
(``ftyp`` boxes), RFC 9559 (Matroska), RFC 3533 (Ogg), RFC 9639 (FLAC).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

HEAD: Final = 1024
TAIL: Final = 4096


class Format(NamedTuple):
    """A format that is recognised by its first bytes."""

    extension: str
    content_type: str
    is_image: bool = False


def _image(extension: str, name: str = "") -> Format:
    return Format(extension, f"image/{name or extension}", is_image=True)


_PNG = _image("png")
_JPEG = _image("jpg", "jpeg")
_WEBP = _image("webp")
_GIF = _image("gif")
_TIFF = _image("tif", "tiff")
_JXL = _image("jxl")
_AVIF = _image("avif")
_HEIC = _image("heic")
_SVG = _image("svg", "svg+xml")
_BMP = _image("bmp")
_MP3 = Format("mp3", "audio/mpeg")
_MP4 = Format("mp4", "video/mp4")
_MKV = Format("mkv", "video/x-matroska")
_WEBM = Format("webm", "video/webm")
_EBML: Final = b"\x1a\x45\xdf\xa3"
_MARKUP: Final = re.compile(rb"<(?:svg|\?xml|!--|!DOCTYPE svg)")

_BY_START: Final = (
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"\xff\xd8\xff", _JPEG),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"II*\x00", _TIFF),
    (b"MM\x00*", _TIFF),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", _JXL),
    (b"\xff\x0a", _JXL),
    (b"OggS", Format("ogg", "audio/ogg")),
    (b"fLaC", Format("flac", "audio/flac")),
    (b"ID3", _MP3),
    (b"\xff\xfb", _MP3),
    (b"\xff\xf3", _MP3),
    (b"\xff\xf2", _MP3),
    (b"%PDF-", Format("pdf", "application/pdf")),
    (b"PK\x03\x04", Format("zip", "application/zip")),
    (b"glTF", Format("glb", "model/gltf-binary")),
)
_BY_RIFF: Final = {
    b"WEBP": _WEBP,
    b"WAVE": Format("wav", "audio/wav"),
    b"AVI ": Format("avi", "video/x-msvideo"),
}
_BY_BRAND: Final = {
    b"avif": _AVIF,
    b"avis": _AVIF,
    b"heic": _HEIC,
    b"heix": _HEIC,
    b"hevc": _HEIC,
    b"qt  ": Format("mov", "video/quicktime"),
    b"M4A ": Format("m4a", "audio/mp4"),
}
_BY_TEST: Final[tuple[tuple[Format, Callable[[bytes], bool]], ...]] = (
    (_WEBM, lambda head: head.startswith(_EBML) and b"webm" in head[:64]),
    (_MKV, lambda head: head.startswith(_EBML)),
    (_BMP, lambda head: head.startswith(b"BM") and head[6:10] == bytes(4)),
    (_SVG, lambda head: bool(_MARKUP.match(_text(head))) and b"<svg" in head),
)
_BY_CONTENT_TYPE: Final = {
    "audio/mp3": "mp3",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/vtt": "vtt",
    "text/csv": "csv",
    "text/html": "html",
    "application/json": "json",
    "application/x-subrip": "srt",
    "application/x-zip-compressed": "zip",
}
_SPELLINGS: Final = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tiff": "tif", "heif": "heic"}
_SUFFIX: Final = re.compile(r"\.([A-Za-z0-9]{1,8})\Z")
_PAGE: Final = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|\?xml|error\b|!--)", re.IGNORECASE
)


def recognise(head: bytes) -> Format | None:
    """Return the format of a file that starts with these bytes, None if it is not known."""
    for start, known in _BY_START:
        if head.startswith(start):
            return known
    if head[:4] == b"RIFF":
        return _BY_RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    return next((known for known, fits in _BY_TEST if fits(head)), None)


def objection(kind: str | None, head: bytes) -> str | None:
    """Return why a file cannot be an output of a task that makes this kind ("image", …), None if it can."""
    known = recognise(head)
    if known is not None and (known.is_image or kind != "image"):
        return None
    text = _text(head)
    page = None
    if text[:1] in {b"{", b"["}:
        page = "JSON"
    elif _PAGE.match(text):
        page = "a page of HTML or XML"
    if kind == "image":
        return f"it is {page or (known.content_type if known else 'no known image format')}"
    if page is not None and kind in {None, "video", "audio"}:
        return f"it is {page}"
    return None


def is_whole(head: bytes, tail: bytes, size: int) -> bool:
    """Return whether a file has the end that its format requires; True if it requires none.

    Bytes behind the end of a picture are allowed: some encoders append data of their own.
    """
    known = recognise(head)
    if known is _PNG:
        return b"IEND\xaeB`\x82" in tail
    if known is _JPEG:
        return b"\xff\xd9" in tail
    if known is _GIF:
        return tail.rstrip(b"\0").endswith(b";")
    if known is _WEBP or (known is not None and known.extension == "wav"):
        return size >= 8 + int.from_bytes(head[4:8], "little")
    if known is _SVG:
        return b"</svg" in tail
    return size > 0


def extension_for(head: bytes, content_type: str | None, path: str) -> str:
    """Return the extension for a file, without a dot: by its bytes, its type, the path of its URL, or ``bin``."""
    known = recognise(head)
    if known is not None:
        return known.extension
    declared = (content_type or "").partition(";")[0].strip().lower()
    if declared in _EXTENSION_OF:
        return _EXTENSION_OF[declared]
    suffix = _suffix(path)
    # A file that is not recognised as an image does not get the extension of one.
    return suffix if suffix and _SPELLINGS.get(suffix, suffix) not in _IMAGES else "bin"


def content_type_of(name: str, head: bytes) -> str:
    """Return the media type of a file: by its bytes, else by the extension of its name."""
    known = recognise(head)
    if known is not None:
        return known.content_type
    suffix = _suffix(name)
    return _TYPE_OF.get(_SPELLINGS.get(suffix, suffix), "application/octet-stream")


def same_extension(given: str, true: str) -> bool | None:
    """Return whether two extensions stand for one format; None if ``given`` is rather a part of the name."""
    given = _SPELLINGS.get(given.lower(), given.lower())
    if given == _SPELLINGS.get(true, true):
        return True
    return False if given in _IMAGES else None


def _by_brand(head: bytes) -> Format:
    length = int.from_bytes(head[:4], "big")
    # The major brand, then (after a version number) the brands that it is compatible with.
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(length, len(head)), 4))]
    if brands[0] in {b"mif1", b"msf1"}:
        return _AVIF if b"avif" in brands else _HEIC
    return _BY_BRAND.get(brands[0], _MP4)


def _text(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()


def _suffix(name: str) -> str:
    match = _SUFFIX.search(name)
    return match[1].lower() if match else ""


_KNOWN: Final = {
    *(known for _, known in _BY_START),
    *(*_BY_RIFF.values(), *_BY_BRAND.values(), _MP4),
    *(known for known, _ in _BY_TEST),
}
_IMAGES: Final = {known.extension for known in _KNOWN if known.is_image}
_EXTENSION_OF: Final = _BY_CONTENT_TYPE | {
    known.content_type: known.extension for known in _KNOWN if not known.is_image
}
_TYPE_OF: Final = {extension: name for name, extension in _BY_CONTENT_TYPE.items()} | {
    known.extension: known.content_type for known in _KNOWN
}
