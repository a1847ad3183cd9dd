"""POST a JSON document to a URL of the user's, without the API key."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Final

import aiohttp
from yarl import URL

from foxapi_async import ConfigurationError, InvalidRequestError
from foxapi_async.environment import is_loopback
from foxapi_async.http.proxies import find_proxies
from foxapi_async.version import __version__

_TIMEOUT: Final = 10.0
_PAUSES: Final = (1.0, 3.0)  # Seconds before the second and the third attempt
_RETRIED: Final = frozenset({408, 425, 429})
_FAILED: Final = 300  # This status and those above it
_SERVER_ERROR: Final = 500

_log = logging.getLogger("foxapi_async")


def check_url(text: str) -> URL:
    """Return a URL that may be posted to.

    Raises:
        InvalidRequestError: It is none, or neither https nor on this machine. The text omits what may be
            secret.
    """
    try:
        url = URL(text)
        host = url.host
    except ValueError:
        url, host = URL(), None
    is_local = host is not None and is_loopback(host.rstrip("."))
    if not host or not (url.scheme == "https" or (url.scheme == "http" and is_local)):
        raise InvalidRequestError(
            "--webhook must be a URL such as https://example.com/hook; http:// is only for this machine",
            field="webhook",
        )
    return url


def shown(url: URL) -> str:
    """Return a URL for a text: without what may be secret."""
    return f"{url.scheme}://{url.host}{'' if url.path in {'', '/'} else '/…'}"


async def post(url: URL, body: bytes, proxy: str | None) -> str | None:
    """POST a JSON body, up to three times; return why it failed, None if it was taken."""
    try:
        proxies = find_proxies(proxy, os.environ)
        via = proxies.for_url(url)
    except ConfigurationError as error:
        return str(error)
    authorization = None if via is None else via.authorization()
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    headers = {"Content-Type": "application/json", "User-Agent": f"foxapi-async/{__version__}"}
    reason = None
    async with aiohttp.ClientSession(timeout=timeout, headers=headers, trust_env=False) as http:
        for pause in (*_PAUSES, None):
            try:
                # No redirect: the document is for this host only.
                async with http.post(
                    url,
                    data=body,
                    allow_redirects=False,
                    proxy=None if via is None else via.url,
                    proxy_headers=None
                    if authorization is None
                    else {"Proxy-Authorization": authorization},
                ) as answer:
                    if answer.status < _FAILED:
                        return None
                    reason = f"it answered {answer.status}"
                    may_pass = answer.status >= _SERVER_ERROR or answer.status in _RETRIED
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                # Not its text, which may contain the URL.
                reason = f"{type(error).__name__}{_os_reason(error)}"
                may_pass = True
            if pause is None or not may_pass:
                break
            _log.info("the webhook %s: %s; again in %g s", shown(url), reason, pause)
            await asyncio.sleep(pause)
    return reason


def _os_reason(error: BaseException) -> str:
    cause = getattr(error, "os_error", error)
    text = getattr(cause, "strerror", None)
    return f": {text}" if text else ""
