"""Which proxy a request goes through; each URL is decided by itself. Pure.

The environment variables are read as curl and other SDKs read them. aiohttp's own ``trust_env`` is not
used: it ignores ALL_PROXY, sends loopback to the proxy, and fails where ``.netrc`` knows the host.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from typing import Final

import attrs
from yarl import URL

from foxapi_async._validators import check_host
from foxapi_async.environment import is_loopback
from foxapi_async.errors import ConfigurationError

_SCHEMES: Final = frozenset({"http", "https"})
_ANY_RESULT_HOST: Final = URL("https://results.invalid")

_INSTEAD: Final = (
    'pass an http:// proxy, proxy="" for none, or an aiohttp.ClientSession of yours with http=…'
)


@attrs.frozen
class Proxy:
    """A proxy; ``source`` is the variable or option that names it."""

    url: URL
    source: str
    user: str | None = attrs.field(default=None, repr=False)
    password: str = attrs.field(default="", repr=False)

    def authorization(self) -> str | None:
        """Return the value of the header Proxy-Authorization, None without a user name."""
        if self.user is None:
            return None
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"

    def __str__(self) -> str:
        """Return the proxy for a text: without user name and password."""
        return f"{str(self.url).rstrip('/')} ({self.source})"


@attrs.frozen
class Proxies:
    """The proxies by scheme, where a text says why one cannot be used, and hosts that need none."""

    by_scheme: Mapping[str, Proxy | str] = attrs.field(factory=dict[str, Proxy | str])
    exceptions: tuple[str, ...] = ()

    def for_url(self, url: URL) -> Proxy | None:
        """Return the proxy for a URL, None if it is requested directly, as loopback always is.

        Raises:
            ConfigurationError: The proxy cannot be used.
        """
        proxy = self.by_scheme.get(url.scheme)
        host = url.host
        if proxy is None or not host or _is_this_machine(host):
            return None
        if any(_excepts(entry, host.lower().rstrip("."), url.port) for entry in self.exceptions):
            return None
        if isinstance(proxy, str):
            raise ConfigurationError(proxy)
        return proxy

    def check(self, base_url: URL) -> None:
        """Raise `ConfigurationError` if the API or its result files need a proxy that cannot be used."""
        self.for_url(base_url)
        if not _is_this_machine(base_url.host or ""):
            self.for_url(_ANY_RESULT_HOST)


def find_proxies(given: str | None, environment: Mapping[str, str]) -> Proxies:
    """Return the proxies: the one that was given, none for "", else those of the environment.

    ``HTTPS_PROXY`` (or ``HTTP_PROXY``, by the scheme of the URL) comes before ``ALL_PROXY``; the
    lower-case name of a variable before the other, even if it is empty. ``NO_PROXY`` lists hosts,
    domains, addresses, networks, each perhaps with a port, or ``*``.

    Raises:
        ConfigurationError: The given one cannot be used.
    """
    if given is not None:
        proxy = _parse(given, "proxy")
        if isinstance(proxy, str):
            raise ConfigurationError(proxy)
        return Proxies({} if proxy is None else dict.fromkeys(_SCHEMES, proxy))
    found: dict[str, Proxy | str] = {}
    for scheme in _SCHEMES:
        proxy = None
        for name in (f"{scheme}_proxy", "all_proxy"):
            proxy = proxy or _parse(*_variable(environment, name))
        if proxy is not None:
            found[scheme] = proxy
    exceptions, _ = _variable(environment, "no_proxy")
    return Proxies(found, tuple(re.split(r"[\s,]+", exceptions.strip().lower())))


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    if name in environment:
        return environment[name], name
    upper = name.upper()
    if upper == "HTTP_PROXY" and "REQUEST_METHOD" in environment:
        return "", name  # in a CGI script that is the header Proxy of a stranger's request
    return environment.get(upper, ""), upper


def _parse(text: object, source: str) -> Proxy | str | None:
    """Return a proxy, or why it cannot be used; the text omits the value, which may hold a password."""
    text = text.strip() if isinstance(text, str) else "\0"
    if not text:
        return None
    not_usable = f"{source} is not the URL of a proxy; it should look like http://host:3128"
    if re.search(r"[\s\x00-\x1f\x7f\ud800-\udfff]", text):
        return not_usable
    try:
        url = URL(text if "://" in text else f"http://{text}")
        user, password = url.user, url.password
        plain = url.with_user(None).origin()
        check_host(plain.raw_host)
    except ValueError:
        return not_usable
    if url.scheme.startswith("socks"):
        return f"{source}: {url.scheme[:8]}:// proxies are not supported; {_INSTEAD}"
    if url.scheme not in _SCHEMES:
        return not_usable
    if user is None and password is not None:
        user = ""
    return Proxy(plain, source, user, password or "")


def _is_this_machine(host: str) -> bool:
    name = host.rstrip(".")
    if is_loopback(name):
        return True
    address = _address(name)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped is not None and mapped.is_loopback


def _excepts(entry: str, host: str, port: int | None) -> bool:
    """Return whether an entry of NO_PROXY excepts a host."""
    if entry == "*":
        return True
    bare = re.sub(r"^\w+://|/$", "", entry)
    match = re.fullmatch(r"(?:\[(.+)\]|([^:]+)|(.*:.*:.*))(?::(\d+))?", bare)
    if match is None:
        return False
    name = str(match[1] or match[2] or match[3]).translate({91: None, 93: None})  # without [ ]
    if match[4] is not None and int(match[4]) != port:
        return False
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(name, strict=False)
        except ValueError:
            return False
    domain = name.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
