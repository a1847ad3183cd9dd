"""`foxapi doctor`: facts by free calls, and what they mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import attrs
import pytest
from yarl import URL

from foxapi_async.cli.checkup import Connection, Exchange, Facts
from foxapi_async.cli.diagnosis import Finding, Grade, diagnose
from foxapi_async.cli.exits import Exit, gravest
from foxapi_async.cli.keys import Key
from foxapi_async.emulator import Fault, html, text
from foxapi_async.http.responses import Reply
from tests.cli.process import KEY, environment, foxapi, together

NOW = datetime(2026, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC)
LISTED = b'{"data": [{"id": "phota-image"}, {"id": "x/phota-image-edit"}, {"id": 7}, "odd"]}'


def exchange(body: bytes, status: int = 200, ahead: float = 0.0) -> Exchange:
    date = format_datetime(NOW - timedelta(seconds=ahead), usegmt=True)
    return Exchange(Reply(status, body, date=date), None, NOW, 0.1)


FACTS = Facts(
    versions={"foxapi-async": "1"},
    key=Key("sk-x", "the environment"),
    key_error=None,
    base_url=URL("https://api.foxapi.cc"),
    base_url_error=None,
    proxies=(),
    connection=Connection(("192.0.2.1",), 0.01, 0.02, "TLSv1.3", NOW + timedelta(days=36500)),
    models=exchange(LISTED),
    account=exchange(b'{"data": {"token": {"remaining_credits": 5, "used_credits": 2}}}'),
)


def found(facts: Facts) -> dict[str, Finding]:
    return {finding.subject: finding for finding in diagnose(facts)}


def code_of(facts: Facts) -> Exit:
    return gravest(finding.code for finding in diagnose(facts))


def test_what_costs_money_to_find_out_is_named_as_not_checked():
    assert found(FACTS)["generation"].grade is Grade.UNKNOWN
    assert found(FACTS)["rate limits"].grade is Grade.UNKNOWN
    assert code_of(FACTS) is Exit.OK


def test_models_that_this_key_may_not_call_are_named_with_what_looks_like_them():
    finding = found(FACTS)["models"]
    assert finding.grade is Grade.NOTE
    assert "may not call phota-image-edit" in finding.words
    assert "similar ones are x/phota-image-edit" in finding.words


@pytest.mark.parametrize(
    ("change", "subject", "code"),
    [
        ({"key": None, "key_error": "no API key"}, "key", Exit.KEY),
        ({"base_url": None, "base_url_error": "not HTTPS"}, "base URL", Exit.KEY),
        ({"connection": Connection(error="no such name")}, "connection", Exit.OUT_OF_REACH),
        ({"models": Exchange(None, "cut off", NOW, 1.0)}, "service", Exit.OUT_OF_REACH),
        ({"models": exchange(b"{}", 401)}, "key accepted", Exit.KEY),
        ({"models": exchange(b"error code: 1010", 403)}, "key accepted", Exit.KEY),
        ({"models": exchange(b"<html>portal</html>")}, "service", Exit.OUT_OF_REACH),
        ({"models": exchange(b'{"data": 7}')}, "service", Exit.OUT_OF_REACH),
    ],
)
def test_what_is_bad_is_found_and_decides_the_exit_code(change, subject, code):
    facts = attrs.evolve(FACTS, **change)
    assert found(facts)[subject].grade is Grade.BAD
    assert code_of(facts) is code


@pytest.mark.parametrize(
    ("change", "subject", "words"),
    [
        ({"key": Key("token", "a file", warnings=("close it",))}, "key", "does not begin with sk-"),
        ({"key": Key("sk-x", "a file", warnings=("close it",))}, "key file", "close it"),
        ({"proxies": ("HTTPS_PROXY",)}, "proxy", "not used"),
        ({"models": exchange(LISTED, ahead=30)}, "clock", "30 s ahead of the server's"),
        ({"models": exchange(LISTED, ahead=-3600)}, "clock", "3600 s behind the server's; set it"),
        ({"account": exchange(b'{"balance": 3}')}, "balance", "not known"),
    ],
)
def test_what_is_odd_is_noted_and_ends_nothing(change, subject, words):
    facts = attrs.evolve(FACTS, **change)
    assert found(facts)[subject].grade is Grade.NOTE
    assert words in found(facts)[subject].words
    assert code_of(facts) is Exit.OK


def test_a_certificate_that_ends_soon_is_noted():
    soon = Connection(("192.0.2.1",), 0.0, 0.0, "TLSv1.3", datetime.now(UTC) + timedelta(days=2))
    assert found(attrs.evolve(FACTS, connection=soon))["certificate"].grade is Grade.NOTE


def test_a_clock_is_right_within_what_a_date_can_tell():
    for ahead in (-2.0, 0.0, 2.0):
        facts = attrs.evolve(FACTS, models=exchange(LISTED, ahead=ahead))
        assert found(facts)["clock"].grade is Grade.GOOD
    silent = Exchange(Reply(200, LISTED), None, NOW, 0.1)
    assert found(attrs.evolve(FACTS, models=silent))["clock"].grade is Grade.UNKNOWN


def test_a_balance_that_cannot_be_asked_is_not_checked():
    for account in (exchange(b"", 404), Exchange(None, "cut off", NOW, 1.0)):
        facts = attrs.evolve(FACTS, account=account)
        assert found(facts)["balance"].grade is Grade.UNKNOWN


@pytest.mark.ordinary_loop
async def test_it_asks_a_real_server_and_nothing_is_billed(emulated):
    async with emulated(api_key=[KEY, "sk-portal"]) as (emulator, env):
        welcome = html(200, "Welcome")
        emulator.script(
            Fault("models", welcome, when=lambda call: "portal" in call.headers["Authorization"]),
            Fault("credits", text(500, "oh")),
        )
        done, wrong, without, portal = await together(
            lambda: foxapi("doctor", env=env),
            lambda: foxapi("doctor", "--json", env={**env, "FOXAPI_API_KEY": "sk-wrong"}),
            lambda: foxapi("doctor", "-q", env={**env, "FOXAPI_API_KEY": ""}),
            lambda: foxapi("doctor", env={**env, "FOXAPI_API_KEY": "sk-portal"}),
        )
    assert done.code == 0
    assert "ok    key accepted  it may call 4 models" in done.lines
    assert KEY not in done.out + done.err
    assert wrong.code == 3
    assert [each["subject"] for each in wrong.document["findings"] if each["grade"] == "bad"] == [
        "key accepted"
    ]
    assert (without.code, without.err) == (3, "")
    assert "without a key: HTTP 401" in without.out
    assert portal.code == 5
    assert "check the base URL" in portal.out
    assert emulator.counters.posts == 0


@pytest.mark.ordinary_loop
async def test_it_tells_which_step_towards_the_server_fails():
    env = environment(FOXAPI_API_KEY=KEY)
    nobody, plain = await together(
        lambda: foxapi("doctor", "--base-url", "http://127.0.0.1:9", env=env),
        lambda: foxapi("doctor", "--base-url", "http://example.com", env=env),
    )
    assert nobody.code == 5
    assert "no connection to port 9" in nobody.out
    assert plain.code == 3
    assert "not HTTPS" in plain.out
