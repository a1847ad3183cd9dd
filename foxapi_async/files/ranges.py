"""Taking a broken download up again: what to ask for, and whether the answer fits what is there.

Pure. Rules: RFC 9110, sections 13.1.5 (If-Range), 14.4 (Content-Range) and 8.8 (validators).
"""

from __future__ import annotations

import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

__all__ = ["Opening", "opening", "range_headers", "validator_of"]

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_STRONG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
_OK: Final = 200
_PARTIAL: Final = 206


@attrs.frozen
class Opening:
    """What an answer brings: the bytes from ``start`` up to ``end`` of a file of ``total`` bytes.

    ``end`` and ``total`` are None where the server does not say.
    """

    start: int
    end: int | None
    total: int | None


def validator_of(etag: str | None, last_modified: str | None, date: str | None) -> str | None:
    """Return what to send as ``If-Range``: a strong ETag, else a sure Last-Modified, else None.

    A file that was modified within the second of the answer may be modified again within it; then
    its date proves nothing. Without the date of the answer there is no reason for that suspicion.
    """
    if etag is not None and _STRONG.fullmatch(etag):
        return etag
    if last_modified is None:
        return None
    try:
        modified = parsedate_to_datetime(last_modified)
        if date is not None and parsedate_to_datetime(date) - modified < timedelta(seconds=1):
            return None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return last_modified


def range_headers(received: int, validator: str | None) -> dict[str, str]:
    """Return the headers that ask for what is missing; none if it has to be asked for whole."""
    if received <= 0 or validator is None:
        return {}
    return {"Range": f"bytes={received}-", "If-Range": validator}


def opening(
    status: int,
    *,
    asked: int,
    total: int | None,
    validator: str | None,
    etag: str | None,
    content_range: str | None,
    content_length: int | None,
) -> Opening | None:
    """Return what an answer brings, None if it does not fit what is there: then start over.

    Args:
        status: Its HTTP status, 200 or 206.
        asked: The first byte that was asked for; 0 if the whole file was.
        total: Bytes of the whole file, as far as an earlier answer said.
        validator: What was sent as ``If-Range``.
        etag: The header of this answer.
        content_range: The header of this answer.
        content_length: The header of this answer; None also if the body is compressed.
    """
    if status == _OK:
        return Opening(0, content_length, content_length)
    match = _CONTENT_RANGE.fullmatch(content_range or "")
    if status != _PARTIAL or asked == 0 or match is None:
        return None
    start, end = int(match[1]), int(match[2]) + 1
    whole = total if match[3] == "*" else int(match[3])
    fits = (
        start == asked
        and start < end
        and (whole is None or end <= whole)
        and (total is None or whole == total)
        and (content_length is None or content_length == end - start)
        and (etag is None or not (validator or "").startswith('"') or etag == validator)
    )
    return Opening(start, end, whole) if fits else None
