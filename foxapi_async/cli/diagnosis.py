"""What the facts of a checkup mean: a list of findings. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, cast
from urllib.parse import urlsplit

import attrs

from foxapi_async.cli.checkup import Connection, Exchange, Facts
from foxapi_async.cli.exits import Exit
from foxapi_async.environment import is_loopback
from foxapi_async.http.codec import decode, excerpt
from foxapi_async.http.responses import Reply

__all__ = ["Finding", "Grade", "diagnose"]

PHOTA_MODELS: Final = (
    "phota-image",
    "phota-image-edit",
    "phota-image-enhance",
    "phota-create-profile",
)

_CLOCK_IS_RIGHT: Final = 3.0
"""Seconds: the Date header has whole seconds, and the way takes time."""

_CLOCK_IS_WRONG: Final = 60.0
_CERTIFICATE_ENDS_SOON: Final = timedelta(days=7)


class Grade(enum.Enum):
    """How good a finding is."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "bad"
    UNKNOWN = "not checked"


@attrs.frozen
class Finding:
    """One thing that was looked at; ``code`` is the exit code that it leads to."""

    subject: str
    grade: Grade
    words: str
    code: Exit = Exit.OK


def diagnose(facts: Facts) -> list[Finding]:
    """Return what the facts mean, in the order in which a person would look."""
    return [
        Finding(
            "versions",
            Grade.GOOD,
            ", ".join(f"{name} {version}" for name, version in facts.versions.items()),
        ),
        *_key(facts),
        *_address(facts),
        *_connection(facts.connection),
        *_models(facts),
        *_clock(facts.models),
        *_account(facts.account),
        Finding(
            "generation",
            Grade.UNKNOWN,
            "only a submission shows that one is accepted, and a submission is billed",
        ),
        Finding(
            "rate limits",
            Grade.UNKNOWN,
            "the service does not publish any; a session finds them from its 429s",
        ),
    ]


def _key(facts: Facts) -> Iterator[Finding]:
    key = facts.key
    if key is None:
        yield Finding("key", Grade.BAD, facts.key_error or "there is none", Exit.KEY)
        return
    usual = key.value.startswith("sk-")
    yield Finding(
        "key",
        Grade.GOOD if usual else Grade.NOTE,
        f"from {key.source}, {len(key.value)} characters"
        + ("" if usual else "; it does not begin with sk-, as keys of this service do"),
    )
    for warning in key.warnings:
        yield Finding("key file", Grade.NOTE, warning)


def _address(facts: Facts) -> Iterator[Finding]:
    if facts.base_url is None:
        yield Finding("base URL", Grade.BAD, facts.base_url_error or "unusable", Exit.KEY)
        return
    local = is_loopback(urlsplit(str(facts.base_url)).hostname)
    yield Finding(
        "base URL",
        Grade.GOOD,
        f"{facts.base_url}" + (" (this machine: an emulator?)" if local else ""),
    )
    if facts.proxies and not local:
        yield Finding(
            "proxy",
            Grade.NOTE,
            f"{', '.join(facts.proxies)} set, and not used; "
            "Session(http=aiohttp.ClientSession(trust_env=True)) would",
        )


def _connection(connection: Connection | None) -> Iterator[Finding]:
    if connection is None:
        return
    if connection.error is not None:
        yield Finding("connection", Grade.BAD, connection.error, Exit.OUT_OF_REACH)
        return
    tls = "" if connection.tls_version is None else f", {connection.tls_version}"
    yield Finding(
        "connection",
        Grade.GOOD,
        f"{connection.addresses[0]}, looked up in {_ms(connection.lookup_seconds)}, "
        f"connected in {_ms(connection.connect_seconds)}{tls}",
    )
    ends = connection.certificate_ends
    if ends is not None and ends - datetime.now(UTC) < _CERTIFICATE_ENDS_SOON:
        yield Finding("certificate", Grade.NOTE, f"it ends on {ends:%Y-%m-%d}")


