"""API key, base URL and headers, validated before anything is sent."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Final, cast

from yarl import URL

from foxapi_async._typeguards import is_mapping
from foxapi_async._validators import check_host
from foxapi_async.errors import ConfigurationError

DEFAULT_BASE_URL: Final = "https://api.foxapi.cc"

_OURS: Final = frozenset(
    {"authorization", "content-length", "content-type", "host", "transfer-encoding", "connection"}
)
_NOT_IN_A_URL: Final = r"[\s\x00-\x1f\x7f<>{}]"
_NOT_IN_A_HEADER: Final = r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]"

_QUOTES: Final = "[\"'`\u00ab\u00b4\u00bb\u2018\u2019\u201c\u201d\u201e]"
_REPLACE_IT: Final = "is a placeholder: put the key itself there"
_NO_KEYS: Final = (
    (rf"^{_QUOTES}|{_QUOTES}$", "is in quotes: pass it without them"),
    (
        r"^(export\s+|set\s+|\$env:)?[a-z]\w*\s*=\s*[^=\s]",
        "begins with the name of a variable and '=': pass only what follows it",
    ),
    (
        r"^(authorization|bearer)\b",
        "begins with the name of a header or Bearer: pass the key alone",
    ),
    (
        r"\$\{|\{\{|^\$|^%\w+%$|^env:",
        "is the name of a variable that was not replaced by its value: set the variable",
    ),
    (r"^~?/|^\w+://|^file:", "is a path or an address: pass what is stored there"),
    (r"^[<\[{(].*[>\]})]$|<.*>", "is a placeholder in brackets: put the key itself there"),
    (
        r"\.\.\.|\u2026|\*\*|\u2022\u2022|^(sk-)?[x_-]{3,}$|^sk[-_]?$",
        "is shortened or masked: copy the whole key",
    ),
    (r"(?<![a-z])your.?(own|real|secret|foxapi|api|key|token)", _REPLACE_IT),
    (
        r"(?<![a-z])(insert|enter|put|paste|add|replace|change).?(me|your|the|api|key|here|this)",
        _REPLACE_IT,
    ),
    (r"key.?here$|^(sk-)?(((foxapi|my).?)?(api.?)?key|placeholder|secret|token)$", _REPLACE_IT),
    (
        r"foxapi_api_key|^(process\.env|os\.environ|os\.getenv)\b",
        "is the name of a variable: pass its value",
    ),
    (r"^(none|null|nil|undefined|todo|tbd)$", _REPLACE_IT),
)
"""What people pass in place of a key, and what to do about it."""

_ENDPOINT: Final = r"/v1(beta)?(/|$)|/(images|videos|audios?|run|llm)/generations|/chat/completions"


def find_api_key(given: str | None) -> str:
    """Return the key that was given, or FOXAPI_API_KEY; raise `ConfigurationError` if there is no usable one."""
    value = cast("object", os.environ.get("FOXAPI_API_KEY", "") if given is None else given)
    if not isinstance(value, str):
        raise ConfigurationError(f"the API key is of type {type(value).__name__}; it must be a str")
    key = value.strip()
    if not key:
        raise ConfigurationError(
            "no API key: pass Session(api_key=…) or set the environment variable FOXAPI_API_KEY"
        )
    # The texts omit the key, which may be the right one with a stray character.
    for pattern, why in _NO_KEYS:
        if re.search(pattern, key, re.IGNORECASE):
            raise ConfigurationError(f"the API key {why}; keys look like sk-…")
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ConfigurationError(
            "the API key contains a space or a character that is not plain ASCII; keys look like sk-…"
        )
    return key


def find_base_url(given: str | None) -> URL:
    """Return the base URL that was given, else that of FOXAPI_BASE_URL, else the service's own.

    `ConfigurationError` is raised unless it is plain HTTPS (or HTTP to a loopback host).
    """
    text = given if given is not None else os.environ.get("FOXAPI_BASE_URL") or DEFAULT_BASE_URL
    # The texts omit the given value, which may be or contain the key.
    try:
        text = text.strip()
        url = URL(text)
        host = url.host
        check_host(url.raw_host)
    except (ValueError, TypeError, AttributeError):
        raise _bad_base_url("it is not a URL") from None
    if url.scheme not in {"http", "https"} or not host or re.search(_NOT_IN_A_URL, text):
        raise _bad_base_url("it is not an https:// URL")
    if url.user is not None or url.password is not None:
        raise _bad_base_url("it contains a user name or a password")
    if url.query_string or url.fragment:
        raise _bad_base_url("it contains a query or a fragment")
    if url.scheme == "http" and not is_loopback(host):
        raise _bad_base_url("it is not HTTPS, so the API key would be sent unencrypted")
    path = url.path.rstrip("/")
    if path.lower().endswith("/v1"):
        raise _bad_base_url("it ends in /v1, which the SDK adds itself", url)
    if re.search(_ENDPOINT, path, re.IGNORECASE):
        raise _bad_base_url(
            "it is the address of one endpoint; leave out the path from /v1 on, which the SDK adds "
            "itself",
            url,
        )
    return url.with_path(path or "/")


def _bad_base_url(why: str, url: URL | None = None) -> ConfigurationError:
    # Only a plain host is shown: a path may hold the key.
    is_plain = url is not None and re.match(r"/v1(/|$)", url.path, re.IGNORECASE)
    here = f", here {url.origin()}" if url is not None and is_plain else ""
    return ConfigurationError(f"base_url: {why}; it should look like {DEFAULT_BASE_URL}{here}")


def is_loopback(host: str | None) -> bool:
    """Return whether a host name or address is a loopback one."""
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_user_agent(suffix: object, headers: Mapping[str, str]) -> str | None:
    """Return what to append to the User-Agent; raise `ConfigurationError` if that is not possible."""
    if suffix is None:
        return None
    if not isinstance(suffix, str) or not re.fullmatch(r"[\x21-\x7e]+(\x20[\x21-\x7e]+)*", suffix):
        raise ConfigurationError(
            f"user_agent is {suffix!r}; it must be plain ASCII such as 'myapp/1.0', or None"
        )
    if any(name.lower() == "user-agent" for name in headers):
        raise ConfigurationError("user_agent and a User-Agent in headers: pass one of them")
    return suffix


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return extra request headers; raise `ConfigurationError` for one that cannot be set."""
    given: object = {} if headers is None else headers
    if not is_mapping(given):
        raise ConfigurationError("headers must be a mapping of names to values")
    checked: dict[str, str] = {}
    for name, value in given.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ConfigurationError(f"headers: {name!r} is not the name of a header")
        if name.lower() in _OURS:
            raise ConfigurationError(f"headers: {name} is set by the session; remove it")
        # The texts omit the value, which may be a secret.
        if not isinstance(value, str):
            raise ConfigurationError(f"headers: the value of {name} is not a text")
        if re.search(_NOT_IN_A_HEADER, value):
            raise ConfigurationError(
                f"headers: the value of {name} contains a line break or another control character"
            )
        checked[name] = value
    return checked
