"""Content-Encoding: whole, broken, wrong, unknown and too large bodies."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.http.compression import decompress

TEXT = (
    b'{"id": "task-unified-1760000000-k3v9x2ab", "padding": "' + bytes(range(97, 122)) * 40 + b'"}'
)
LONGEST = 1 << 20


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


ENCODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "GZIP ": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    " deflate": raw_deflate(TEXT),
    "deflate, gzip": gzip.compress(zlib.compress(TEXT)),
    "identity": TEXT,
    "": TEXT,
    "gzip, identity": gzip.compress(TEXT),
    "gzip,": gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
}


@pytest.mark.parametrize("encodings", ENCODED)
def test_a_body_is_decoded(encodings):
    assert decompress(ENCODED[encodings], encodings, LONGEST) == TEXT


@pytest.mark.parametrize("encodings", ["gzip", "deflate", " deflate"])
@pytest.mark.parametrize("lost", [1, 4, 12])
def test_a_cut_body_gives_what_came(encodings, lost):
    got = decompress(ENCODED[encodings][:-lost], encodings, LONGEST)
    assert got.startswith(TEXT[:40])
    assert TEXT.startswith(got)


def test_a_body_that_breaks_gives_what_came_before():
    noise = bytes(range(256)) * 20
    broken = bytearray(gzip.compress(TEXT + noise))
    broken[-200:-150] = b"\xff" * 50
    assert decompress(bytes(broken), "gzip", LONGEST).startswith(TEXT[:40])


@pytest.mark.parametrize("encodings", ["gzip", "deflate", "br", "zstd", "gzip, br", "aes128gcm"])
def test_a_body_that_is_not_encoded_after_all_is_taken_as_it_is(encodings):
    assert decompress(TEXT, encodings, LONGEST) == TEXT


def test_an_unknown_encoding_is_kept_readable():
    body = b"\x0b\xff\x80task-unified-1760000000-k3v9x2ab\x03"
    assert decompress(body, "br", LONGEST) == (
        b"\x0b\\xff\\x80task-unified-1760000000-k3v9x2ab\x03"
    )


@pytest.mark.parametrize("encodings", ["gzip", "deflate"])
def test_a_bomb_is_not_unpacked(encodings):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[encodings]
    assert len(decompress(pack(bytes(10_000_000)), encodings, 1000)) == 1001


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br", "gzip, deflate"]))
def test_nothing_raises(body, encodings):
    assert len(decompress(body, encodings, 1000)) <= 1200
