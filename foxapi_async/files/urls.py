"""Which links may be followed. Pure.

A link may be signed, so it is kept as it is as far as it is a valid URL, and no error shows its query.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from yarl import URL

from foxapi_async._validators import check_host
from foxapi_async.environment import is_loopback

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_A_URL: Final = re.compile(r"[^\x21-\x7e]+")


def check_link(link: str, *, loopback: bool) -> URL:
    """Return a link of the server as a URL, or raise `ValueError`, whose text does not show the query.

    HTTP is allowed only to loopback, and only if the API itself is there (``loopback``).
    """
    try:
        url = _parse(link)
        host, scheme, port = url.host, url.scheme.lower(), url.port
        check_host(url.raw_host)
    except ValueError:
        raise ValueError("the link is not a URL") from None  # yarl and idna may quote the link
    if scheme not in {"http", "https"}:
        what = f"a {scheme[:20]}: URL; only https is fetched" if scheme else "not a URL"
        raise ValueError(f"the link is {what}")
    if not host or "%" in host or not port:
        raise ValueError("the link names no usable host")
    if url.user is not None or url.password is not None or "@" in url.raw_authority:
        raise ValueError("the link holds a user name or a password")
    if scheme == "http" and not (loopback and is_loopback(host)):
        raise ValueError(f"the link to {host} is not https")
    return url


def next_hop(url: URL, location: str, *, loopback: bool) -> URL:
    """Return where a redirect from ``url`` leads; raise `ValueError` like `check_link`."""
    try:
        target = str(url.join(_parse(location)))
    except ValueError:
        raise ValueError("the redirect leads to no URL") from None
    try:
        return check_link(target, loopback=loopback)
    except ValueError as error:
        raise ValueError(f"after a redirect, {error}") from None


def shown(url: URL) -> str:
    """Return a link for a text: without its query."""
    return str(url.with_query(None).with_fragment(None))


def _parse(text: str) -> URL:
    if _CONTROL.search(text):
        raise ValueError("a control character")
    return URL(_NOT_IN_A_URL.sub(lambda match: quote(match[0]), text), encoded=True)
