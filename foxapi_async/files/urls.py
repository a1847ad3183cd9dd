"""Which links are followed. Pure.

A link may be signed, so what can stand in a URL is left as it is, and no text of an error shows its
query.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from yarl import URL

from foxapi_async.environment import is_loopback

__all__ = ["check_link", "next_hop", "shown"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_A_URL: Final = re.compile(r"[^\x21-\x7e]+")


def check_link(text: str, *, loopback: bool) -> URL:
    """Return a link as a URL.

    Args:
        text: The link as the server gave it.
        loopback: Whether the API itself is on loopback; only then may a file be fetched over HTTP,
            and from loopback only.

    Raises:
        ValueError: It is not one to follow; the text says why and shows nothing of its query.
    """
    if _CONTROL.search(text):
        raise ValueError("the link holds a control character")
    try:
        url = URL(_NOT_IN_A_URL.sub(lambda match: quote(match[0]), text), encoded=True)
        host, scheme, port = url.host, url.scheme.lower(), url.port
    except ValueError:
        # What yarl and idna say may quote the link.
        raise ValueError("the link is not a URL") from None
    if scheme not in {"http", "https"}:
        raise ValueError(
            f"the link is a {scheme[:20]}: URL; only https is fetched"
            if scheme
            else "the link is not a URL"
        )
    if not host or "%" in host or not port:
        raise ValueError("the link names no usable host")
    if url.user is not None or url.password is not None or "@" in url.raw_authority:
        raise ValueError("the link holds a user name or a password")
    if scheme == "http" and not (loopback and is_loopback(host)):
        raise ValueError(f"the link to {host} is not https")
    return url


def next_hop(url: URL, location: str, *, loopback: bool) -> URL:
    """Return where a redirect leads.

    Raises:
        ValueError: Nowhere that is followed; the text says why and shows nothing of its query.
    """
    if _CONTROL.search(location):
        raise ValueError("the redirect holds a control character")
    try:
        quoted = _NOT_IN_A_URL.sub(lambda match: quote(match[0]), location)
        target = str(url.join(URL(quoted, encoded=True)))
    except ValueError:
        raise ValueError("the redirect leads to no URL") from None
    try:
        return check_link(target, loopback=loopback)
    except ValueError as error:
        raise ValueError(f"after a redirect, {error}") from None


def shown(url: URL) -> str:
    """Return a link for a text: without its query."""
    return str(url.with_query(None).with_fragment(None))
