"""Sessions behind a proxy that knows CONNECT, with TLS of a private authority."""

from __future__ import annotations

import ssl
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from foxapi_async import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    DownloadError,
    FoxAPIError,
    PhotaImage,
    Retry,
    Session,
    Timeout,
)
from foxapi_async.cli.context import CommandContext
from foxapi_async.emulator import Emulator
from tests.cli.process import environment, foxapi, together
from tests.conftest import OpenSession
from tests.http.connect_proxy import (
    API,
    AUTHORITY,
    CERTIFICATE,
    ConnectProxy,
    behind_a_proxy,
    pump,
    serving,
    trust_authority,
)

KEY = "sk-emulator"
FOX = PhotaImage("a fox")
ONCE = Retry(attempts=1)
TUNNELS = {"CONNECT api.fox.test:443", "CONNECT cdn.fox.test:443"}
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    trust_authority()


@pytest.fixture
async def proxy(emulator: Emulator) -> AsyncIterator[ConnectProxy]:
    async with behind_a_proxy(emulator) as proxy:
        yield proxy


async def use_everything(session: Session, directory: Path) -> None:
    stored = await session.upload(b"\x89PNG\r\n\x1a\n picture", filename="a.png")
    assert stored.url
    task = await session.generate(FOX)
    [path] = await session.download(task, directory)
    assert path.read_bytes() == await session.read(task.outputs[0])


def check_secrets(proxy: ConnectProxy, emulator: Emulator) -> None:
    """Check that the proxy was told no key, and that the service was told no password."""
    assert not [head for head in proxy.heads if KEY in head]
    seen = [str(call.headers).lower() for call in emulator.calls]
    assert not [headers for headers in seen if "proxy-auth" in headers or "basic" in headers]


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_everything_goes_through_the_proxy_of_the_environment(
    name, proxy, emulator, monkeypatch, tmp_path
):
    monkeypatch.setenv(name, proxy.url)
    async with Session(KEY, base_url=API) as session:
        await use_everything(session, tmp_path)
    assert set(proxy.asked) == TUNNELS
    assert not [head for head in proxy.heads if "Authorization" in head]
    check_secrets(proxy, emulator)


async def test_a_given_proxy_overrides_the_environment(proxy, emulator, monkeypatch, tmp_path):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    async with Session(KEY, base_url=API, proxy=proxy.url) as session:
        await use_everything(session, tmp_path)
    assert set(proxy.asked) == TUNNELS
    check_secrets(proxy, emulator)


async def test_the_proxy_itself_may_be_reached_with_tls(proxy, emulator, tmp_path):
    async with Session(KEY, base_url=API, proxy=proxy.secure_url) as session:
        await use_everything(session, tmp_path)
    assert set(proxy.asked) == TUNNELS
    check_secrets(proxy, emulator)


async def test_user_name_and_password_are_sent_to_the_proxy_only(proxy, emulator, tmp_path):
    url = proxy.url.replace("http://", "http://fox:s3cret%40@")
    async with Session(KEY, base_url=API, proxy=url) as session:
        await use_everything(session, tmp_path)
    assert all("Proxy-Authorization: Basic Zm94OnMzY3JldEA=\r\n" in head for head in proxy.heads)
    check_secrets(proxy, emulator)


@pytest.mark.parametrize(
    ("user", "is_given"), [("", True), ("", False), ("fox:s3cret@", True), ("fox:s3cret@", False)]
)
async def test_a_proxy_gets_no_headers_of_the_callers_session(
    user, is_given, proxy, monkeypatch, tmp_path
):
    url = proxy.url.replace("http://", f"http://{user}")
    monkeypatch.setenv("HTTPS_PROXY", url)
    secrets = {"Authorization": "Bearer of-the-caller", "X-Secret": "of-the-caller"}
    async with (
        aiohttp.ClientSession(headers=secrets, trust_env=True) as http,
        Session(KEY, base_url=API, http=http, proxy=url if is_given else None) as session,
    ):
        await use_everything(session, tmp_path)
    assert set(proxy.asked) == TUNNELS
    assert not [head for head in proxy.heads if "of-the-caller" in head]
    assert all(("Proxy-Authorization: Basic " in head) == bool(user) for head in proxy.heads)
    assert not [head for head in proxy.heads if KEY in head]


