"""What `foxapi doctor` asks of the machine and the service: facts, by free calls only."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import anyio
import attrs
from yarl import URL

from foxapi_async.cli.keys import Key, find_key
from foxapi_async.environment import find_api_key, find_base_url
from foxapi_async.errors import ConfigurationError, FoxAPIError
from foxapi_async.http.responses import Reply
from foxapi_async.http.transport import Transport
from foxapi_async.options import Timeout
from foxapi_async.version import __version__

__all__ = ["Connection", "Exchange", "Facts", "gather"]

_PATIENCE: Final = Timeout(connect=10.0, request=20.0)
_NO_KEY: Final = "sk-none"
"""Sent if there is no key: the refusal shows that the service is there."""


@attrs.frozen
class Connection:
    """What came of connecting to the host. Times are in seconds."""

    addresses: tuple[str, ...] = ()
    lookup_seconds: float | None = None
    connect_seconds: float | None = None
    tls_version: str | None = None
    certificate_ends: datetime | None = None
    error: str | None = None


@attrs.frozen
class Exchange:
    """One free call: its reply or why there is none, and when it was made by this clock."""

    reply: Reply | None
    error: str | None
    began: datetime
    seconds: float


@attrs.frozen(kw_only=True)
class Facts:
    """All that was found out; None is what could not be asked."""

    versions: Mapping[str, str]
    key: Key | None
    key_error: str | None
    base_url: URL | None
    base_url_error: str | None
    proxies: tuple[str, ...]
    connection: Connection | None = None
    models: Exchange | None = None
    account: Exchange | None = None


async def gather(key_file: Path | None, base_url: str | None) -> Facts:
    """Find out all that can be found out for free."""
    key, key_error = _key(key_file)
    url, url_error = _base_url(base_url)
    facts = Facts(
        versions={
            "foxapi-async": __version__,
            "python": platform.python_version(),
            "aiohttp": aiohttp.__version__,
            "system": f"{platform.system()} {platform.release()}",
        },
        key=key,
        key_error=key_error,
        base_url=url,
        base_url_error=url_error,
        proxies=tuple(
            name
            for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY")
            if os.environ.get(name)
        ),
    )
    if url is None:
        return facts
    facts = attrs.evolve(facts, connection=await _connect(url))
    transport = Transport(
        url, _NO_KEY if key is None else key.value, timeout=_PATIENCE, headers={}, http=None
    )
    await transport.open()
    try:
        models = await _ask(transport, "/v1/models")
        account = None
        if key is not None and models.reply is not None:
            account = await _ask(transport, "/v1/account/credits")
    finally:
        await transport.aclose()
    return attrs.evolve(facts, models=models, account=account)


def _key(key_file: Path | None) -> tuple[Key | None, str | None]:
    try:
        key = find_key(key_file, os.environ)
        find_api_key(key.value)
    except ConfigurationError as error:
        return None, str(error)
    return key, None


def _base_url(given: str | None) -> tuple[URL | None, str | None]:
    try:
        return find_base_url(given), None
    except ConfigurationError as error:
        return None, str(error)


async def _ask(transport: Transport, path: str) -> Exchange:
    began, start = datetime.now(UTC), anyio.current_time()
    reply, error = None, None
    try:
        reply = await transport.call("GET", path)
    except FoxAPIError as trouble:
        error = str(trouble)
    return Exchange(reply, error, began, anyio.current_time() - start)


async def _connect(url: URL) -> Connection:
    assert url.host is not None
    host, port = url.host, url.port or 443
    loop = asyncio.get_running_loop()
    start = loop.time()
    try:
        with anyio.fail_after(_PATIENCE.connect):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        return Connection(error=f"the name {host} cannot be looked up: {_words(error)}")
    connection = Connection(
        addresses=tuple(dict.fromkeys(str(address[4][0]) for address in found)),
        lookup_seconds=loop.time() - start,
    )
    context = ssl.create_default_context() if url.scheme == "https" else None
    start = loop.time()
    try:
        with anyio.fail_after(_PATIENCE.connect):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return attrs.evolve(connection, error=f"no secure connection: {_words(error)}")
    except (OSError, TimeoutError) as error:
        return attrs.evolve(connection, error=f"no connection to port {port}: {_words(error)}")
    certificate: Mapping[str, Any] = writer.get_extra_info("peercert") or {}
    secure: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    writer.close()
    ends = certificate.get("notAfter")
    return attrs.evolve(
        connection,
        connect_seconds=loop.time() - start,
        tls_version=None if secure is None else secure.version(),
        certificate_ends=None if ends is None else _moment(str(ends)),
    )


def _moment(not_after: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC)


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_PATIENCE.connect:g} s"
    return str(getattr(error, "strerror", None) or error)
