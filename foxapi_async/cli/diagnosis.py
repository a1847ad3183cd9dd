"""What `foxapi doctor` finds out, and what it means: facts in, findings out. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final, cast
from urllib.parse import urlsplit

import attrs
from yarl import URL

from foxapi_async import PhotaCreateProfile, PhotaImage, PhotaImageEdit, PhotaImageEnhance
from foxapi_async._typeguards import is_object
from foxapi_async.cli.credentials import Key
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import count
from foxapi_async.cli.money import balance_text
from foxapi_async.environment import is_loopback
from foxapi_async.http.account import read_balance
from foxapi_async.http.codec import decode, excerpt
from foxapi_async.http.proxies import Proxy
from foxapi_async.http.responses import Reply
from foxapi_async.journal.postgres.health import ServerHealth

_PHOTA_MODELS: Final = [
    request.model for request in (PhotaImage, PhotaImageEdit, PhotaImageEnhance, PhotaCreateProfile)
]

_CLOCK_TOLERANCE: Final = 3.0
"""Seconds: the Date header has whole seconds, and the request takes time."""

_CLOCK_IS_WRONG: Final = 60.0
_CERTIFICATE_ENDS_SOON: Final = timedelta(days=7)


@attrs.frozen
class Connection:
    """The result of connecting to the host. Times are in seconds."""

    addresses: tuple[str, ...] = ()
    lookup_seconds: float | None = None
    connect_seconds: float | None = None
    tls_version: str | None = None
    certificate_ends: datetime | None = None
    error: str | None = None


@attrs.frozen
class Exchange:
    """One free call: its reply or why there is none, and when it began by the local clock."""

    reply: Reply | str
    began: datetime
    seconds: float


@attrs.frozen
class JournalFacts:
    """A journal that can be used, and what its server is like; None for a file."""

    shown: str
    requests: int
    server: ServerHealth | None = None


@attrs.frozen(kw_only=True)
class Facts:
    """Everything that was found out; a text says why it is missing, None that it was not checked."""

    versions: Mapping[str, str]
    key: Key | str
    base_url: URL | str
    proxy: Proxy | str | None = None
    connection: Connection | None = None
    models: Exchange | None = None
    account: Exchange | None = None
    journal: JournalFacts | str | None = None
    configuration: str = ""
    """Which configuration files were read."""


class Grade(enum.StrEnum):
    """How good a finding is."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "bad"
    UNKNOWN = "not checked"


@attrs.frozen
class Finding:
    """One thing that was checked, and the exit code that it leads to."""

    subject: str
    words: str
    grade: Grade
    exit_code: ExitCode = ExitCode.OK


_good = partial(Finding, grade=Grade.GOOD)
_note = partial(Finding, grade=Grade.NOTE)
_unknown = partial(Finding, grade=Grade.UNKNOWN)
_bad = partial(Finding, grade=Grade.BAD, exit_code=ExitCode.CONFIGURATION)
_unavailable = partial(Finding, grade=Grade.BAD, exit_code=ExitCode.UNAVAILABLE)


def diagnose(facts: Facts) -> list[Finding]:
    """Return what the facts mean, from the local machine to the account."""
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    return [
        _good("versions", versions),
        _good("configuration", facts.configuration),
        *_key(facts.key),
        *_base_url(facts),
        *_connection(facts.connection),
        *_models(facts),
        *_clock(facts.models),
        *_account(facts.account),
        *_journal(facts.journal),
        _unknown("generation", "only a billed submission can show that one is accepted"),
        _unknown("rate limits", "the service publishes none; a session learns them from its 429s"),
    ]


def _key(key: Key | str) -> Iterator[Finding]:
    if isinstance(key, str):
        yield _bad("key", key)
        return
    words = f"from {key.source}, {len(key.value)} characters"
    if key.value.startswith("sk-"):
        yield _good("key", words)
    else:
        yield _note("key", f"{words}; it does not begin with sk-, as keys of this service do")
    for warning in key.warnings:
        yield _note("key file", warning)


def _base_url(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.base_url, str):
        yield _bad("base URL", facts.base_url)
        return
    local = is_loopback(urlsplit(str(facts.base_url)).hostname)
    yield _good("base URL", f"{facts.base_url}{' (this machine: an emulator?)' if local else ''}")
    if isinstance(facts.proxy, str):
        yield _bad("proxy", facts.proxy)
    elif facts.proxy is not None:
        yield _good("proxy", f"{facts.proxy}; the connection below is the one to it")


def _connection(connection: Connection | None) -> Iterator[Finding]:
    if connection is None:
        return
    if connection.error is not None:
        yield _unavailable("connection", connection.error)
        return
    tls = "" if connection.tls_version is None else f", {connection.tls_version}"
    lookup, connect = _ms(connection.lookup_seconds), _ms(connection.connect_seconds)
    address = connection.addresses[0]
    yield _good("connection", f"{address}, name lookup {lookup}, connect {connect}{tls}")
    ends = connection.certificate_ends
    if ends is not None and ends - datetime.now(UTC) < _CERTIFICATE_ENDS_SOON:
        yield _note("certificate", f"it expires on {ends:%Y-%m-%d}")


