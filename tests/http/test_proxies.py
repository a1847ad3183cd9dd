"""Which proxy a URL gets: the variables as curl and other SDKs read them."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from foxapi_async import ConfigurationError
from foxapi_async.http.proxies import find_proxies

API = "https://api.foxapi.cc"
SECRET = "s3cret"


def proxy_of(url: str = API, given: str | None = None, **environment: str) -> str | None:
    proxy = find_proxies(given, environment).for_url(URL(url))
    return None if proxy is None else str(proxy.url).rstrip("/")


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        ({"https_proxy": "http://a:1"}, "http://a:1"),
        ({"ALL_PROXY": "http://a:1"}, "http://a:1"),
        ({"all_proxy": "http://a:1"}, "http://a:1"),
        ({"HTTP_PROXY": "http://a:1"}, None),
        ({"http_proxy": "http://a:1"}, None),
        ({"HTTPS_PROXY": "http://a:1", "ALL_PROXY": "http://b:2"}, "http://a:1"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:2"}, "http://b:2"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": ""}, None),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://b:2"}, "http://b:2"),
        ({"HTTPS_PROXY": " a:3128 "}, "http://a:3128"),
        ({"HTTPS_PROXY": "a"}, "http://a"),
        ({"HTTPS_PROXY": "https://a:1"}, "https://a:1"),
        ({"HTTPS_PROXY": "HTTP://A:1/"}, "http://a:1"),
        ({"HTTPS_PROXY": "http://[2001:db8::1]:1"}, "http://[2001:db8::1]:1"),
        ({"HTTPS_PROXY": "http://u:p@a:1"}, "http://a:1"),
        ({"HTTPS_PROXY": "u:p@a:1"}, "http://a:1"),
        ({"HTTPS_PROXY": "http://a:1", "ALL_PROXY": "socks5://b"}, "http://a:1"),
    ],
)
def test_the_variables_are_read_in_both_cases_and_in_order(environment, proxy):
    assert proxy_of(**environment) == proxy


def test_the_proxy_for_plain_http_is_a_variable_of_its_own():
    assert proxy_of("http://h", HTTP_PROXY="http://a:1", HTTPS_PROXY="http://b:1") == "http://a:1"
    # In a CGI script it is the header "Proxy" of a stranger's request.
    assert proxy_of("http://h", HTTP_PROXY="http://a:1", REQUEST_METHOD="GET") is None
    assert proxy_of("http://h", http_proxy="http://a:1", REQUEST_METHOD="GET") == "http://a:1"


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1", "127.9.8.7", "[::1]"),
        *("[::ffff:127.0.0.1]", "127.0.0.1:8080", "[::1]:8080"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_loopback_is_never_sent_to_a_proxy(host, scheme):
    url = f"{scheme}://{host}"
    everything = {
        "HTTP_PROXY": "http://a:1",
        "HTTPS_PROXY": "http://a:1",
        "ALL_PROXY": "http://a:1",
    }
    assert proxy_of(url, **everything) is None
    assert proxy_of(url, given="http://a:1") is None
    assert proxy_of(url, ALL_PROXY="socks5://a:1") is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "excepted"),
    [
        ("*", API, True),
        ("foxapi.cc", API, True),
        (".foxapi.cc", API, True),
        ("*.foxapi.cc", API, True),
        ("api.foxapi.cc", API, True),
        ("API.FOXAPI.CC.", API, True),
        ("other.example, foxapi.cc", API, True),
        ("other.example foxapi.cc", API, True),
        (",, ,foxapi.cc,", API, True),
        ("foxapi.cc:443", API, True),
        ("https://api.foxapi.cc/", API, True),
        ("foxapi.cc:8443", API, False),
        ("foxapi.cc:8443", f"{API}:8443", True),
        ("oxapi.cc", API, False),
        ("xapi.foxapi.cc", API, False),
        ("foxapi", API, False),
        ("cc", API, True),
        ("", API, False),
        (",", API, False),
        (".", API, False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("10.1.2.3:443", "https://10.1.2.3", True),
        ("10.1.2.3:80", "https://10.1.2.3", False),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", API, False),
        ("10.0.0.0/33", "https://10.1.2.3", False),
        ("2.3", "https://10.1.2.3", False),
        ("2001:db8::/32", "https://[2001:db8::7]", True),
        ("[2001:db8::]/32", "https://[2001:db8::7]", True),
        ("2001:db8::7", "https://[2001:db8:0::7]", True),
        ("[2001:db8::7]:443", "https://[2001:db8::7]", True),
        ("[2001:db8::7]:80", "https://[2001:db8::7]", False),
        ("10.0.0.0/8", "https://[2001:db8::7]", False),
    ],
)
def test_no_proxy_lists_hosts_domains_addresses_and_networks(no_proxy, url, excepted):
    for name in ("NO_PROXY", "no_proxy"):
        environment = {"HTTPS_PROXY": "http://a:1", name: no_proxy}
        assert (proxy_of(url, **environment) is None) is excepted


def test_a_given_proxy_takes_precedence_over_every_variable():
    environment = {"HTTPS_PROXY": "http://b:2", "NO_PROXY": "*"}
    assert proxy_of(given="http://a:1", **environment) == "http://a:1"
    assert proxy_of(given="", **environment) is None
    assert proxy_of(given="", HTTPS_PROXY="socks5://b:2") is None


BAD = [
    "ftp://a:1",
    "http://",
    "http://a:port",
    "http://a b:1",
    "file:///x",
    "http://a:99999",
    "\ud800",
]
SOCKS = ["socks://a:1", "socks4://a", "socks4a://a", "socks5://u:s3cret@a", "SOCKS5H://a:1"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        *(
            (text, "is not the URL of a proxy; it should look like http://host:3128")
            for text in BAD
        ),
        (f"ftp://u:{SECRET}@a", "is not the URL of a proxy"),
        *((text, ":// proxies are not supported; pass an http:// proxy") for text in SOCKS),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(value, why):
    for given_proxy, environment in ((value, {}), (None, {"ALL_PROXY": value})):
        with pytest.raises(ConfigurationError) as refused:
            find_proxies(given_proxy, environment).check(URL(API))
        assert why in str(refused.value)
        assert str(refused.value).startswith("proxy" if given_proxy else "ALL_PROXY")
        assert SECRET not in str(refused.value)
    find_proxies(None, {"ALL_PROXY": value}).check(URL("http://127.0.0.1:8080"))
    find_proxies(None, {"ALL_PROXY": value, "NO_PROXY": "*"}).check(URL(API))
    # The hosts of the results, which nobody knows yet, would need it.
    with pytest.raises(ConfigurationError):
        find_proxies(None, {"ALL_PROXY": value, "NO_PROXY": "foxapi.cc"}).check(URL(API))


@pytest.mark.parametrize("value", [5, b"http://a:1", ["http://a:1"]])
def test_a_proxy_that_is_not_a_text_is_refused(value):
    with pytest.raises(ConfigurationError, match="not the URL of a proxy"):
        find_proxies(value, {})


def test_user_name_and_password_are_in_no_text():
    proxy = find_proxies(f"http://fox:{SECRET}%40ü@a:3128", {}).for_url(URL(API))
    assert proxy is not None
    assert (proxy.user, proxy.password) == ("fox", f"{SECRET}@ü")
    assert str(proxy) == "http://a:3128 (proxy)"
    assert SECRET not in repr(proxy)
    assert proxy.authorization() == "Basic Zm94OnMzY3JldEDDvA=="
    assert pickle.loads(pickle.dumps(proxy)) == proxy


def test_a_user_name_or_a_password_may_stand_alone():
    for text, header in (("u@a", "Basic dTo="), (":p@a", "Basic OnA="), ("a", None)):
        proxy = find_proxies(f"http://{text}", {}).for_url(URL(API))
        assert proxy is not None
        assert proxy.authorization() == header


@given(st.text(), st.text())
def test_any_text_is_a_proxy_or_refused(proxy, no_proxy):
    try:
        find_proxies(None, {"ALL_PROXY": proxy, "NO_PROXY": no_proxy}).check(URL(API))
    except ConfigurationError:
        return
