"""`foxapi doctor`: facts from free calls, and findings from facts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import attrs
import pytest
from yarl import URL

from foxapi_async.cli.credentials import Key
from foxapi_async.cli.diagnosis import Connection, Exchange, Facts, Finding, Grade, diagnose
from foxapi_async.cli.exit_codes import ExitCode, most_severe
from foxapi_async.emulator import Fault, html, text
from foxapi_async.http.proxies import find_proxies
from foxapi_async.http.responses import Reply
from tests.cli.process import KEY, environment, foxapi, together

NOW = datetime(2026, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC)
LISTED = b'{"data": [{"id": "phota-image"}, {"id": "x/phota-image-edit"}, {"id": 7}, "odd"]}'


def exchange(body: bytes, status: int = 200, ahead: float = 0.0) -> Exchange:
    date = format_datetime(NOW - timedelta(seconds=ahead), usegmt=True)
    return Exchange(Reply(status, body, date=date), NOW, 0.1)


FACTS = Facts(
    versions={"foxapi-async": "1"},
    key=Key("sk-x", "the environment"),
    base_url=URL("https://api.foxapi.cc"),
    connection=Connection(("192.0.2.1",), 0.01, 0.02, "TLSv1.3", NOW + timedelta(days=36500)),
    models=exchange(LISTED),
    account=exchange(b'{"data": {"token": {"remaining_credits": 5, "used_credits": 2}}}'),
)


def found(facts: Facts) -> dict[str, Finding]:
    return {finding.subject: finding for finding in diagnose(facts)}


def code_of(facts: Facts) -> ExitCode:
    return most_severe(finding.exit_code for finding in diagnose(facts))


def test_checks_that_would_be_billed_are_listed_as_not_checked():
    assert found(FACTS)["generation"].grade is Grade.UNKNOWN
    assert found(FACTS)["rate limits"].grade is Grade.UNKNOWN
    assert code_of(FACTS) is ExitCode.OK


def test_models_that_the_key_may_not_call_are_listed_with_similar_ones():
    finding = found(FACTS)["models"]
    assert finding.grade is Grade.NOTE
    assert "may not call phota-image-edit" in finding.words
    assert "similar models are x/phota-image-edit" in finding.words


@pytest.mark.parametrize(
    ("change", "subject", "code"),
    [
        ({"key": "no API key"}, "key", ExitCode.CONFIGURATION),
        ({"base_url": "not HTTPS"}, "base URL", ExitCode.CONFIGURATION),
        ({"connection": Connection(error="no such name")}, "connection", ExitCode.UNAVAILABLE),
        ({"models": Exchange("cut off", NOW, 1.0)}, "service", ExitCode.UNAVAILABLE),
        ({"models": exchange(b"{}", 401)}, "key accepted", ExitCode.CONFIGURATION),
        ({"models": exchange(b"error code: 1010", 403)}, "key accepted", ExitCode.CONFIGURATION),
        ({"models": exchange(b"<html>portal</html>")}, "service", ExitCode.UNAVAILABLE),
        ({"models": exchange(b'{"data": 7}')}, "service", ExitCode.UNAVAILABLE),
    ],
)
def test_a_bad_finding_decides_the_exit_code(change, subject, code):
    facts = attrs.evolve(FACTS, **change)
    assert found(facts)[subject].grade is Grade.BAD
    assert code_of(facts) is code


@pytest.mark.parametrize(
    ("change", "subject", "words"),
    [
        ({"key": Key("token", "a file", warnings=("close it",))}, "key", "does not begin with sk-"),
        ({"key": Key("sk-x", "a file", warnings=("close it",))}, "key file", "close it"),
        ({"models": exchange(LISTED, ahead=30)}, "clock", "30 s ahead of the server's"),
        ({"models": exchange(LISTED, ahead=-3600)}, "clock", "3600 s behind the server's; set it"),
        ({"account": exchange(b'{"balance": 3}')}, "balance", "unknown format"),
    ],
)
def test_a_note_does_not_change_the_exit_code(change, subject, words):
    facts = attrs.evolve(FACTS, **change)
    assert found(facts)[subject].grade is Grade.NOTE
    assert words in found(facts)[subject].words
    assert code_of(facts) is ExitCode.OK


def test_a_certificate_that_expires_soon_is_noted():
    soon = Connection(("192.0.2.1",), 0.0, 0.0, "TLSv1.3", datetime.now(UTC) + timedelta(days=2))
    assert found(attrs.evolve(FACTS, connection=soon))["certificate"].grade is Grade.NOTE


def test_the_clock_is_good_within_the_precision_of_the_date_header():
    for ahead in (-2.0, 0.0, 2.0):
        facts = attrs.evolve(FACTS, models=exchange(LISTED, ahead=ahead))
        assert found(facts)["clock"].grade is Grade.GOOD
    silent = Exchange(Reply(200, LISTED), NOW, 0.1)
    assert found(attrs.evolve(FACTS, models=silent))["clock"].grade is Grade.UNKNOWN


def test_a_balance_without_an_answer_is_not_checked():
    for account in (exchange(b"", 404), Exchange("cut off", NOW, 1.0)):
        facts = attrs.evolve(FACTS, account=account)
        assert found(facts)["balance"].grade is Grade.UNKNOWN


@pytest.mark.ordinary_loop
async def test_it_checks_a_real_server_and_nothing_is_billed(emulated):
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
    assert re.search(r"HTTP 401 in \d+ ms, as expected without a key", without.out)
    assert portal.code == 5
    assert "check the base URL" in portal.out
    assert emulator.counters.posts == 0


@pytest.mark.ordinary_loop
async def test_the_failing_step_of_a_connection_is_reported():
    env = environment(FOXAPI_API_KEY=KEY)
    nobody, plain = await together(
        lambda: foxapi("doctor", "--base-url", "http://127.0.0.1:9", env=env),
        lambda: foxapi("doctor", "--base-url", "http://example.com", env=env),
    )
    assert nobody.code == 5
    assert "no connection to port 9" in nobody.out
    assert plain.code == 3
    assert "not HTTPS" in plain.out


def test_the_proxy_that_is_used_is_named_and_one_that_cannot_be_used_is_bad():
    proxy = find_proxies(None, {"HTTPS_PROXY": "http://fox:s3cret@h:3128"}).for_url(FACTS.base_url)
    finding = found(attrs.evolve(FACTS, proxy=proxy))["proxy"]
    assert finding.grade is Grade.GOOD
    assert finding.words.startswith("http://h:3128 (HTTPS_PROXY)")
    finding = found(attrs.evolve(FACTS, proxy="ALL_PROXY: socks5:// proxies are not supported"))[
        "proxy"
    ]
    assert (finding.grade, finding.exit_code) == (Grade.BAD, ExitCode.CONFIGURATION)
    assert "proxy" not in found(FACTS)
