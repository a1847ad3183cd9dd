"""API key, base URL and headers: precedence, validation, and no secret in an error."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import ConfigurationError
from foxapi_async.environment import (
    DEFAULT_BASE_URL,
    check_headers,
    find_api_key,
    find_base_url,
    is_loopback,
)

KEY = "sk-fox-0123456789"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    monkeypatch.delenv("FOXAPI_API_KEY", raising=False)
    monkeypatch.delenv("FOXAPI_BASE_URL", raising=False)


def everything_said(call: Callable[[], object]) -> str:
    """Return the text of the refusal, with its traceback, causes and attributes."""
    with pytest.raises(ConfigurationError) as refused:
        call()
    error = refused.value
    # Without the source lines, which show this test's own text.
    lines = traceback.TracebackException.from_exception(error).format_exception_only()
    chain = [repr(error.__cause__), repr(vars(error)), repr(error.args)]
    return "\n".join([*lines, *chain])


def test_a_given_key_takes_precedence_over_the_environment(monkeypatch):
    monkeypatch.setenv("FOXAPI_API_KEY", "sk-environment")
    assert find_api_key(KEY) == KEY
    assert find_api_key(None) == "sk-environment"


@pytest.mark.parametrize("key", [f" {KEY}\n", f"{KEY}\r\n", f"\t{KEY}"])
def test_whitespace_around_a_key_is_removed(key, monkeypatch):
    assert find_api_key(key) == KEY
    monkeypatch.setenv("FOXAPI_API_KEY", key)
    assert find_api_key(None) == KEY


@pytest.mark.parametrize("key", [None, "", " \n"])
def test_without_a_key_the_error_names_both_ways_to_pass_one(key):
    said = everything_said(lambda: find_api_key(key))
    assert "Session(api_key=" in said
    assert "FOXAPI_API_KEY" in said


def test_an_empty_key_does_not_fall_back_to_the_environment(monkeypatch):
    monkeypatch.setenv("FOXAPI_API_KEY", KEY)
    with pytest.raises(ConfigurationError):
        find_api_key("")


@pytest.mark.parametrize(
    "key", ["sk fox-1", "sk-fox-1\nX: y", "sk-fox-1é", "sk-fox-1\u200b", "\ud800sk-fox-1"]
)
def test_a_key_that_cannot_be_in_a_header_is_rejected_and_not_shown(key):
    said = everything_said(lambda: find_api_key(key))
    assert "the API key contains a space" in said
    assert "fox-1" not in said


@pytest.mark.parametrize(
    ("key", "why"),
    [
        *((f"{before}{KEY}{after}", "in quotes") for before, after in ('""', "''", "“”", "``")),
        (f'"{KEY}', "in quotes"),
        (f"{KEY}'", "in quotes"),
        (f"FOXAPI_API_KEY={KEY}", "name of a variable and '='"),
        (f"export FOXAPI_API_KEY={KEY}", "name of a variable and '='"),
        (f"FOXAPI_API_KEY = {KEY}", "name of a variable and '='"),
        (f"$env:FOXAPI_API_KEY={KEY}", "name of a variable and '='"),
        (f"Bearer {KEY}", "Bearer"),
        (f"bearer:{KEY}", "Bearer"),
        (f"Authorization: {KEY}", "Bearer"),
        ("${FOXAPI_API_KEY}", "not replaced by its value"),
        ("$FOXAPI_API_KEY", "not replaced by its value"),
        ("%FOXAPI_API_KEY%", "not replaced by its value"),
        ("${{ secrets.FOXAPI_API_KEY }}", "not replaced by its value"),
        ("{{key}}", "not replaced by its value"),
        ("~/.config/foxapi/key", "path"),
        ("/run/secrets/key", "path"),
        ("op://vault/key", "path"),
        ('os.environ["FOXAPI_API_KEY"]', "name of a variable"),
        ("process.env.FOXAPI_API_KEY", "name of a variable"),
        ("@FOXAPI_API_KEY", "name of a variable"),
        *(
            (text, "in brackets")
            for text in ["<token>", "<your-key>", "[key]", "{key}", "sk-<key>"]
        ),
        *(
            (text, "shortened or masked")
            for text in [
                "sk-",
                "sk-...",
                "sk-…",
                "sk-ab...yz",
                "sk-****",
                "sk-xxxxxxxx",
                "XXXX",
                "sk-ab••cd",
            ]
        ),
        *(
            (text, "is a placeholder")
            for text in [
                "your-api-key",
                "YOUR_API_KEY",
                "sk-your-key",
                "sk-your_foxapi_key",
                "yourkey",
                "api-key",
                "API_KEY",
                "FOXAPI_API_KEY",
                "sk-api-key",
                "api-key-here",
                "my-key",
                "token",
                "sk-secret",
                "changeme",
                "change-me",
                "insert-key",
                "REPLACE_ME",
                "None",
                "null",
                "undefined",
            ]
        ),
    ],
)
def test_what_people_pass_in_place_of_a_key_is_rejected_with_a_hint(key, why, monkeypatch):
    said = everything_said(lambda: find_api_key(key))
    assert why in said
    assert KEY not in said
    monkeypatch.setenv("FOXAPI_API_KEY", f"{key}\n")
    assert why in everything_said(lambda: find_api_key(None))


@pytest.mark.parametrize("key", [KEY.encode(), 5, ["sk-1"]])
def test_a_key_that_is_not_a_text_is_rejected_and_not_shown(key):
    said = everything_said(lambda: find_api_key(key))
    assert "must be a str" in said
    assert "sk-" not in said


@pytest.mark.parametrize(
    "key", ["sk-emulator", "k", "test", "sk-test-key", "QUJDRA==", "sk-a=b", "x"]
)
def test_an_unusual_key_is_accepted(key):
    assert find_api_key(key) == key


@given(st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=32))
def test_every_random_key_is_accepted(rest):
    assert find_api_key(f"sk-{rest}") == f"sk-{rest}"


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        (None, "https://api.foxapi.cc/"),
        ("https://api.foxapi.cc", "https://api.foxapi.cc/"),
        ("https://api.foxapi.cc/", "https://api.foxapi.cc/"),
        (" https://api.foxapi.cc\n", "https://api.foxapi.cc/"),
        ("HTTPS://API.FoxAPI.cc", "https://api.foxapi.cc/"),
        ("https://gateway.example:8443/fox//", "https://gateway.example:8443/fox"),
        ("https://gateway.example/v10", "https://gateway.example/v10"),
        ("http://localhost:8080", "http://localhost:8080/"),
        ("http://fox.localhost", "http://fox.localhost/"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
        ("http://127.9.9.9", "http://127.9.9.9/"),
        ("http://[::1]:80", "http://[::1]/"),
    ],
)
def test_a_plain_url_is_accepted_without_its_trailing_slash(given_url, url, monkeypatch):
    assert str(find_base_url(given_url)) == url
    if given_url is not None:
        monkeypatch.setenv("FOXAPI_BASE_URL", given_url)
        assert str(find_base_url(None)) == url


def test_a_given_url_takes_precedence_over_the_environment(monkeypatch):
    monkeypatch.setenv("FOXAPI_BASE_URL", "https://environment.example")
    assert str(find_base_url("https://given.example")) == "https://given.example/"
    assert str(find_base_url(None)) == "https://environment.example/"


def test_an_empty_environment_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("FOXAPI_BASE_URL", "")
    assert str(find_base_url(None)) == f"{DEFAULT_BASE_URL}/"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not an https"),
        ("   ", "not an https"),
        ("api.foxapi.cc", "not an https"),
        ("//api.foxapi.cc", "not an https"),
        ("/v1/images", "not an https"),
        ("ftp://api.foxapi.cc", "not an https"),
        ("file:///etc/hosts", "not an https"),
        ("https://", "not a"),
        ("https:///path", "not a"),
        ("https://api. foxapi.cc", "not an https"),
        ("https://api.foxapi.cc/a b", "not an https"),
        ("https://api.foxapi.cc/\x7f", "not an https"),
        ("https://api.foxapi.cc:fox", "not a URL"),
        ("https://api.foxapi.cc:99999", "not a URL"),
        ("https://[::1", "not a URL"),
        (5, "not a URL"),
        (b"https://api.foxapi.cc", "not a URL"),
        ("https://me@api.foxapi.cc", "user name or a password"),
        ("https://me:secret@api.foxapi.cc", "user name or a password"),
        ("https://:secret@api.foxapi.cc", "user name or a password"),
        ("https://api.foxapi.cc?a=1", "query or a fragment"),
        ("https://api.foxapi.cc#a", "query or a fragment"),
        ("http://api.foxapi.cc", "not HTTPS"),
        ("http://127.0.0.1.evil.example", "not HTTPS"),
        ("http://localhost.evil.example", "not HTTPS"),
        ("http://notlocalhost", "not HTTPS"),
        ("http://0.0.0.0", "not HTTPS"),
        ("http://192.168.0.1", "not HTTPS"),
        ("http://[::2]", "not HTTPS"),
        ("http://10.127.0.1", "not HTTPS"),
        ("https://api.foxapi.cc/v1", "ends in /v1"),
        ("https://api.foxapi.cc/fox/v1//", "ends in /v1"),
        ("http://localhost/v1", "ends in /v1"),
        ("https://api.foxapi.cc/V1/", "ends in /v1"),
        *(
            (f"https://api.foxapi.cc{path}", "address of one endpoint")
            for path in [
                "/v1/images/generations",
                "/v1/tasks/task-1",
                "/v1/models/",
                "/V1/x",
                "/%761/models",
                "/fox/v1/images/generations",
                "/images/generations",
                "/v1beta/models",
                "/chat/completions",
            ]
        ),
    ],
)
def test_any_other_url_is_rejected_with_the_reason_and_an_example(url, why):
    with pytest.raises(ConfigurationError) as refused:
        find_base_url(url)
    assert str(refused.value).startswith("base_url: it ")
    assert why in str(refused.value)
    assert DEFAULT_BASE_URL in str(refused.value)


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("https://gateway.example:8443/v1/images/generations", "https://gateway.example:8443"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080"),
    ],
)
def test_the_right_url_is_shown_in_place_of_an_endpoint(url, right):
    assert everything_said(lambda: find_base_url(url)).count(f", here {right}") >= 1


@pytest.mark.parametrize(
    "url",
    [
        KEY,
        f"{KEY}/v1",
        f"https://api.foxapi.cc/v1/{KEY}",
        f"https://{KEY}@api.foxapi.cc",
        f"https://me:{KEY}@api.foxapi.cc",
        f"https://me:{KEY}@api.foxapi.cc:port",
        f"https://api.foxapi.cc?key={KEY}",
        f"https://api.foxapi.cc#{KEY}",
        f"https://api.foxapi.cc/{KEY}/v1",
        f"http://api.foxapi.cc/{KEY}",
        f"http://{KEY}",
        f"http://[{KEY}]",
        f"https://api.foxapi.cc:{KEY}",
        f"https://{KEY} x",
        f"https://\u2100{KEY}",
    ],
)
def test_a_key_in_the_base_url_is_not_shown(url, monkeypatch):
    assert KEY not in everything_said(lambda: find_base_url(url))
    monkeypatch.setenv("FOXAPI_BASE_URL", url)
    assert KEY not in everything_said(lambda: find_base_url(None))


@given(st.text())
def test_any_text_is_a_url_or_rejected(text):
    try:
        url = find_base_url(text)
    except ConfigurationError:
        return
    assert url.scheme == "https" or is_loopback(url.host)
    assert not any((url.user, url.password, url.query_string, url.fragment))


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        *((host, True) for host in ("localhost", "a.localhost", "127.0.0.1", "127.1.2.3", "::1")),
        *((host, False) for host in (None, "", "example.com", "0.0.0.0", "::", "localhost.com")),
    ],
)
def test_only_loopback_hosts_are_loopback(host, is_it):
    assert is_loopback(host) is is_it


def test_extra_headers_are_accepted_unchanged():
    headers = {
        "X-Trace": "1",
        "User-Agent": "my-app/1",
        "X-Empty": "",
        "X-Tab": "a\tb",
        "X-É"[:2]: "é",
    }
    checked = check_headers(headers)
    assert checked == headers
    assert checked is not headers
    assert check_headers(None) == check_headers({}) == {}


@pytest.mark.parametrize(
    "name",
    ["Authorization", "authorization", "AUTHORIZATION", "Host", "Content-Length", "Content-Type",
     "Transfer-Encoding", "Connection"],
)  # fmt: skip
def test_headers_that_the_session_sets_are_rejected(name):
    said = everything_said(lambda: check_headers({name: f"Bearer {KEY}"}))
    assert f"{name} is set by the session; remove it" in said
    assert KEY not in said


@pytest.mark.parametrize("name", ["", " ", "X Y", "X:Y", "X\n", "É", 5, None, b"X"])
def test_an_invalid_header_name_is_rejected(name):
    said = everything_said(lambda: check_headers({name: KEY}))
    assert "is not the name of a header" in said
    assert KEY not in said


@pytest.mark.parametrize(
    "value",
    [
        f"{KEY}\r\nX: y",
        f"{KEY}\n",
        f"{KEY}\x00",
        f"{KEY}\x1b[0m",
        f"{KEY}\ud800",
        5,
        None,
        KEY.encode(),
    ],
)
def test_an_invalid_header_value_is_rejected_and_not_shown(value):
    said = everything_said(lambda: check_headers({"X-Proxy": value}))
    assert "the value of X-Proxy" in said
    assert KEY not in said


@pytest.mark.parametrize("headers", [["X"], "X: y", 5, [("X", "y")]])
def test_headers_that_are_not_a_mapping_are_rejected(headers):
    assert "mapping" in everything_said(lambda: check_headers(headers))