def _models(facts: Facts) -> Iterator[Finding]:
    exchange = facts.models
    if exchange is None:
        return
    reply = exchange.reply
    if reply is None:
        yield Finding("service", Grade.BAD, exchange.error or "no answer", Exit.OUT_OF_REACH)
        return
    took = f"HTTP {reply.status} in {_ms(exchange.seconds)}"
    ids = _model_ids(reply)
    if ids is not None:
        yield Finding("service", Grade.GOOD, f"GET /v1/models: {took}")
        yield Finding("key accepted", Grade.GOOD, f"it may call {len(ids)} models")
        yield _phota(ids)
    elif reply.status == 401 and facts.key is None:  # noqa: PLR2004
        yield Finding("service", Grade.GOOD, f"GET /v1/models without a key: {took}, as it should")
    elif reply.status in {401, 403}:
        yield Finding("service", Grade.GOOD, f"GET /v1/models: {took}")
        yield Finding("key accepted", Grade.BAD, f"refused: {excerpt(reply.body)}", Exit.KEY)
    else:
        yield Finding(
            "service",
            Grade.BAD,
            f"GET /v1/models: {took} is not what FoxAPI answers: {excerpt(reply.body)!r}; "
            "check the base URL",
            Exit.OUT_OF_REACH,
        )


def _phota(ids: tuple[str, ...]) -> Finding:
    there = [model for model in PHOTA_MODELS if model in ids]
    missing = [model for model in PHOTA_MODELS if model not in ids]
    if not missing:
        return Finding("models", Grade.GOOD, f"this key may call {', '.join(there)}")
    alike = [id_ for id_ in ids if "phota" in id_ and id_ not in there]
    return Finding(
        "models",
        Grade.NOTE,
        f"this key may not call {', '.join(missing)}"
        + (f"; it may call {', '.join(there)}" if there else "")
        + (f"; similar ones are {', '.join(alike[:5])}" if alike else "")
        + ". A submission to a model that is not listed is refused and costs nothing",
    )


def _clock(exchange: Exchange | None) -> Iterator[Finding]:
    if exchange is None or exchange.reply is None:
        return
    theirs = _date(exchange.reply.date)
    if theirs is None:
        yield Finding("clock", Grade.UNKNOWN, "the server does not tell the time")
        return
    ours = exchange.began + timedelta(seconds=exchange.seconds / 2)
    # The header is cut to whole seconds: on average it is half a second behind.
    ahead = (ours - theirs).total_seconds() - 0.5
    off = max(0.0, abs(ahead) - exchange.seconds / 2)
    if off <= _CLOCK_IS_RIGHT:
        yield Finding("clock", Grade.GOOD, f"within {_CLOCK_IS_RIGHT:g} s of the server's")
        return
    direction = "ahead of" if ahead > 0 else "behind"
    yield Finding(
        "clock",
        Grade.NOTE,
        f"{off:.0f} s {direction} the server's"
        + ("; set it: dates and times in records will be wrong" if off > _CLOCK_IS_WRONG else ""),
    )


def _account(exchange: Exchange | None) -> Iterator[Finding]:
    if exchange is None:
        return
    reply = exchange.reply
    payload = None if reply is None else _json(reply)
    if reply is None or not 200 <= reply.status <= 299 or payload is None:  # noqa: PLR2004
        why = exchange.error or (f"HTTP {reply.status}" if reply is not None else "no answer")
        yield Finding("balance", Grade.UNKNOWN, f"GET /v1/account/credits: {why}")
        return
    words = _balance(payload)
    yield Finding(
        "balance",
        Grade.GOOD if words else Grade.NOTE,
        words or f"in a form that is not known: {excerpt(reply.body)}",
    )


def _balance(payload: object) -> str:
    """Return the balance in words, empty if the form is not known: the vendor documents none."""
    token = _field(_field(payload, "data"), "token")
    used, left = _field(token, "used_credits"), _field(token, "remaining_credits")
    if _field(token, "unlimited_credits") is True:
        return f"this key has no limit of its own; used {used}"
    return f"{left} credits left for this key, used {used}" if left is not None else ""


def _model_ids(reply: Reply) -> tuple[str, ...] | None:
    data = _field(_json(reply), "data")
    if not 200 <= reply.status <= 299 or not isinstance(data, list):  # noqa: PLR2004
        return None
    ids = [_field(row, "id") for row in cast("list[object]", data)]
    return tuple(id_ for id_ in ids if isinstance(id_, str))


def _field(value: object, name: str) -> object:
    """Return a field of a JSON object, None if there is no such field or no object."""
    return cast("Mapping[str, object]", value).get(name) if isinstance(value, Mapping) else None


def _json(reply: Reply) -> object:
    try:
        return decode(reply.body)
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
