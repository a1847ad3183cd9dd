"""Links are kept as they are, and only safe ones are followed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from foxapi_async.files.urls import check_link, next_hop, shown

SECRET = "sig=s3cret"


@pytest.mark.parametrize(
    "link",
    [
        "https://cdn.example/a%2Fb%7e/x.png?sig=a+b%2b==&x=%zz&y=~",
        "https://cdn.example:8443/a?X-Amz-Signature=AbC%2F",
        "https://[2001:db8::1]/a",
        "https://10.0.0.1/a",
    ],
)
def test_a_link_is_not_encoded_again(link):
    assert str(check_link(link, loopback=False)) == link


def test_characters_that_no_url_may_contain_are_encoded():
    url = check_link("https://cdn.example/a fox ü.png?x=ü%20", loopback=False)
    assert url.raw_path_qs == "/a%20fox%20%C3%BC.png?x=%C3%BC%20"


@pytest.mark.parametrize(
    "link",
    [
        "",
        "/files/a.png",
        "data:image/png;base64,AAAA",
        "ftp://cdn.example/a",
        "file:///etc/passwd",
        "http://cdn.example/a",
        "http://127.0.0.1.evil.example/a",
        "http://127.0.0.1/a",
        "https://",
        "https:///a",
        "https://a..example/a",
        f"https://{'a' * 64}.example/a",
        "https://user@cdn.example/a",
        "https://user:password@cdn.example/a",
        "https://@cdn.example/a",
        "https://cdn.example:99999/a",
        "https://cdn.example:abc/a",
        "https://[::1/a",
        "https://exa\\mple/a",
        "https://b\u00fccher.example/a",
        "https://cdn.example/a\r\nX-Evil: 1",
        "https://cdn.example/\ud800",
    ],
)
def test_other_links_are_refused_without_showing_their_query(link):
    with pytest.raises(ValueError, match="link") as caught:
        check_link(f"{link}?{SECRET}", loopback=False)
    assert SECRET not in str(caught.value)
    assert "password" not in str(caught.value).replace("or a password", "")


def test_http_is_allowed_only_to_loopback_and_only_if_the_api_is_on_loopback():
    assert check_link("http://127.0.0.1:8000/a", loopback=True).port == 8000
    assert check_link("http://[::1]:8000/a", loopback=True).port == 8000
    with pytest.raises(ValueError, match=r"cdn\.example is not https"):
        check_link("http://cdn.example/a", loopback=True)
    with pytest.raises(ValueError, match=r"127\.0\.0\.1 is not https"):
        check_link("http://127.0.0.1/a", loopback=False)


HERE = URL("https://cdn.example/a/b.png?x=%2b", encoded=True)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://other.example/c?sig=a+b%2b", "https://other.example/c?sig=a+b%2b"),
        ("/c%2Fd?y=%7e", "https://cdn.example/c%2Fd?y=%7e"),
        ("c.png", "https://cdn.example/a/c.png"),
        ("//other.example/c", "https://other.example/c"),
        ("/a fox", "https://cdn.example/a%20fox"),
    ],
)
def test_a_redirect_is_followed(location, expected):
    assert str(next_hop(HERE, location, loopback=False)) == expected


@pytest.mark.parametrize(
    "location",
    ["http://cdn.example/a", "//user@cdn.example/", "ftp://a/b", "https://a:b/", "/a\x00", "http:"],
)
def test_a_redirect_is_checked_like_a_link(location):
    with pytest.raises(ValueError, match="redirect") as caught:
        next_hop(HERE, f"{location}?{SECRET}", loopback=False)
    assert SECRET not in str(caught.value)


def test_a_link_is_shown_without_its_query():
    assert shown(URL(f"https://cdn.example/a%2Fb?{SECRET}#x", encoded=True)) == (
        "https://cdn.example/a%2Fb"
    )


@given(st.text(), st.booleans())
def test_every_text_is_a_safe_url_or_a_value_error(text, loopback):
    for link in (text, f"https://{text}", f"https://cdn.example/{text}"):
        try:
            url = check_link(link, loopback=loopback)
        except ValueError:
            continue
        assert url.scheme == "https"
        assert str(url).isascii()
        assert url.user is None
