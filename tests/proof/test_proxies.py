"""Between the program and the API: a CONNECT proxy, and TLS with an authority of one's own."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from foxapi_async import APIConnectionError, PhotaImage, Polling, Retry, Session
from foxapi_async.emulator import Emulator, Fault, Rewrite
from tests.proof.connect_proxy import ConnectProxy, open_proxy, open_tls

pytestmark = [pytest.mark.once, pytest.mark.much, pytest.mark.ordinary_loop]

ROOT = Path(__file__).parent.parent.parent
API, FILES = "https://api.foxapi.example", "https://files.foxapi.example"
FOX = PhotaImage("a fox")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(duration=0.1, picture_scale=1 / 40, seed=1) as emulator:
        yield emulator


@pytest.fixture
async def tls_port(emulator: Emulator, authority: trustme.CA) -> AsyncIterator[int]:
    """The emulator with TLS, as localhost and as the two hosts behind the proxy."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "api.foxapi.example", "files.foxapi.example").configure_cert(
        context
    )
    async with open_tls(int(emulator.url.rpartition(":")[2]), context) as port:
        yield port


@pytest.fixture
async def proxy(tls_port: int) -> AsyncIterator[ConnectProxy]:
    async with open_proxy(api_foxapi_example=tls_port, files_foxapi_example=tls_port) as proxy:
        yield proxy


def link_to(emulator: Emulator, origin: str) -> Fault:
    """Have the links of results lead to another origin."""

    def change(task: Any) -> Any:
        return json.loads(json.dumps(task).replace(emulator.files_url, origin))

    return Fault("poll", Rewrite(change), times=None)


async def run_program(
    *arguments: str, authority: trustme.CA, folder: Path, **variables: str
) -> Any:
    """Run the user's program and return what it printed."""
    bundle = folder / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    clean = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.proof.proxy_client", *arguments),
        cwd=ROOT,
        env={**clean, "SSL_CERT_FILE": str(bundle), **variables},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert b"s3cret-word" not in said
    return json.loads(said)


async def test_the_authority_of_the_callers_connector_is_trusted(
    emulator: Emulator, tls_port: int, authority: trustme.CA, tmp_path: Path
):
    base_url = f"https://localhost:{tls_port}"
    emulator.script(link_to(emulator, base_url))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    connector = aiohttp.TCPConnector(ssl=trusting)
    polling = Polling(poll_cost=0.01, min_interval=0.05)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        Session("sk-emulator", base_url=base_url, http=http, polling=polling) as session,
    ):
        [path] = await session.download(await session.generate(FOX), tmp_path)
    assert path.stat().st_size > 0
    assert emulator.counters.posts == emulator.counters.images_billed == 1


async def test_an_unknown_authority_is_refused_before_anything_is_sent(
    emulator: Emulator, tls_port: int
):
    base_url, retry = f"https://localhost:{tls_port}", Retry(attempts=2, first=0.05)
    async with Session("sk-emulator", base_url=base_url, retry=retry) as session:
        with pytest.raises(APIConnectionError, match="certificate") as caught:
            await session.submit(FOX)
    assert not caught.value.sent
    assert emulator.counters.requests == 0


@pytest.mark.parametrize("how", ["HTTPS_PROXY", "ALL_PROXY", "argument"])
async def test_api_and_files_are_reached_through_the_proxy(
    emulator: Emulator, proxy: ConnectProxy, authority: trustme.CA, tmp_path: Path, how: str
):
    emulator.script(link_to(emulator, FILES))
    arguments = [API, str(tmp_path), *([proxy.url] if how == "argument" else [])]
    variables = {} if how == "argument" else {how: proxy.url}
    ended = await run_program(*arguments, authority=authority, folder=tmp_path, **variables)
    assert len(ended["files"]) == 1
    assert set(proxy.targets) == {"api.foxapi.example:443", "files.foxapi.example:443"}
    assert proxy.strangers == 0
    assert emulator.counters.posts == emulator.counters.images_billed == 1
    assert emulator.counters.keys_leaked == 0


async def test_loopback_is_not_reached_through_the_proxy_of_the_environment(
    emulator: Emulator, proxy: ConnectProxy, authority: trustme.CA, tmp_path: Path
):
    variables = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), proxy.url)
    ended = await run_program(
        emulator.url, str(tmp_path), authority=authority, folder=tmp_path, **variables
    )
    assert len(ended["files"]) == 1
    assert (proxy.targets, proxy.strangers) == ([], 0)


@pytest.mark.parametrize("wrong", ["password", "port", "host"])
async def test_a_proxy_that_refuses_is_named_without_its_password(
    emulator: Emulator, proxy: ConnectProxy, authority: trustme.CA, tmp_path: Path, wrong: str
):
    url, base_url = proxy.url, API
    if wrong == "password":
        url = url.replace("fox:", "owl:")
    elif wrong == "port":
        url = url.replace(str(proxy.port), "9")
    else:
        base_url = "https://elsewhere.example"
    ended = await run_program(base_url, str(tmp_path), url, authority=authority, folder=tmp_path)
    assert ended["error"] == "APIConnectionError"
    assert ended["sent"] is False
    assert any("127.0.0.1" in text for text in ended["texts"])
    assert emulator.counters.requests == 0