def _models(facts: Facts) -> Iterator[Finding]:
    exchange = facts.models
    if exchange is None:
        return
    reply = exchange.reply
    if isinstance(reply, str):
        yield _unavailable("service", reply)
        return
    answered = f"GET /v1/models: HTTP {reply.status} in {_ms(exchange.seconds)}"
    ids = _model_ids(reply)
    if ids is not None:
        yield _good("service", answered)
        yield _good("key accepted", f"it may call {len(ids)} models")
        yield _phota_models(ids)
    elif reply.status == 401 and isinstance(facts.key, str):  # noqa: PLR2004
        yield _good("service", f"{answered}, as expected without a key")
    elif reply.status in {401, 403}:
        yield _good("service", answered)
        yield _bad("key accepted", f"refused: {excerpt(reply.body)}")
    else:
        body = repr(excerpt(reply.body))
        words = f"{answered} is not an answer of FoxAPI: {body}; check the base URL"
        yield _unavailable("service", words)


def _phota_models(ids: tuple[str, ...]) -> Finding:
    allowed = [model for model in _PHOTA_MODELS if model in ids]
    missing = [model for model in _PHOTA_MODELS if model not in ids]
    if not missing:
        return _good("models", f"this key may call {', '.join(allowed)}")
    similar = [id_ for id_ in ids if "phota" in id_ and id_ not in allowed]
    words = f"this key may not call {', '.join(missing)}"
    if allowed:
        words += f"; it may call {', '.join(allowed)}"
    if similar:
        words += f"; similar models are {', '.join(similar[:5])}"
    refused = "A submission to a model that is not listed is refused and costs nothing"
    return _note("models", f"{words}. {refused}")


def _clock(exchange: Exchange | None) -> Iterator[Finding]:
    if exchange is None or isinstance(exchange.reply, str):
        return
    theirs = _date(exchange.reply.date)
    if theirs is None:
        yield _unknown("clock", "the server does not send its time")
        return
    ours = exchange.began + timedelta(seconds=exchange.seconds / 2)
    # The header is truncated to whole seconds: on average it is half a second behind.
    ahead = (ours - theirs).total_seconds() - 0.5
    off = max(0.0, abs(ahead) - exchange.seconds / 2)
    if off <= _CLOCK_TOLERANCE:
        yield _good("clock", f"within {_CLOCK_TOLERANCE:g} s of the server's")
        return
    words = f"{off:.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's"
    if off > _CLOCK_IS_WRONG:
        words += "; set it, or dates and times in records will be wrong"
    yield _note("clock", words)


def _account(exchange: Exchange | None) -> Iterator[Finding]:
    if exchange is None:
        return
    reply = exchange.reply
    payload = None if isinstance(reply, str) else _payload(reply)
    if isinstance(reply, str) or not is_object(payload):
        why = reply if isinstance(reply, str) else f"HTTP {reply.status}"
        yield _unknown("balance", f"GET /v1/account/credits: {why}")
    elif words := balance_text(read_balance(payload)):
        yield _good("balance", words)
    else:
        yield _note("balance", f"in an unknown format: {excerpt(reply.body)}")


def _journal(journal: JournalFacts | str | None) -> Iterator[Finding]:
    if journal is None:
        return
    if isinstance(journal, str):
        yield _bad("journal", journal)
        return
    known, server = f"{journal.shown}, {count(journal.requests, 'request')}", journal.server
    if server is None:
        yield _good("journal", known)
        return
    state = "" if server.version else "; it is not created yet, the first session does that"
    yield _good("journal", f"{known}: {server.server}, connect {_ms(server.seconds)}{state}")
    for warning in server.warnings:
        yield _note("journal", warning)
    if server.missing_rights:
        yield _bad("journal user", f"it needs {', '.join(server.missing_rights)}")
    if server.shares_connections:
        words = "it gives one connection of the server to several clients (transaction pooling)"
        advice = "no session would see that another one lives; use session pooling, or no pool"
        yield _bad("journal pool", f"{words}, so {advice}")


def _model_ids(reply: Reply) -> tuple[str, ...] | None:
    data = _field(_payload(reply), "data")
    if not isinstance(data, list):
        return None
    ids = [_field(row, "id") for row in cast("list[object]", data)]
    return tuple(id_ for id_ in ids if isinstance(id_, str))


def _field(value: object, name: str) -> object:
    return cast("Mapping[str, object]", value).get(name) if isinstance(value, Mapping) else None


def _payload(reply: Reply) -> object:
    try:
        return decode(reply.body) if 200 <= reply.status <= 299 else None  # noqa: PLR2004
    except ValueError:
        return None


def _date(header: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _ms(seconds: float | None) -> str:
    return "?" if seconds is None else f"{1000 * seconds:.0f} ms"