async def test_loopback_is_reached_without_the_proxy(
    proxy, open_session, monkeypatch, emulator, tmp_path
):
    emulator.faults.clear()
    for name in VARIABLES[:3]:
        monkeypatch.setenv(name, proxy.url)
    async with open_session() as session:
        await use_everything(session, tmp_path)
    async with open_session(proxy=proxy.url) as session:
        await use_everything(session, tmp_path)
    async with aiohttp.ClientSession(trust_env=True) as http, open_session(http=http) as session:
        await use_everything(session, tmp_path)
    assert proxy.asked == []


async def test_netrc_is_never_read(proxy, emulator, monkeypatch, tmp_path):
    for host in ("api.fox.test", "cdn.fox.test", "127.0.0.1"):
        with (tmp_path / ".netrc").open("a") as netrc:
            netrc.write(f"machine {host} login fox password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    async with Session(KEY, base_url=API) as session:
        await use_everything(session, tmp_path)
    async with (
        aiohttp.ClientSession(trust_env=True) as http,
        Session(KEY, base_url=API, http=http) as session,
    ):
        await use_everything(session, tmp_path)
    assert set(proxy.asked) == TUNNELS
    check_secrets(proxy, emulator)


async def test_the_proxy_of_the_callers_session_counts_unless_one_is_given(
    proxy, emulator, monkeypatch
):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with (
        aiohttp.ClientSession(proxy=proxy.url) as http,
        Session(KEY, base_url=API, http=http) as session,
    ):
        await session.generate(FOX)
    assert set(proxy.asked) == {"CONNECT api.fox.test:443"}
    async with aiohttp.ClientSession(proxy="http://127.0.0.1:9") as http:
        async with Session(KEY, base_url=API, http=http, proxy=proxy.url) as session:
            await session.generate(FOX)
        async with Session(KEY, base_url=API, http=http, proxy="", retry=ONCE) as session:
            with pytest.raises(APIConnectionError, match=r"api\.fox\.test") as refused:
                await session.retrieve("task-1")
    assert "127.0.0.1:9" not in str(refused.value)
    check_secrets(proxy, emulator)


REFUSALS = {
    "407": (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "HTTP 407"),
    "502 with a page": (
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<h1>no</h",
        "HTTP 502 Bad Gateway",
    ),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: https://log.in/\r\n\r\n", "HTTP 302"),
    "nonsense": (b"\x16\x03\x01 what\r\n\r\n", ""),
    "nothing": (b"", ""),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_what_the_proxy_itself_answers_means_that_nothing_was_sent(
    name, proxy, emulator, tmp_path
):
    proxy.answer, words = REFUSALS[name]
    url = proxy.url.replace("http://", "http://fox:s3cret@")
    async with Session(KEY, base_url=API, proxy=url, retry=ONCE) as session:
        errors: list[FoxAPIError] = []
        for call in (session.submit(FOX), session.retrieve("task-1"), session.upload(b"x")):
            with pytest.raises(APIConnectionError) as failed:
                await call
            errors.append(failed.value)
        [outcome] = [outcome async for outcome in session.map([FOX])]
    assert outcome.status == "not_submitted"
    assert errors[0].sent is False
    if words:
        assert not any(error.sent for error in errors)
    assert words in str(errors[0])
    assert f"through the proxy {proxy.url} (proxy)" in str(errors[0])
    for error in errors:
        said = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__cause__)
        assert "s3cret" not in said
        assert KEY not in said
    assert emulator.counters.images_billed == 0


async def test_a_proxy_that_is_not_there_is_named_without_its_password(emulator, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://fox:s3cret@127.0.0.1:9")
    async with Session(KEY, base_url=API, retry=ONCE) as session:
        with pytest.raises(APIConnectionError) as failed:
            await session.generate(FOX)
    assert "through the proxy http://127.0.0.1:9 (ALL_PROXY)" in str(failed.value)
    assert failed.value.sent is False
    assert "s3cret" not in str(failed.value) + repr(failed.value.__cause__)


async def test_a_silent_proxy_ends_a_call_and_a_download_in_time(proxy, emulator, tmp_path):
    timeout = Timeout(request=20)
    async with Session(KEY, base_url=API, proxy=proxy.url, retry=ONCE, timeout=timeout) as session:
        task = await session.generate(FOX)
        proxy.silent = True
    async with Session(KEY, base_url=API, proxy=proxy.url, retry=ONCE, timeout=timeout) as session:
        with pytest.raises(APITimeoutError, match="through the proxy") as failed:
            await session.submit(FOX)
        assert failed.value.sent is False
        with pytest.raises(DownloadError, match="through the proxy"):
            await session.download(task, tmp_path)
    assert emulator.counters.images_billed == 1


async def test_no_proxy_applies_to_each_host_by_itself(proxy, emulator, monkeypatch, tmp_path):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "cdn.fox.test")
    async with Session(KEY, base_url=API, retry=ONCE) as session:
        task = await session.generate(FOX)
        with pytest.raises(DownloadError, match=r"cdn\.fox\.test") as failed:
            await session.download(task, tmp_path)
    assert "proxy" not in str(failed.value)
    assert set(proxy.asked) == {"CONNECT api.fox.test:443"}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
async def test_a_socks_proxy_is_refused_before_anything_is_sent(
    variable, open_session: OpenSession, monkeypatch
):
    monkeypatch.setenv(variable, "socks5h://fox:s3cret@127.0.0.1:1080")
    with pytest.raises(
        ConfigurationError, match=f"{variable}: socks5h:// proxies are not"
    ) as refused:
        Session(KEY, base_url=API)
    assert "s3cret" not in str(refused.value)
    Session(KEY, base_url=API, proxy="")
    async with aiohttp.ClientSession() as http:  # perhaps with a connector that knows SOCKS
        Session(KEY, base_url=API, http=http)
    async with open_session() as session:
        await session.generate(FOX)


async def test_the_headers_of_the_session_are_sent_through_a_proxy_too(proxy, emulator):
    headers = {"X-Trace": "t-1", "User-Agent": "my-app/1"}
    async with Session(KEY, base_url=API, proxy=proxy.url, headers=headers) as session:
        await session.generate(FOX)
    sent = [call.headers for call in emulator.calls]
    assert {(each["X-Trace"], each["User-Agent"]) for each in sent} == {("t-1", "my-app/1")}
    assert not [head for head in proxy.heads if "t-1" in head]


@pytest.mark.ordinary_loop
async def test_the_command_line_uses_the_proxy_and_the_authority_of_the_system(tmp_path):
    bundle = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(bundle)
    env = environment(FOXAPI_API_KEY=KEY, FOXAPI_BASE_URL=API, SSL_CERT_FILE=str(bundle))
    arguments = ("generate", "a fox", "-o", str(tmp_path), "--json")
    async with (
        Emulator(duration=0.1, picture_scale=1 / 16) as emulator,
        behind_a_proxy(emulator) as proxy,
    ):
        done, checked = await together(
            lambda: foxapi(
                *arguments, "--proxy", proxy.url, env={**env, "HTTPS_PROXY": "http://a:9"}
            ),
            lambda: foxapi("doctor", env={**env, "HTTPS_PROXY": proxy.url}),
        )
    assert done.code == checked.code == 0, done.err + checked.out
    assert len(done.document["tasks"][0]["outputs"]) == 1
    assert f"{proxy.url} (HTTPS_PROXY)" in checked.out
    assert set(proxy.asked) == TUNNELS
    check_secrets(proxy, emulator)


@pytest.mark.ordinary_loop
async def test_the_hint_how_to_go_on_names_the_proxy_without_its_password(tmp_path):
    env = environment(FOXAPI_API_KEY=KEY, FOXAPI_BASE_URL="https://api.fox.test")
    done = await foxapi(
        *("generate", "a fox", "-o", str(tmp_path), "--proxy", "socks5://fox:s3cret@127.0.0.1:9"),
        env=env,
    )
    assert done.code == 3
    assert "socks5:// proxies are not supported" in done.err
    assert "s3cret" not in done.err + done.out
    for given, shown in (("http://f:p@ss@h:1", "http://h:1"), ("f:p@h:1", "h:1"), ("", "")):
        context = CommandContext(proxy=given, base_url=API)
        assert context.options() == ["--base-url", API, "--proxy", shown]


@pytest.mark.much  # in debug mode asyncio reports the handshake that fails
@pytest.mark.parametrize("is_trusted", [True, False])
async def test_the_authority_that_the_callers_connector_trusts_decides(
    emulator: Emulator, is_trusted: bool
):
    mine, own = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CERTIFICATE.configure_cert(own)
    if is_trusted:
        AUTHORITY.configure_trust(mine)
    port = int(emulator.url.rpartition(":")[2])
    async with (
        serving(lambda reader, writer: pump(reader, writer, port), own) as tls_port,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=mine)) as http,
        Session(KEY, base_url=f"https://localhost:{tls_port}", http=http, retry=ONCE) as session,
    ):
        if is_trusted:
            await session.generate(FOX)
        else:
            with pytest.raises(APIConnectionError, match="certificate") as caught:
                await session.submit(FOX)
            assert not caught.value.sent
    assert emulator.counters.posts == emulator.counters.images_billed == is_trusted
