"""Content-Encoding of answers. Pure.

aiohttp could do this, but where it cannot decode a body it discards the bytes, and they may hold the
only copy of the id of a paid task.
"""

from __future__ import annotations

import zlib
from typing import Final

ACCEPTED: Final = "gzip, deflate"
"""The value of Accept-Encoding: what the standard library can decode."""

_ZLIB_OR_GZIP: Final = 32 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
_KNOWN: Final = {
    "gzip": (_ZLIB_OR_GZIP,),
    "x-gzip": (_ZLIB_OR_GZIP,),
    # Some servers send a raw deflate stream without the zlib header of the standard.
    "deflate": (_ZLIB_OR_GZIP, _RAW),
}


def decompress(body: bytes, encodings: str, longest: int) -> bytes:
    """Return the decoded body, or its first ``longest`` + 1 bytes if it is longer than ``longest``.

    A broken stream gives what can be decoded of it. A body that is not encoded as the header says is
    returned as it is. Bytes of an unknown encoding that are no text are returned as escapes.
    """
    for encoding in reversed(encodings.lower().split(",")):
        name = encoding.strip()
        if name in {"", "identity"}:
            continue
        if name not in _KNOWN:
            return body.decode("utf-8", "backslashreplace").encode()
        decoded = (_inflate(body, window, longest) for window in _KNOWN[name])
        body = next(filter(None, decoded), body)
    return body


def _inflate(body: bytes, window: int, longest: int) -> bytes:
    decoded = b""
    while body and len(decoded) <= longest:
        stream = zlib.decompressobj(window)
        try:
            decoded += stream.decompress(body, longest + 1 - len(decoded))
        except zlib.error:
            return decoded + _until_broken(body, window, longest + 1 - len(decoded))
        body = stream.unused_data  # gzip allows several members
    return decoded


def _until_broken(body: bytes, window: int, longest: int) -> bytes:
    # The call that fails gives nothing, so each gets a small piece.
    stream, decoded = zlib.decompressobj(window), bytearray()
    for start in range(0, len(body), 64):
        try:
            decoded += stream.decompress(body[start : start + 64], longest)
        except zlib.error:
            break
        if len(decoded) >= longest:
            break
    return bytes(decoded[:longest])
