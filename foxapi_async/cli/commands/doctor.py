"""`foxapi doctor`: find out by free calls what works, and print the findings."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import anyio
import attrs
from typer import Option
from yarl import URL

from foxapi_async import ConfigurationError, FoxAPIError, Timeout
from foxapi_async.cli.config_file import JOB_FILE, user_file
from foxapi_async.cli.configured_commands import files_read
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.credentials import Key, find_key
from foxapi_async.cli.diagnosis import Connection, Exchange, Facts, Grade, JournalFacts, diagnose
from foxapi_async.cli.exit_codes import ExitCode, most_severe
from foxapi_async.cli.journal_option import METAVAR, VARIABLE, journal_of
from foxapi_async.cli.signals import run_interruptible
from foxapi_async.environment import find_api_key, find_base_url
from foxapi_async.http.proxies import Proxies, find_proxies
from foxapi_async.version import __version__

if TYPE_CHECKING:
    from foxapi_async.http.responses import Reply
    from foxapi_async.http.transport import Transport

_TIMEOUT: Final = Timeout(connect=10.0, request=20.0)
_NO_KEY: Final = "sk-none"
"""Sent if there is no key: the refusal shows that the service answers."""

_MARKS: Final = {Grade.GOOD: "ok", Grade.NOTE: "note", Grade.BAD: "BAD", Grade.UNKNOWN: "?"}


def doctor(
    context: CommandContext,
    *,
    journal: Annotated[
        str | None,
        Option(
            "--journal",
            metavar=METAVAR,
            help=f"Check this journal, too; nothing in it is changed. Default: {VARIABLE}.",
        ),
    ] = None,
) -> ExitCode:
    """Check key, network, models, clock and journal. Only free calls are made: nothing is billed."""
    console = context.console
    facts = attrs.evolve(run_interruptible(_gather(context)), journal=_journal(context, journal))
    findings = diagnose(facts)
    code = most_severe(finding.exit_code for finding in findings)
    for finding in findings:
        console.result(f"{_MARKS[finding.grade]:<5} {finding.subject:<13} {finding.words}")
    console.document(findings=[attrs.asdict(finding) for finding in findings], exit_code=code)
    console.info("nothing was billed" + ("" if code is ExitCode.OK else "; see what is BAD"))
    return code


async def _gather(context: CommandContext) -> Facts:
    from foxapi_async.http.transport import Transport  # noqa: PLC0415 - loads aiohttp

    key, url = _find_key(context.key_file), _find_base_url(context.base_url)
    proxies = _find_proxies(context.proxy, url)
    facts = Facts(
        versions={
            "foxapi-async": __version__,
            "python": platform.python_version(),
            "aiohttp": version("aiohttp"),
            "system": f"{platform.system()} {platform.release()}",
        },
        key=key,
        base_url=url,
        configuration=_configuration(context),
    )
    if isinstance(url, str):
        return facts
    if isinstance(proxies, str):
        return attrs.evolve(facts, proxy=proxies)
    proxy = proxies.for_url(url)
    connection = await _connect(url if proxy is None else proxy.url)
    facts = attrs.evolve(facts, proxy=proxy, connection=connection)
    value = _NO_KEY if isinstance(key, str) else key.value
    transport = Transport(url, value, timeout=_TIMEOUT, headers={}, http=None, proxies=proxies)
    await transport.open()
    try:
        models, account = await _get(transport, "/v1/models"), None
        if not isinstance(key, str) and not isinstance(models.reply, str):
            account = await _get(transport, "/v1/account/credits")
    finally:
        await transport.aclose()
    return attrs.evolve(facts, models=models, account=account)


def _journal(context: CommandContext, given: str | None) -> JournalFacts | str | None:
    from foxapi_async.journal import PostgresJournal  # noqa: PLC0415 - loads aiohttp

    try:
        if (chosen := journal_of(context, given, None)) is None:
            return None
        journal = chosen.journal
        server = journal.check() if isinstance(journal, PostgresJournal) else None
        return JournalFacts(chosen.shown, sum(journal.count().values()), server)
    except FoxAPIError as error:
        return str(error)


def _configuration(context: CommandContext) -> str:
    read = [] if context.invocation is None else files_read(context.invocation)
    if read:
        return f"{', '.join(str(path) for path in read)}; {JOB_FILE} beside a job is read by run"
    return f"no file: there is no {user_file(os.environ)}; {JOB_FILE} beside a job is read by run"


def _find_key(key_file: Path | None) -> Key | str:
    try:
        key = find_key(key_file, os.environ)
        find_api_key(key.value)
    except ConfigurationError as error:
        return str(error)
    return key


def _find_base_url(given: str | None) -> URL | str:
    try:
        return find_base_url(given)
    except ConfigurationError as error:
        return str(error)


def _find_proxies(given: str | None, url: URL | str) -> Proxies | str:
    try:
        proxies = find_proxies(given, os.environ)
        if not isinstance(url, str):
            proxies.check(url)
    except ConfigurationError as error:
        return str(error)
    return proxies


async def _get(transport: Transport, path: str) -> Exchange:
    began, start = datetime.now(UTC), anyio.current_time()
    reply: Reply | str
    try:
        reply = await transport.call("GET", path)
    except FoxAPIError as error:
        reply = str(error)
    return Exchange(reply, began, anyio.current_time() - start)


async def _connect(url: URL) -> Connection:
    assert url.host is not None
    host, port = url.host, url.port or 443
    loop = asyncio.get_running_loop()
    start = loop.time()
    try:
        with anyio.fail_after(_TIMEOUT.connect):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        return Connection(error=f"the name {host} cannot be resolved: {_reason(error)}")
    connection = Connection(
        addresses=tuple(dict.fromkeys(str(address[4][0]) for address in found)),
        lookup_seconds=loop.time() - start,
    )
    context = ssl.create_default_context() if url.scheme == "https" else None
    start = loop.time()
    try:
        with anyio.fail_after(_TIMEOUT.connect):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return attrs.evolve(connection, error=f"no secure connection: {_reason(error)}")
    except (OSError, TimeoutError) as error:
        return attrs.evolve(connection, error=f"no connection to port {port}: {_reason(error)}")
    connection = attrs.evolve(connection, connect_seconds=loop.time() - start)
    certificate: Mapping[str, Any] = writer.get_extra_info("peercert") or {}
    tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    writer.close()
    if tls is None:
        return connection
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    return attrs.evolve(connection, tls_version=tls.version(), certificate_ends=ends)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT.connect:g} s"
    return str(getattr(error, "strerror", None) or error)
