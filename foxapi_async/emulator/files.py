"""Files: signed links that expire, range requests, and the storage of uploads."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

from attrs import define, field, frozen

from foxapi_async.emulator.answers import HTML_TYPE, Reply, html_page, text_reply

_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@frozen
class Signer:
    """Signs links, each valid for one path until a point in time."""

    _secret: bytes

    def sign(self, path: str, expires: int) -> str:
        """Return path and query of a link that is valid until `expires` (Unix seconds)."""
        return f"{path}?expires={expires}&signature={self._signature(path, str(expires))}"

    def holds(self, path: str, query: Mapping[str, str], now: float) -> bool:
        """Return whether a link is genuine and has not expired."""
        expires = query.get("expires", "")
        genuine = hmac.compare_digest(
            query.get("signature", "").encode(), self._signature(path, expires).encode()
        )
        return genuine and now < float(expires)

    def _signature(self, path: str, expires: str) -> str:
        digest = hmac.new(self._secret, f"{path} {expires}".encode(), hashlib.sha256)
        return digest.hexdigest()[:24]


def expired_reply() -> Reply:
    """Return the answer to an expired or forged link, in the format of an object store."""
    return text_reply(403, html_page("403 Forbidden"), HTML_TYPE)


def file_reply(content: bytes, content_type: str, headers: Mapping[str, str]) -> Reply:
    """Return a file, or the part that `Range` and `If-Range` request."""
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    common = {"Content-Type": content_type, "ETag": etag, "Accept-Ranges": "bytes"}
    part = _part(headers.get("Range"), len(content))
    if part is None or headers.get("If-Range", etag) != etag:
        return Reply(200, content, common)
    first, end = part
    if first >= end:
        return Reply(416, b"", {**common, "Content-Range": f"bytes */{len(content)}"})
    span = f"bytes {first}-{end - 1}/{len(content)}"
    return Reply(206, content[first:end], {**common, "Content-Range": span})


def _part(header: str | None, length: int) -> tuple[int, int] | None:
    match = _RANGE.match(header or "")
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return max(0, length - int(last)), length
    end = min(length, int(last) + 1) if last else length
    return int(first), end


@frozen
class StoredFile:
    """An uploaded file; `stored` is in Unix seconds."""

    id: str
    name: str
    path: str
    content: bytes
    content_type: str
    stored: float


class StorageFullError(Exception):
    """The storage is full, and old files may not be removed."""


@define
class UploadStore:
    """Keeps uploads for `lifetime` seconds and within `capacity` bytes."""

    lifetime: float
    capacity: int
    _files: dict[str, StoredFile] = field(factory=dict[str, StoredFile])
    _count: int = 0

    def add(
        self, name: str, content: bytes, content_type: str, *, now: float, auto_cleanup: bool
    ) -> StoredFile:
        """Store a file; with `auto_cleanup`, remove the oldest files if space is needed.

        Raises:
            StorageFullError: the storage is full, and no file may be removed.
        """
        self._expire(now)
        used = sum(len(each.content) for each in self._files.values())
        while self._files and used + len(content) > self.capacity and auto_cleanup:
            oldest = self._files.pop(next(iter(self._files)))
            used -= len(oldest.content)
        if used + len(content) > self.capacity:
            raise StorageFullError
        self._count += 1
        tag = hashlib.sha256(f"{self._count}:{name}".encode() + content).hexdigest()[:12]
        path = f"/files/uploads/{tag}/{_UNSAFE.sub('_', name)}"
        stored = StoredFile(f"file-{int(now)}-{tag[:6]}", name, path, content, content_type, now)
        self._files[path] = stored
        return stored

    def get(self, path: str, now: float) -> StoredFile | None:
        """Return a file that has not expired."""
        self._expire(now)
        return self._files.get(path)

    def _expire(self, now: float) -> None:
        old = [path for path, each in self._files.items() if now >= each.stored + self.lifetime]
        for path in old:
            del self._files[path]
