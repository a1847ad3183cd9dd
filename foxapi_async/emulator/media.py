"""Results that are not pictures: a tone, an archive, and the start of a video."""

from __future__ import annotations

import array
import io
import math
import wave
import zipfile

_RATE = 16_000


def tone(seconds: float = 0.5) -> bytes:
    """Return a WAV file with a quiet tone."""
    samples = array.array(
        "h",
        (round(6000 * math.sin(math.tau * 440 * n / _RATE)) for n in range(int(_RATE * seconds))),
    )
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def archive(words: str) -> bytes:
    """Return a ZIP file with one Markdown file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(zipfile.ZipInfo("output.md"), f"# {words}\n")
    return buffer.getvalue()


def film() -> bytes:
    """Return the first boxes of an MP4 file; it cannot be played."""
    brand = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42"
    return brand + b"\x00\x00\x04\x08mdat" + bytes(1024)
